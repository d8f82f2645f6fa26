//! Changing an email address: the new address gets a confirmation link, the old one a notification.

use sigra::{Client, CookieSession, EmailToken, Revoked, Scope, audit, audit::Audit, token::Context};

use super::{
    AccountError, Accounts, FieldErrors, User,
    user::{invalid_email, normalize_email, query_user},
};
use crate::database::Connection;
// <languages>
use crate::languages;
// </languages>

impl Accounts {
    /// Sends a confirmation link to the new address, and notifies the old one. For a taken address the response is the
    /// same, and its owner is notified.
    pub async fn deliver_user_update_email_instructions(
        &self,
        user: &User,
        new_email: &str,
        client: &Client,
    ) -> Result<(), AccountError> {
        let email = normalize_email(new_email).ok_or(FieldErrors::of_email(invalid_email()))?;
        if email == user.email {
            return Err(FieldErrors::of_email(t!("This is already your email address.")).into());
        }
        self.limit_changes("email", user).await?;
        let mut conn = self.pool.acquire().await?;
        self.record(&mut conn, audit::EMAIL_CHANGE_REQUESTED, user, client).await?;
        drop(conn);
        let (accounts, user) = (self.clone(), user.clone());
        let work = async move { accounts.send_update_email_instructions(&user, &email).await };
        // <languages>
        let work = languages::with_current_language(work);
        // </languages>
        self.mailer().defer(work);
        Ok(())
    }

    /// The user can't tell a taken address from a free one: in both cases earlier links are revoked and their current
    /// address is notified. Only the email to the new address differs.
    async fn send_update_email_instructions(&self, user: &User, email: &str) -> Result<(), sigra::Error> {
        let context = Context::ChangeEmail(&user.email);
        let mut tx = self.sigra.begin().await?;
        if !self.notifier.may_mail(&mut tx, "change email", &user.id.to_string()).await? {
            return Ok(());
        }
        // Locks the user's row, so that of several concurrent requests only the last one's link stays valid.
        let locked = sqlx::query("UPDATE users SET updated_at = $1 WHERE id = $2 AND email = $3")
            .bind(self.sigra.now())
            .bind(user.id)
            .bind(&user.email)
            .execute(&mut *tx)
            .await?;
        if locked.rows_affected() == 0 {
            return Ok(());
        }
        self.sigra.email_tokens().delete_in(&mut tx, &user.id, context).await?;
        // An unconfirmed owner loses the address to a user who proves that they have the mailbox. The user may own it
        // already, in another form.
        let owner = super::context::get_user_by_normalized_email(&mut tx, email).await?;
        let (kind, mail) = match owner.filter(|owner| owner.confirmed_at.is_some() && owner.id != user.id) {
            Some(owner) => ("taken", self.notifier.already_registered(&owner)),
            None => {
                let token = self.sigra.email_tokens().create_in(&mut tx, &user.id, context, email).await?;
                ("new email", self.notifier.update_email_instructions(user, email, &token))
            }
        };
        let notice = self.notifier.email_change_requested(user);
        self.notifier.notify_in(&mut tx, user, "email change requested", notice).await?;
        if self.notifier.may_mail(&mut tx, kind, email).await? {
            self.mailer().send_in(&mut tx, mail).await?;
        }
        tx.commit().await
    }

