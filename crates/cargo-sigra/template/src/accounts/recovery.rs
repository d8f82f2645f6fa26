//! Recovering an account from a thief. The email about a first second factor, or about a new email address, has a link
//! for an owner who didn't make that change. The link weakens nothing, because until the change access to the mailbox
//! was enough to get in. After the change, a new password alone wouldn't lock the thief out.

use sigra::{Client, CookieSession, EmailToken, Password, Recovered, audit, token::Context};

use super::{AccountError, Accounts, User, user::query_user};
use crate::database::Connection;

impl Accounts {
    /// Returns the email address that a link gives an account back to.
    pub async fn get_email_by_recovery_token(&self, token: &str) -> Result<Option<String>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        Ok(self.sigra.email_tokens().find(&token, Context::Recovery).await?.map(|sent| sent.to).valid())
    }

    /// Gives an account back to the owner of the mailbox, with a new password. Undoes what was done since the link was
    /// sent: restores the email address, removes second factors that were added, unlinks all accounts at providers,
    /// deletes sessions and links, and cancels a scheduled deletion. An older passkey logs nobody in until it has been
    /// used after the password. Earlier failed logins no longer delay the user, and this browser becomes a known
    /// browser.
    pub async fn recover_account(
        &self,
        session: &CookieSession,
        token: &str,
        password: &Password,
        confirmation: &Password,
    ) -> Result<User, AccountError> {
        let client = &session.client();
        let token = EmailToken::parse(token).ok_or(AccountError::InvalidLink)?;
        let found =
            self.sigra.email_tokens().find(&token, Context::Recovery).await?.ok_or(AccountError::InvalidLink)?;
        let hashed_password = self.hash_new_password(password, confirmation, &found.to).await?;

        let mut tx = self.sigra.begin().await?;
        self.lock_claim_in(&mut tx, &found.user, &found.to).await?;
        let recovered = self.sigra.recovery().recover_in(&mut tx, &token, client).await?;
        let Recovered { sent, revoked, .. } = recovered.ok_or(AccountError::InvalidLink)?;
        let before = sent.user;
        let squatter = self.claim_address_in(&mut tx, &sent.to, &before, client).await?;
        let user = self.restore_in(&mut tx, &before, &sent.to, hashed_password.as_str()).await?;
        self.remember_browser_in(&mut tx, session, &user).await?;
        self.record_recovery(&mut tx, &before, &user, client).await?;
        self.notifier.notify_in(&mut tx, &user, "recovered", self.notifier.account_recovered(&user)).await?;
        tx.commit().await?;

        self.sigra.sessions().announce(revoked);
        squatter.into_iter().for_each(|sessions| self.sigra.sessions().announce(sessions));
        Ok(user)
    }

    async fn restore_in(
        &self,
        conn: &mut Connection,
        user: &User,
        email: &str,
        hashed_password: &str,
    ) -> Result<User, AccountError> {
        let restored = query_user(
            "UPDATE users SET email = $1, hashed_password = $2, confirmed_at = coalesce(confirmed_at, $3),
            delete_after = NULL, updated_at = $3 WHERE id = $4 RETURNING *",
        )
        .bind(email)
        .bind(hashed_password)
        .bind(self.sigra.now())
        .bind(user.id)
        .fetch_one(conn)
        .await;
        match restored {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(AccountError::AddressTaken),
            restored => Ok(restored?),
        }
    }

    /// Records what changed. The library records the recovery itself.
    async fn record_recovery(
        &self,
        conn: &mut Connection,
        before: &User,
        after: &User,
        client: &Client,
    ) -> Result<(), sigra::Error> {
        self.record(conn, audit::PASSWORD_RESET, after, client).await?;
        if before.email != after.email {
            self.record(conn, audit::EMAIL_CHANGED, after, client).await?;
        }
        if before.delete_after.is_some() {
            self.record(conn, audit::ACCOUNT_DELETION_CANCELED, after, client).await?;
        }
        Ok(())
    }
}
