//! Confirming that an address is one's own.
//!
//! A link shows who has the mailbox, and not who registered: somebody else may have done that, with a password of
//! theirs, and wait for the owner to press the button. So it takes both to confirm: the link, and the browser that
//! registered or the account's password. Who has the link alone takes the account over with a new password.

use sigra::{Client, CookieSession, EmailToken, HashedPassword, Password, Scope, audit, token::Context};

use super::{Accounts, ChangePasswordError, Transaction, User, password::check_new_password, sessions::account_named};
use crate::database::Connection;

/// The entry of the cookie session that tells the browser in which an account was registered. It names the hash of
/// the password of then, so it is good for as long as the account has that.
const REGISTERED_HERE: &str = "registered_here";

/// Why an address was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The link was never sent, is too old, or was sent to an address of before.
    #[error("the link is not good")]
    Link,
    /// This browser does not show that it is whoever registered.
    #[error("the account's password is needed")]
    PasswordRequired,
    #[error("is not the account's password")]
    WrongPassword,
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
}

impl Accounts {
    /// Sends a link that confirms the address. Nothing is sent to who has confirmed it, or too often.
    pub async fn deliver_user_confirmation_instructions(&self, email: &str) -> Result<(), sigra::Error> {
        self.deliver_to(email, |accounts, user| async move {
            let mut tx = accounts.sigra.begin().await?;
            if user.confirmed_at.is_none() && accounts.may_mail(&mut tx, "confirm", &user.email).await? {
                accounts.send_confirmation_instructions(&mut tx, &user).await?;
            }
            tx.commit().await
        })
        .await
    }

    /// The mail to who has registered, or asks for it again.
    pub(super) async fn send_confirmation_instructions(
        &self,
        tx: &mut Transaction,
        user: &User,
    ) -> Result<(), sigra::Error> {
        let token = self.sigra.create_email_token(tx, &user.id, Context::Confirm, &user.email).await?;
        self.mailer().send_in(tx, self.notifier.confirmation_instructions(user, &token)).await
    }

    /// Whose address a link confirms, or has confirmed.
    pub async fn get_user_by_confirmation_token(&self, token: &str) -> Result<Option<User>, sigra::Error> {
        self.get_user_by_email_token(token, Context::Confirm).await
    }

    /// Whether the browser shows by itself that it is whoever registered the account: it is the one that did, or is
    /// logged in to it.
    pub fn is_registrant(&self, session: &CookieSession, scope: Option<&Scope<User>>, user: &User) -> bool {
        let registered = session.get::<String>(REGISTERED_HERE);
        let is_registered_here =
            registered.is_some() && registered == user.hashed_password.as_ref().map(HashedPassword::fingerprint);
        is_registered_here || scope.is_some_and(|scope| scope.user().id == user.id)
    }

    /// Confirms an address, with the account's password where the browser does not show that it is whoever
    /// registered. Once it is confirmed, the same link says so again, and does nothing.
    pub async fn confirm_user(
        &self,
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        token: &str,
        password: Option<&Password>,
    ) -> Result<User, ConfirmError> {
        let user = self.get_user_by_confirmation_token(token).await?.ok_or(ConfirmError::Link)?;
        if user.confirmed_at.is_some() {
            return Ok(user);
        }
        if self.is_registrant(session, scope, &user) {
            return self.confirm_by_link(session, token, &user).await;
        }
        let password = password.ok_or(ConfirmError::PasswordRequired)?;
        let user = self.check_registrant(session, &user, password).await?;
        self.confirm_by_link(session, token, &user).await
    }

    /// Sets a new password by the link, for who has the mailbox and not the password. Whoever registered the account
    /// is out: nothing is left of what let them in.
    pub async fn take_over_by_confirmation(
        &self,
        token: &str,
        password: &Password,
        confirmation: &Password,
        client: &Client,
    ) -> Result<User, ChangePasswordError> {
        let user = self.get_user_by_confirmation_token(token).await?.ok_or(ChangePasswordError::Link)?;
        check_new_password(password, confirmation, &user.email, &self.policy)?;
        let token = EmailToken::parse(token).ok_or(ChangePasswordError::Link)?;
        self.sigra.check_breached(password).await.map_err(ChangePasswordError::Invalid)?;
        let hashed_password = self.sigra.hash_password(password).await?;

        let mut tx = self.sigra.begin().await?;
        let sent = self.sigra.take_email_token(&mut tx, &token, Context::Confirm).await?;
        let sent = sent.filter(|sent| sent.to == sent.user.email && sent.user.confirmed_at.is_none());
        let user = sent.ok_or(ChangePasswordError::Link)?.user;
        let revoked = self.sigra.take_over_account_in(&mut tx, &user.id, client).await?;
        let user = self.confirm_in(&mut tx, &user, client).await?;
        self.set_password(&mut tx, &user, hashed_password.as_str()).await?;
        self.record(&mut tx, audit::PASSWORD_RESET, &user, client).await?;
        self.mailer().send_in(&mut tx, self.notifier.password_changed(&user)).await?;
        tx.commit().await?;

        self.sigra.announce(revoked);
        Ok(user)
    }

    /// Tells the browser that an account was registered in it with this hash. One that was not stored, as for a taken
    /// address, looks the same, and is good for nothing.
    pub(super) fn remember_registration(
        &self,
        session: &CookieSession,
        hash: &HashedPassword,
    ) -> Result<(), sigra::Error> {
        session.put(REGISTERED_HERE, &hash.fingerprint())
    }

    /// The user, if the password is theirs: counted as a log-in, and with the work of one.
    async fn check_registrant(
        &self,
        session: &CookieSession,
        user: &User,
        password: &Password,
    ) -> Result<User, ConfirmError> {
        self.limit_log_in(session, &user.email).await?;
        let known = self.get_user_by_email_and_password(&user.email, password, &session.client()).await?;
        known.filter(|known| known.id == user.id).ok_or(ConfirmError::WrongPassword)
    }

    /// Confirms the address of a user who still has the password by which they are known. Guesses from before keep
    /// them waiting no longer.
    async fn confirm_by_link(&self, session: &CookieSession, token: &str, user: &User) -> Result<User, ConfirmError> {
        let token = EmailToken::parse(token).ok_or(ConfirmError::Link)?;
        let mut tx = self.sigra.begin().await?;
        let sent = self.sigra.lock_email_token(&mut tx, &token, Context::Confirm).await?;
        let sent = sent.filter(|sent| sent.to == sent.user.email).ok_or(ConfirmError::Link)?;
        if sent.user.hashed_password != user.hashed_password {
            return Err(ConfirmError::PasswordRequired);
        }
        let confirmed = self.confirm_in(&mut tx, &sent.user, &session.client()).await?;
        self.sigra.forget_log_ins_in(&mut tx, session, &account_named(&user.email), &user.id).await?;
        tx.commit().await?;
        self.sigra.announce_user(&confirmed.id);
        Ok(confirmed)
    }

    pub(super) async fn confirm_in(
        &self,
        conn: &mut Connection,
        user: &User,
        client: &Client,
    ) -> Result<User, sigra::Error> {
        let confirm =
            "UPDATE users SET confirmed_at = coalesce(confirmed_at, $1), updated_at = $1 WHERE id = $2 RETURNING *";
        let confirm = sqlx::query_as(confirm).bind(self.sigra.now()).bind(user.id);
        let confirmed = confirm.fetch_one(&mut *conn).await?;
        if user.confirmed_at.is_none() {
            self.record(conn, audit::CONFIRMED, user, client).await?;
        }
        Ok(confirmed)
    }
}
