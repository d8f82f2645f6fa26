//! Sudo mode: before something sensitive, users confirm who they are with their second factor, or with their password
//! if they have none.

use sigra::{Checked, Client, CookieSession, Password, Scope, Verification, limits::Limit, telemetry};
// <mfa>
use sigra::mfa::{Factor, SecondFactor};
// </mfa>

use super::{Accounts, User};
// <mfa>
use super::Transaction;
// </mfa>

/// What a user presents to enter sudo mode.
pub enum Proof<'a> {
    Password(&'a Password),
    // <mfa>
    SecondFactor(SecondFactor<'a>),
    // </mfa>
}

impl Accounts {
    /// Enters sudo mode. `None` counts as an invalid proof.
    pub async fn confirm_sudo(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        proof: Option<Proof<'_>>,
    ) -> Result<Checked, sigra::Error> {
        match proof {
            // <mfa>
            Some(Proof::SecondFactor(answer)) => self.confirm_sudo_by_second_factor(session, scope, answer).await,
            // </mfa>
            Some(Proof::Password(password)) => self.confirm_sudo_by_password(session, scope, password).await,
            None => Ok(Checked::Invalid),
        }
    }

    // <mfa>
    async fn confirm_sudo_by_second_factor(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        answer: SecondFactor<'_>,
    ) -> Result<Checked, sigra::Error> {
        let notify =
            async |tx: &mut Transaction, factor: Factor| self.notify_backup_code_used(tx, scope.user(), factor).await;
        let confirmed = self.sigra.mfa().reauthenticate_with(session, scope, answer, notify).await?;
        Ok(confirmed.map(|_| ()))
    }
    // </mfa>

    /// Enters sudo mode with the user's password. A user who has a second factor must present that: for them, even the
    /// right password is invalid.
    pub async fn confirm_sudo_by_password(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        password: &Password,
    ) -> Result<Checked, sigra::Error> {
        let user = scope.user();
        // <mfa>
        // A thief with a stolen session must not learn here whether a password is right.
        if self.sigra.mfa().list(&user.id).await?.is_any() {
            return Ok(Checked::Invalid);
        }
        // </mfa>
        self.sigra.sessions().require(scope).await?;
        if !self.verify_current_password(user, password, &session.client()).await?.is_valid() {
            return Ok(Checked::Invalid);
        }
        match self.sigra.reauthenticate(session, scope).await {
            // The user has set one up since the page was shown.
            Err(sigra::Error::SecondFactorRequired) => Ok(Checked::Invalid),
            confirmed => confirmed.map(Checked::Valid),
        }
    }

    /// Checks the password of a logged-in user.
    pub(super) async fn verify_current_password(
        &self,
        user: &User,
        password: &Password,
        client: &Client,
    ) -> Result<Checked, sigra::Error> {
        self.limit_sudo(user).await?;
        if self.sigra.verify_password(Some(user), password).await? == Verification::Invalid {
            self.record_attempt(&mut *self.pool.acquire().await?, telemetry::LOGIN_FAILURE, user, client).await?;
            return Ok(Checked::Invalid);
        }
        self.forget_sudo_attempts(user).await?;
        Ok(Checked::Valid(()))
    }

    /// Counts an attempt to enter sudo mode.
    async fn limit_sudo(&self, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().check(Limit::LOGIN, "sudo", &user.id.to_string()).await
    }

    /// Forgets these attempts after a success.
    async fn forget_sudo_attempts(&self, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().forget("sudo", &user.id.to_string()).await
    }
}
