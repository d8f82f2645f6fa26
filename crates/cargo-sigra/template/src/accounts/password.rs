//! Changing a password, and resetting it with a link. Both end all other sessions and revoke links.

use sigra::{Client, CookieSession, EmailToken, HashedPassword, Password, Scope, audit, token::Context};

use super::{
    AccountError, Accounts, FieldErrors, Policy, Transaction, User, log_in::rate_limit_key, user::check_password,
};
use crate::database::Connection;

impl Accounts {
    /// Sends a reset link, if the address has an account.
    pub async fn deliver_user_reset_password_instructions(
        &self,
        email: &str,
        client: Client,
    ) -> Result<(), sigra::Error> {
        self.deliver_to(email, |accounts, user| async move {
            let mut tx = accounts.sigra.begin().await?;
            if accounts.notifier.may_mail_user(&mut tx, "reset", &user).await? {
                accounts.record_attempt(&mut tx, audit::PASSWORD_RESET_REQUESTED, &user, &client).await?;
                let context = Context::ResetPassword;
                let token = accounts.sigra.email_tokens().create_in(&mut tx, &user.id, context, &user.email).await?;
                accounts
                    .mailer()
                    .send_in(&mut tx, accounts.notifier.reset_password_instructions(&user, &token))
                    .await?;
            }
            tx.commit().await
        })
        .await
    }

    /// Returns the user whose password a link resets.
    pub async fn get_user_by_reset_password_token(&self, token: &str) -> Result<Option<User>, sigra::Error> {
        self.get_user_by_email_token(token, Context::ResetPassword).await
    }

    /// Resets a password with a link that works once, and ends all sessions of the user. Also confirms the email
    /// address, because the user could open the link. Earlier failed logins no longer delay the user, and this browser
    /// becomes a known browser.
    pub async fn reset_user_password(
        &self,
        session: &CookieSession,
        token: &str,
        password: &Password,
        confirmation: &Password,
    ) -> Result<User, AccountError> {
        let client = &session.client();
        let user = self.get_user_by_reset_password_token(token).await?.ok_or(AccountError::InvalidLink)?;
        let token = EmailToken::parse(token).ok_or(AccountError::InvalidLink)?;
        let hashed_password = self.hash_new_password(password, confirmation, &user.email).await?;

        let mut tx = self.sigra.begin().await?;
        let sent = self.sigra.email_tokens().take_in(&mut tx, &token, Context::ResetPassword).await?;
        let user = sent.filter(|sent| sent.to == sent.user.email).ok_or(AccountError::InvalidLink)?.user;
        let revoked = match user.confirmed_at {
            Some(_) => self.sigra.sessions().end_all_access_in(&mut tx, &user.id, None).await?,
            // Someone else may have registered the address: remove everything that could log them in again.
            None => self.sigra.recovery().take_over_in(&mut tx, &user.id, client).await?,
        };
        let user = self.confirm_in(&mut tx, &user, client).await?;
        self.set_password(&mut tx, &user, hashed_password.as_str()).await?;
        self.remember_browser_in(&mut tx, session, &user).await?;
        self.record(&mut tx, audit::PASSWORD_RESET, &user, client).await?;
        // <oauth>
        let linked = self.linked_accounts_in(&mut tx, &user).await?;
        let notice = self.notifier.password_changed(&user, &linked);
        // </oauth>
        // <!oauth>
        // let notice = self.notifier.password_changed(&user, &[]);
        // </!oauth>
        self.notifier.notify_in(&mut tx, &user, "password", notice).await?;
        tx.commit().await?;

        self.sigra.sessions().announce(revoked);
        Ok(user)
    }

    /// Returns whether changing the password takes the current one: the user has one, and didn't enter it in this
    /// session (OWASP ASVS 6.2.3).
    pub fn requires_current_password(&self, scope: &Scope<User>) -> bool {
        scope.user().hashed_password.is_some() && !scope.session().can_set_password()
    }

