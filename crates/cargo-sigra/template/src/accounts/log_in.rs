//! Logging in, and what happens around a login.

use sigra::{CookieSession, LoginMethod, LoginOutcome, Password, RememberMe, SessionRow, telemetry};
// <passkeys>
use sigra::{
    Checked,
    mfa::{PasskeyLogin, PublicKeyCredential},
};
// </passkeys>
// <oauth>
use sigra::oauth::KnownIdentity;
// </oauth>

use super::{Accounts, Transaction, User, user::normalize_email};
use crate::database::Connection;

/// The first factor that a user has presented.
pub(super) enum FirstFactor {
    /// One that was verified already, such as a password.
    Verified(LoginMethod),
    // <passkeys>
    Passkey(Box<PasskeyLogin<User>>),
    // </passkeys>
    // <oauth>
    Identity(Box<KnownIdentity<User>>),
    // </oauth>
}

/// The next step of a login.
#[must_use = "a login may not be complete yet: send the user to the next step"]
#[derive(Clone, Debug)]
pub enum NextStep {
    /// The user is logged in.
    LoggedIn(CompletedLogin),
    // <mfa>
    /// The user must present a second factor.
    SecondFactor,
    // </mfa>
    /// The user must confirm their email address first, as the [policy](super::Policy) requires.
    ConfirmEmail,
}

/// A completed login, and what the user should know about it.
#[derive(Clone, Debug)]
pub struct CompletedLogin {
    pub user: User,
    /// Whether the login canceled the deletion of the account.
    pub deletion_canceled: bool,
    // <magic_link>
    /// Whether the login removed the password, because someone else may have registered the account.
    pub password_removed: bool,
    // </magic_link>
    // <mfa>
    /// How many backup codes are left, if one was used.
    pub backup_codes_left: Option<u32>,
    // </mfa>
}

impl CompletedLogin {
    pub(super) fn new(user: &User, deletion_canceled: bool) -> Self {
        Self {
            user: user.clone(),
            deletion_canceled,
            // <magic_link>
            password_removed: false,
            // </magic_link>
            // <mfa>
            backup_codes_left: None,
            // </mfa>
        }
    }
}

impl Accounts {
    /// Counts a login attempt, and returns the user if the password is theirs. After too many attempts, the password
    /// isn't checked. An unknown address and a wrong password take the same work and get the same answer.
    pub async fn attempt_log_in(
        &self,
        session: &CookieSession,
        email: &str,
        password: &Password,
    ) -> Result<Option<User>, sigra::Error> {
        let user = self.get_user_by_email(email).await?;
        let id = user.as_ref().map(|user| user.id);
        let client = session.client();
        let check = self.verify_user_password(user, password, &client);
        self.sigra.limits().attempt_log_in(session, &rate_limit_key(email), id.as_ref(), check).await
    }

    /// Resets the count of failed logins: a user who entered the right password is not guessing.
    async fn forget_logins(&self, session: &CookieSession, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().forget_logins(session, &rate_limit_key(&user.email), &user.id).await
    }

    /// Logs in a user who has presented a first factor, and cancels a scheduled deletion in the same transaction.
    pub async fn log_in(
        &self,
        session: &CookieSession,
        user: &User,
        method: LoginMethod,
        remember_me: RememberMe,
    ) -> Result<NextStep, sigra::Error> {
        self.log_in_with_factor(session, user, FirstFactor::Verified(method), remember_me).await
    }

    pub(super) async fn log_in_with_factor(
        &self,
        session: &CookieSession,
        user: &User,
        factor: FirstFactor,
        remember_me: RememberMe,
    ) -> Result<NextStep, sigra::Error> {
        if self.must_confirm(user) {
            return Ok(NextStep::ConfirmEmail);
        }
        let mut deletion_canceled = false;
        let also = async |tx: &mut Transaction, opened: &SessionRow| {
            deletion_canceled = self.complete_log_in(tx, session, user, opened).await?;
            Ok(())
        };
        let outcome = match factor {
            // <passkeys>
            FirstFactor::Passkey(verified) => {
                self.sigra.passkeys().log_in_with(session, &verified, remember_me, also).await
            }
            // </passkeys>
            // <oauth>
            FirstFactor::Identity(known) => {
                self.sigra.identities().log_in_with(session, &known, remember_me, also).await
            }
            // </oauth>
            FirstFactor::Verified(method) => self.sigra.log_in_with(session, user, method, remember_me, also).await,
        };
        self.next_step(session, user, outcome?, deletion_canceled).await
    }