    /// Returns the new email address that a link would give to the user.
    pub async fn get_new_email_by_token(&self, user: &User, token: &str) -> Result<Option<String>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        let sent = self.sigra.email_tokens().find(&token, Context::ChangeEmail(&user.email)).await?;
        Ok(sent.filter(|sent| sent.user.id == user.id).map(|sent| sent.to).valid())
    }

    /// Changes the user's email address with a link that works once. The old address, if it was confirmed, gets a link
    /// that [recovers the account](Self::recover_account). Reissues the session token. Changes nothing if the session
    /// has ended.
    pub async fn update_user_email(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        token: &str,
    ) -> Result<User, AccountError> {
        let (user, client) = (scope.user(), &session.client());
        let token = EmailToken::parse(token).ok_or(AccountError::InvalidLink)?;
        let context = Context::ChangeEmail(&user.email);
        let claimed = self.sigra.email_tokens().find(&token, context).await?.ok_or(AccountError::InvalidLink)?.to;
        let mut tx = self.sigra.begin().await?;
        self.lock_claim_in(&mut tx, user, &claimed).await?;
        let taken = self.sigra.email_tokens().take_in(&mut tx, &token, context).await?;
        let sent = taken.filter(|sent| sent.user.id == user.id).ok_or(AccountError::InvalidLink)?;
        let squatter = self.claim_address_in(&mut tx, &sent.to, &sent.user, client).await?;
        let updated = query_user(
            "UPDATE users SET email = $1, confirmed_at = $2, updated_at = $2 WHERE id = $3 AND email = $4 RETURNING *",
        )
        .bind(&sent.to)
        .bind(self.sigra.now())
        .bind(user.id)
        .bind(&user.email)
        .fetch_optional(&mut *tx)
        .await;
        let updated: User = match updated {
            // Another account took the address in the meantime.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return Err(AccountError::InvalidLink),
            updated => updated?.ok_or(AccountError::InvalidLink)?,
        };
        self.record(&mut tx, audit::EMAIL_CHANGED, &updated, client).await?;
        let recovery = match sent.user.confirmed_at {
            Some(_) => {
                Some(self.sigra.email_tokens().create_in(&mut tx, &user.id, Context::Recovery, &sent.user.email).await?)
            }
            // It was never confirmed: it may be a typo, and belong to someone else.
            None => None,
        };
        let notice = self.notifier.email_changed(&sent.user, recovery.as_ref());
        self.notifier.notify_in(&mut tx, &sent.user, "email changed", notice).await?;
        self.sigra.renew_session_in(&mut tx, session, scope).await?;
        tx.commit().await?;
        self.sigra.sessions().announce_change(&updated.id);
        squatter.into_iter().for_each(|sessions| self.sigra.sessions().announce(sessions));
        Ok(updated)
    }

    /// Locks the user who claims an address and the one who holds it. In a fixed order, so that two users who claim
    /// each other's addresses can't deadlock.
    pub(super) async fn lock_claim_in(
        &self,
        conn: &mut Connection,
        claimant: &User,
        email: &str,
    ) -> Result<(), sigra::Error> {
        match super::context::get_user_by_normalized_email(&mut *conn, email).await? {
            Some(holder) => self.sigra.sessions().lock_both_in(conn, &claimant.id, &holder.id).await,
            None => Ok(()),
        }
    }

    /// Deletes an unconfirmed account that holds an address, for a user who has proved that the address is theirs.
    /// Returns its sessions, to announce after the commit. Leaves a confirmed account alone: assigning its address to
    /// another user then fails.
    pub(super) async fn claim_address_in(
        &self,
        conn: &mut Connection,
        email: &str,
        claimant: &User,
        client: &Client,
    ) -> Result<Option<Revoked>, sigra::Error> {
        let holder = super::context::get_user_by_normalized_email(conn, email).await?;
        let Some(holder) = holder.filter(|holder| holder.id != claimant.id && holder.confirmed_at.is_none()) else {
            return Ok(None);
        };
        let sessions = self.sigra.sessions().end_all_access_in(conn, &holder.id, None).await?;
        // The holder may be confirming it right now.
        let deleted = sqlx::query("DELETE FROM users WHERE id = $1 AND confirmed_at IS NULL")
            .bind(holder.id)
            .execute(&mut *conn)
            .await?;
        if deleted.rows_affected() == 1 {
            self.sigra.audit().record_in(conn, &Audit::new(audit::ACCOUNT_DELETED).of(holder.id).from(client)).await?;
        }
        Ok(Some(sessions))
    }
}