    /// Changes the user's password and ends their other sessions. This session continues with a new token. A reset link
    /// stays valid: with it, an owner can lock out a thief who stole this session.
    pub async fn update_user_password(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        current: Option<&Password>,
        password: &Password,
        confirmation: &Password,
    ) -> Result<(), AccountError> {
        let user = scope.user();
        // First, so that a form with a mistake isn't counted.
        check_new_password(password, confirmation, &user.email, &self.policy)?;
        self.limit_changes("password", user).await?;
        self.sigra.sessions().require(scope).await?;
        if self.requires_current_password(scope) {
            let current = current.ok_or_else(wrong_current_password)?;
            if !self.verify_current_password(user, current, &session.client()).await?.is_valid() {
                return Err(wrong_current_password());
            }
        }
        let hashed_password = self.hash_new_password(password, confirmation, &user.email).await?;

        // Renewing the session fails if it ended in the meantime, and then nothing is changed.
        let mut tx = self.sigra.begin().await?;
        self.set_password(&mut tx, user, hashed_password.as_str()).await?;
        let revoked = self.sigra.sessions().end_other_access_in(&mut tx, &user.id, scope.session().id).await?;
        self.sigra.known_browsers().remember_in(&mut tx, session, &user.id).await?;
        self.record(&mut tx, audit::PASSWORD_CHANGED, user, &session.client()).await?;
        self.notifier.notify_in(&mut tx, user, "password", self.notifier.password_changed(user, &[])).await?;
        self.sigra.renew_session_in(&mut tx, session, scope).await?;
        tx.commit().await?;

        self.sigra.sessions().announce(revoked);
        Ok(())
    }

    // <oauth>
    /// Returns the accounts at providers that the user can log in with, in words.
    async fn linked_accounts_in(&self, conn: &mut Connection, user: &User) -> Result<Vec<String>, sigra::Error> {
        let identities = self.sigra.identities().list_in(conn, &user.id).await?;
        let describe = |identity: sigra::oauth::Identity| {
            let label = self.provider_label(&identity.provider);
            identity.email.map_or_else(|| label.clone(), |email| format!("{label} ({email})"))
        };
        Ok(identities.into_iter().map(describe).collect())
    }
    // </oauth>

    /// Checks a new password, that it was typed the same way twice and has not leaked, and hashes it.
    pub(super) async fn hash_new_password(
        &self,
        password: &Password,
        confirmation: &Password,
        email: &str,
    ) -> Result<HashedPassword, AccountError> {
        check_new_password(password, confirmation, email, &self.policy)?;
        self.sigra.check_breached(password).await.map_err(FieldErrors::of_password)?;
        Ok(self.sigra.hash_password(password).await?)
    }

    /// Makes the browser a known browser, and resets the count of failed logins, for a user who has set a password with
    /// a link.
    pub(super) async fn remember_browser_in(
        &self,
        tx: &mut Transaction,
        session: &CookieSession,
        user: &User,
    ) -> Result<(), sigra::Error> {
        self.sigra.known_browsers().remember_in(tx, session, &user.id).await?;
        self.sigra.limits().forget_logins_in(tx, session, &rate_limit_key(&user.email), &user.id).await
    }

    pub(super) async fn set_password(
        &self,
        conn: &mut Connection,
        user: &User,
        hashed_password: &str,
    ) -> Result<(), sigra::Error> {
        sqlx::query("UPDATE users SET hashed_password = $1, updated_at = $2 WHERE id = $3")
            .bind(hashed_password)
            .bind(self.sigra.now())
            .bind(user.id)
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// Checks a new password, and that it was typed the same way twice.
fn check_new_password(
    password: &Password,
    confirmation: &Password,
    email: &str,
    policy: &Policy,
) -> Result<(), FieldErrors> {
    let are_equal = password.matches(confirmation);
    let problems = FieldErrors {
        password: check_password(password, email, policy).err(),
        password_confirmation: if are_equal { None } else { Some(t!("The passwords don't match.")) },
        ..FieldErrors::default()
    };
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The current password is missing or wrong.
fn wrong_current_password() -> AccountError {
    FieldErrors { current_password: Some(t!("That isn't your current password.")), ..FieldErrors::default() }.into()
}