    // <passkeys>
    /// Logs in the user of a passkey. No second factor is required. `None` counts as an invalid answer.
    pub async fn log_in_with_passkey(
        &self,
        session: &CookieSession,
        answer: Option<&PublicKeyCredential>,
        remember_me: RememberMe,
    ) -> Result<Checked<NextStep>, sigra::Error> {
        let Some(answer) = answer else { return Ok(Checked::Invalid) };
        let Checked::Valid(verified) = self.sigra.passkeys().verify_log_in(session, answer).await? else {
            return Ok(Checked::Invalid);
        };
        let user = verified.user().clone();
        let factor = FirstFactor::Passkey(Box::new(verified));
        self.log_in_with_factor(session, &user, factor, remember_me).await.map(Checked::Valid)
    }
    // </passkeys>

    /// Returns whether the user must confirm their email address before they can log in.
    pub(super) fn must_confirm(&self, user: &User) -> bool {
        self.policy.require_confirmation && user.confirmed_at.is_none()
    }

    pub(super) async fn next_step(
        &self,
        session: &CookieSession,
        user: &User,
        outcome: LoginOutcome,
        deletion_canceled: bool,
    ) -> Result<NextStep, sigra::Error> {
        match outcome {
            LoginOutcome::Complete => {
                self.announce_log_in(user, deletion_canceled);
                Ok(NextStep::LoggedIn(CompletedLogin::new(user, deletion_canceled)))
            }
            LoginOutcome::SecondFactorPending => {
                // The password was right, so this wasn't a guess, even if the challenge fails.
                self.forget_logins(session, user).await?;
                // <mfa>
                Ok(NextStep::SecondFactor)
                // </mfa>
                // <!mfa>
                // // Users can't set one up here, so nobody has one.
                // Err(sigra::Error::SecondFactorRequired)
                // </!mfa>
            }
        }
    }

    /// Runs in the transaction of a login: forgets failed attempts, cancels a scheduled deletion, and emails the user
    /// about that and about a new browser. Returns whether a deletion was scheduled.
    pub(super) async fn complete_log_in(
        &self,
        tx: &mut Transaction,
        session: &CookieSession,
        user: &User,
        opened: &SessionRow,
    ) -> Result<bool, sigra::Error> {
        let client = session.client();
        self.sigra.limits().forget_logins_in(tx, session, &rate_limit_key(&user.email), &user.id).await?;
        let is_news = self.policy.notify_new_devices && session.is_new_browser();
        if is_news && self.has_logged_in_before(tx, user).await? {
            let mail = self.notifier.new_device(user, &client, opened.authenticated_by);
            self.notifier.notify_in(tx, user, "new device", mail).await?;
        }
        self.cancel_deletion_in(tx, user, &client).await
    }

    /// Tells other requests immediately that the account is no longer scheduled for deletion.
    pub(super) fn announce_log_in(&self, user: &User, deletion_canceled: bool) {
        if deletion_canceled {
            self.sigra.sessions().announce_change(&user.id);
        }
    }

    /// Returns whether the user has logged in before this login, which is in the audit trail already.
    async fn has_logged_in_before(&self, conn: &mut Connection, user: &User) -> Result<bool, sigra::Error> {
        const FIRST_TWO: &str =
            "SELECT count(*) FROM (SELECT 1 FROM audit_events WHERE user_id = $1 AND action = $2 LIMIT 2) first_two";
        let logins: i64 =
            sqlx::query_scalar(FIRST_TWO).bind(user.id).bind(telemetry::LOGIN_SUCCESS).fetch_one(conn).await?;
        Ok(logins > 1)
    }
}

/// Returns the key of an account's rate limits: its email address, or whatever was entered instead.
pub(super) fn rate_limit_key(email: &str) -> String {
    normalize_email(email).unwrap_or_else(|| email.chars().take(160).collect())
}
