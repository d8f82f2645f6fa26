//! Session tokens, and what happens around a login.

use sigra::{
    Checked, Client, CookieSession, LogInMethod, LogInOutcome, Password, Scope, SessionId, SessionToken, Verification,
    audit::{Audit, AuditEvent},
    limits::Limit,
    session::SessionList,
    telemetry,
};
// <passkeys>
use sigra::mfa::PasskeyLogIn;
// </passkeys>
use uuid::Uuid;

use super::{Accounts, Transaction, User, UserId};
use crate::database::Connection;

/// The number of events on a page of recent activity.
pub const ACTIVITY_PAGE: usize = 20;

/// The outcome of a login.
#[must_use = "a login may not be complete yet: send the user to the challenge"]
#[derive(Clone, Copy, Debug)]
pub struct LogIn {
    pub outcome: LogInOutcome,
    /// Whether the login canceled the deletion of the account.
    pub deletion_cancelled: bool,
}

impl Accounts {
    /// Creates a session without a browser, such as for a program. To log in a browser, use
    /// [`log_in_user`](crate::web::user_auth::log_in_user).
    pub async fn generate_user_session_token(&self, user: &User) -> Result<SessionToken, sigra::Error> {
        let (token, _) = self.sigra.create_session(user, false, &Client::default()).await?;
        Ok(token)
    }

    pub async fn get_user_by_session_token(&self, token: &SessionToken) -> Result<Option<Scope<User>>, sigra::Error> {
        self.sigra.fetch_session(token).await
    }

    pub async fn delete_user_session_token(&self, token: &SessionToken) -> Result<(), sigra::Error> {
        self.sigra.delete_session(token).await
    }

