//! Confirming an email address.
//!
//! A link proves that its user has the mailbox, not that they registered. An attacker may have registered the address
//! with a password of their own, and wait for its owner to press the button. So confirming takes two proofs: the link,
//! and either the browser that registered or the account's password. An owner with only the link takes the account over
//! by setting a new password.

use sigra::{Client, CookieSession, EmailToken, HashedPassword, Password, Scope, audit, token::Context};

use super::{AccountError, Accounts, Transaction, User, log_in::rate_limit_key, user::query_user};
use crate::database::Connection;

/// The entry of the cookie session that marks the browser in which an account was registered. It holds a fingerprint of
/// the password hash, so it is valid only until the account gets another password.
pub(super) const REGISTRANT: &str = "registrant";

impl Accounts {
    /// Sends a confirmation link, unless the address is confirmed already or has received too many.
    pub async fn deliver_user_confirmation_instructions(&self, email: &str) -> Result<(), sigra::Error> {
        self.deliver_to(email, |accounts, user| async move {
            let mut tx = accounts.sigra.begin().await?;
            if user.confirmed_at.is_none() && accounts.notifier.may_mail(&mut tx, "confirm", &user.email).await? {
                accounts.send_confirmation_instructions(&mut tx, &user).await?;
            }
            tx.commit().await
        })
        .await
    }

    /// Sends the email that follows a registration, or a request for another link.
    pub(super) async fn send_confirmation_instructions(
        &self,
        tx: &mut Transaction,
        user: &User,
    ) -> Result<(), sigra::Error> {
        let token = self.sigra.email_tokens().create_in(tx, &user.id, Context::Confirm, &user.email).await?;
        self.mailer().send_in(tx, self.notifier.confirmation_instructions(user, &token)).await
    }

    /// Returns the user whose email address a link confirms, or has confirmed.
    pub async fn get_user_by_confirmation_token(&self, token: &str) -> Result<Option<User>, sigra::Error> {
        self.get_user_by_email_token(token, Context::Confirm).await
    }

    /// Returns whether this browser belongs to the person who registered the account: it registered the account, or is
    /// logged in to it.
    pub fn is_registrant(&self, session: &CookieSession, scope: Option<&Scope<User>>, user: &User) -> bool {
        let registered = session.get::<String>(REGISTRANT);
        let expected = user.hashed_password.as_ref().map(HashedPassword::fingerprint);
        // <oauth>
        let expected = expected.or_else(|| Some(passwordless_fingerprint(user)));
        // </oauth>
        let has_entry = registered.is_some() && registered == expected;
        has_entry || scope.is_some_and(|scope| scope.user().id == user.id)
    }

    /// Confirms an email address. In a browser that didn't [register the account](Self::is_registrant), this takes the
    /// account's password. Once the address is confirmed, using the same link again succeeds and changes nothing.
    pub async fn confirm_user(
        &self,
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        token: &str,
        password: Option<&Password>,
    ) -> Result<User, AccountError> {
        let user = self.get_user_by_confirmation_token(token).await?.ok_or(AccountError::InvalidLink)?;
        if user.confirmed_at.is_some() {
            return Ok(user);
        }
        if self.is_registrant(session, scope, &user) {
            return self.confirm_by_link(session, token, &user).await;
        }
        let password = password.ok_or(AccountError::PasswordRequired)?;
        let user = self.check_registrant(session, &user, password).await?;
        self.confirm_by_link(session, token, &user).await
    }