    /// Logs the user out everywhere. Also forgets all trusted and known browsers. Returns how many sessions ended.
    pub async fn delete_all_user_session_tokens(&self, user: &User, client: &Client) -> Result<usize, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let revoked = self.sigra.sessions().delete_all_in(&mut tx, &user.id, None).await?;
        self.sigra.trusted_browsers().delete_all_in(&mut tx, &user.id).await?;
        self.sigra.known_browsers().delete_all_in(&mut tx, &user.id).await?;
        self.record(&mut tx, telemetry::SESSION_REVOKED, user, client).await?;
        tx.commit().await?;
        let count = revoked.len();
        self.sigra.sessions().announce(revoked);
        Ok(count)
    }

    /// Returns the devices that the user used most recently.
    pub async fn list_user_sessions(&self, user: &User) -> Result<SessionList, sigra::Error> {
        self.sigra.sessions().list(&user.id).await
    }

    /// Logs the user out on one of their devices. Returns whether it was theirs.
    pub async fn delete_user_session(&self, user: &User, id: SessionId, client: &Client) -> Result<bool, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let revoked = self.sigra.sessions().delete_in(&mut tx, &user.id, id).await?;
        let was_theirs = !revoked.is_empty();
        if was_theirs {
            self.record(&mut tx, telemetry::SESSION_REVOKED, user, client).await?;
        }
        tx.commit().await?;
        self.sigra.sessions().announce(revoked);
        Ok(was_theirs)
    }

    /// Logs the user out everywhere but here. Also stops trusting all other browsers. Returns how many sessions ended.
    pub async fn delete_other_user_sessions(
        &self,
        scope: &Scope<User>,
        client: &Client,
    ) -> Result<usize, sigra::Error> {
        let user = scope.user();
        let mut tx = self.sigra.begin().await?;
        let revoked = self.sigra.sessions().delete_all_in(&mut tx, &user.id, Some(scope.session().id)).await?;
        self.sigra.trusted_browsers().delete_others_in(&mut tx, scope).await?;
        if !revoked.is_empty() {
            self.record(&mut tx, telemetry::SESSION_REVOKED, user, client).await?;
        }
        tx.commit().await?;
        let count = revoked.len();
        self.sigra.sessions().announce(revoked);
        Ok(count)
    }

    /// Returns the audit events of an account before a given one, newest first.
    pub async fn list_user_activity(
        &self,
        user: &User,
        before: Option<Uuid>,
    ) -> Result<Vec<AuditEvent<UserId>>, sigra::Error> {
        self.sigra.audit().list(&user.id, before, ACTIVITY_PAGE as u32).await
    }

    /// Counts a login attempt before it is made.
    pub async fn limit_log_in(&self, session: &CookieSession, email: &str) -> Result<(), sigra::Error> {
        let user = self.get_user_by_email(email).await?.map(|user| user.id);
        self.sigra.limits().check_log_in(session, &account_named(email), user.as_ref()).await
    }

    /// Forgets earlier attempts: someone who entered the right password is not guessing.
    pub async fn forget_log_ins(&self, session: &CookieSession, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().forget_log_ins(session, &account_named(&user.email), &user.id).await
    }

    /// Counts a change to the user's own account before it is made, if it takes a password hash or sends an email.
    pub async fn limit_changes(&self, purpose: &str, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().check(Limit::CHANGES, purpose, &user.id.to_string()).await
    }

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
        if self.list_second_factors(user).await?.is_any() {
            return Ok(Checked::Invalid);
        }
        // </mfa>
        self.sigra.sessions().require(scope).await?;
        if !self.is_password_of(user, password, &session.client()).await?.is_valid() {
            return Ok(Checked::Invalid);
        }
        match self.sigra.reauthenticate(session, scope).await {
            // The user has set one up since the page was shown.
            Err(sigra::Error::SecondFactorRequired) => Ok(Checked::Invalid),
            confirmed => confirmed.map(Checked::Valid),
        }
    }

    /// Checks the password of a logged-in user.
    pub(super) async fn is_password_of(
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
        self.sigra.limits().check(Limit::LOG_IN, "sudo", &user.id.to_string()).await
    }

    /// Forgets these attempts after a success.
    async fn forget_sudo_attempts(&self, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().forget("sudo", &user.id.to_string()).await
    }

    /// Logs in a user who has presented a first factor, and cancels a scheduled deletion in the same transaction.
    pub async fn log_in(
        &self,
        session: &CookieSession,
        user: &User,
        method: LogInMethod,
        remember_me: bool,
    ) -> Result<LogIn, sigra::Error> {
        let mut deletion_cancelled = false;
        let also = async |tx: &mut Transaction| {
            deletion_cancelled = self.complete_log_in(tx, session, user).await?;
            Ok(())
        };
        let outcome = self.sigra.log_in_with(session, user, method, remember_me, also).await?;
        self.logged_in(session, user, LogIn { outcome, deletion_cancelled }).await
    }

    // <passkeys>
    /// Logs in a user who has presented a passkey. No second factor is required.
    pub async fn log_in_with_passkey(
        &self,
        session: &CookieSession,
        log_in: &PasskeyLogIn<User>,
        remember_me: bool,
    ) -> Result<LogIn, sigra::Error> {
        let mut deletion_cancelled = false;
        let also = async |tx: &mut Transaction| {
            deletion_cancelled = self.complete_log_in(tx, session, log_in.user()).await?;
            Ok(())
        };
        let outcome = self.sigra.passkeys().log_in_with(session, log_in, remember_me, also).await?;
        self.logged_in(session, log_in.user(), LogIn { outcome, deletion_cancelled }).await
    }
    // </passkeys>

    async fn logged_in(&self, session: &CookieSession, user: &User, log_in: LogIn) -> Result<LogIn, sigra::Error> {
        match log_in.outcome {
            LogInOutcome::Complete => self.announce_log_in(user, log_in.deletion_cancelled),
            // The password was right, so this was no guess, even if the challenge fails.
            LogInOutcome::SecondFactorPending => self.forget_log_ins(session, user).await?,
        }
        Ok(log_in)
    }

    /// Runs in the transaction of a login: forgets failed attempts, cancels a scheduled deletion, and emails the user about
    /// that and about a new browser. Returns whether a deletion was scheduled.
    pub(super) async fn complete_log_in(
        &self,
        tx: &mut Transaction,
        session: &CookieSession,
        user: &User,
    ) -> Result<bool, sigra::Error> {
        let client = session.client();
        self.sigra.limits().forget_log_ins_in(tx, session, &account_named(&user.email), &user.id).await?;
        let is_news = self.policy.notify_new_devices && session.is_new_browser();
        if is_news && self.has_logged_in_before(tx, user).await? {
            self.mailer().send_in(tx, self.notifier.new_device(user, &client)).await?;
        }
        self.cancel_deletion_in(tx, user, &client).await
    }

    /// Tells other requests immediately that the account is no longer scheduled for deletion.
    pub(super) fn announce_log_in(&self, user: &User, deletion_cancelled: bool) {
        if deletion_cancelled {
            self.sigra.sessions().announce_change(&user.id);
        }
    }

    /// Returns whether the user has logged in before this login, which is in the audit trail already.
    async fn has_logged_in_before(&self, conn: &mut Connection, user: &User) -> Result<bool, sigra::Error> {
        let logins = "SELECT count(*) FROM audit_events WHERE user_id = $1 AND action = $2";
        let logins = sqlx::query_scalar::<_, i64>(logins).bind(user.id).bind(telemetry::LOGIN_SUCCESS);
        Ok(logins.fetch_one(conn).await? > 1)
    }

    /// Records an audit event of a user that someone else may have caused.
    pub async fn record_attempt(
        &self,
        conn: &mut Connection,
        action: &'static str,
        user: &User,
        client: &Client,
    ) -> Result<(), sigra::Error> {
        self.sigra.audit().record_repeatable(conn, &Audit::new(action).of(user.id).from(client)).await
    }
}

/// Returns the key of an account's rate limits: its email address, or whatever was entered instead.
pub(super) fn account_named(email: &str) -> String {
    super::normalize_email(email).unwrap_or_else(|| email.chars().take(160).collect())
}