    /// Confirms an email address by setting a new password, for an owner who doesn't know the current one. Locks out
    /// the person who registered the account: every session, link and second factor is deleted. Earlier failed logins
    /// no longer delay the user, and this browser becomes a known browser.
    pub async fn take_over_by_confirmation(
        &self,
        session: &CookieSession,
        token: &str,
        password: &Password,
        confirmation: &Password,
    ) -> Result<User, AccountError> {
        let client = &session.client();
        let user = self.get_user_by_confirmation_token(token).await?.ok_or(AccountError::InvalidLink)?;
        let token = EmailToken::parse(token).ok_or(AccountError::InvalidLink)?;
        let hashed_password = self.hash_new_password(password, confirmation, &user.email).await?;

        let mut tx = self.sigra.begin().await?;
        let sent = self.sigra.email_tokens().take_in(&mut tx, &token, Context::Confirm).await?;
        let sent = sent.filter(|sent| sent.to == sent.user.email && sent.user.confirmed_at.is_none());
        let user = sent.ok_or(AccountError::InvalidLink)?.user;
        let revoked = self.sigra.recovery().take_over_in(&mut tx, &user.id, client).await?;
        let user = self.confirm_in(&mut tx, &user, client).await?;
        self.set_password(&mut tx, &user, hashed_password.as_str()).await?;
        self.remember_browser_in(&mut tx, session, &user).await?;
        self.record(&mut tx, audit::PASSWORD_RESET, &user, client).await?;
        self.notifier.notify_in(&mut tx, &user, "password", self.notifier.password_changed(&user, &[])).await?;
        tx.commit().await?;

        self.sigra.sessions().announce(revoked);
        Ok(user)
    }

    /// Marks this browser as the one that registered an account with this password hash. For a taken address the hash
    /// isn't stored: the cookie looks the same, and proves nothing.
    pub(super) fn remember_registration(
        &self,
        session: &CookieSession,
        hash: &HashedPassword,
    ) -> Result<(), sigra::Error> {
        session.put(REGISTRANT, &hash.fingerprint())
    }

    // <oauth>
    /// Marks this browser as the one in which the account was registered with an identity, or logged in to with it.
    pub(super) fn remember_registrant(&self, session: &CookieSession, user: &User) -> Result<(), sigra::Error> {
        session.put(REGISTRANT, &passwordless_fingerprint(user))
    }

    /// Puts an entry that looks the same for a taken address, and proves nothing.
    pub(super) fn remember_decoy_registrant(&self, session: &CookieSession) -> Result<(), sigra::Error> {
        session.put(REGISTRANT, &HashedPassword::from(uuid::Uuid::now_v7().to_string()).fingerprint())
    }
    // </oauth>

    /// Returns the user if the password is theirs. Counts as a login attempt, and takes the same work.
    async fn check_registrant(
        &self,
        session: &CookieSession,
        user: &User,
        password: &Password,
    ) -> Result<User, AccountError> {
        let known = self.attempt_log_in(session, &user.email, password).await?;
        known.filter(|known| known.id == user.id).ok_or(AccountError::WrongPassword)
    }

    /// Confirms the address, unless the password has changed since it was checked. Earlier failed logins no longer
    /// delay the user.
    async fn confirm_by_link(&self, session: &CookieSession, token: &str, user: &User) -> Result<User, AccountError> {
        let token = EmailToken::parse(token).ok_or(AccountError::InvalidLink)?;
        let mut tx = self.sigra.begin().await?;
        let sent = self.sigra.email_tokens().lock_in(&mut tx, &token, Context::Confirm).await?;
        let sent = sent.filter(|sent| sent.to == sent.user.email).ok_or(AccountError::InvalidLink)?;
        if sent.user.hashed_password != user.hashed_password {
            return Err(AccountError::PasswordRequired);
        }
        let confirmed = self.confirm_in(&mut tx, &sent.user, &session.client()).await?;
        self.sigra.limits().forget_logins_in(&mut tx, session, &rate_limit_key(&user.email), &user.id).await?;
        tx.commit().await?;
        self.sigra.sessions().announce_change(&confirmed.id);
        Ok(confirmed)
    }

    pub(super) async fn confirm_in(
        &self,
        conn: &mut Connection,
        user: &User,
        client: &Client,
    ) -> Result<User, sigra::Error> {
        let confirmed = query_user(
            "UPDATE users SET confirmed_at = coalesce(confirmed_at, $1), updated_at = $1 WHERE id = $2 RETURNING *",
        )
        .bind(self.sigra.now())
        .bind(user.id)
        .fetch_one(&mut *conn)
        .await?;
        if user.confirmed_at.is_none() {
            self.record(conn, audit::ACCOUNT_CONFIRMED, user, client).await?;
        }
        Ok(confirmed)
    }
}

// <oauth>
/// Returns what stands for the fingerprint of the password hash while the account has no password.
fn passwordless_fingerprint(user: &User) -> String {
    HashedPassword::from(format!("no password {}", user.id)).fingerprint()
}
// </oauth>
