//! Changing an email address: asked for, confirmed by a link to the new one, told to the old one.

use sigra::{Client, CookieSession, EmailToken, Revoked, Scope, audit, audit::Audit, token::Context};

use super::{Accounts, User, normalize_email, user::INVALID_EMAIL};
use crate::database::Connection;

/// Why an email address was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeEmailError {
    #[error("{0}")]
    Invalid(&'static str),
    /// The link was used, is too old, belongs to somebody else, or somebody has taken the address meanwhile.
    #[error("the link is not good")]
    Link,
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
}

impl Accounts {
    /// Sends a link to a new address. The one before is told. A taken address looks the same to who asks: its
    /// owner is told.
    pub async fn deliver_user_update_email_instructions(
        &self,
        user: &User,
        new_email: &str,
        client: &Client,
    ) -> Result<(), ChangeEmailError> {
        let email = normalize_email(new_email).ok_or(ChangeEmailError::Invalid(INVALID_EMAIL))?;
        if email == user.email {
            return Err(ChangeEmailError::Invalid("is your address already"));
        }
        self.limit_changes("email", user).await?;
        let mut conn = self.pool.acquire().await.map_err(sigra::Error::from)?;
        self.record(&mut conn, audit::EMAIL_CHANGE_REQUESTED, user, client).await?;
        drop(conn);
        let (accounts, user) = (self.clone(), user.clone());
        self.mailer().deliver(async move { accounts.send_update_email_instructions(&user, &email).await });
        Ok(())
    }

    /// What whoever asked can see is the same for a taken address: the link before is void, and their own mailbox is
    /// told. Only the mail to the new address differs.
    async fn send_update_email_instructions(&self, user: &User, email: &str) -> Result<(), sigra::Error> {
        let context = Context::ChangeEmail(&user.email);
        let mut tx = self.sigra.begin().await?;
        if !self.may_mail(&mut tx, "change email", &user.id.to_string()).await? {
            return Ok(());
        }
        // One address at a time, also of several that are asked for at once: each waits for the user's row.
        let is_still_theirs = "UPDATE users SET updated_at = $1 WHERE id = $2 AND email = $3";
        let is_still_theirs = sqlx::query(is_still_theirs).bind(self.sigra.now()).bind(user.id).bind(&user.email);
        if is_still_theirs.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(());
        }
        self.sigra.delete_email_tokens(&mut tx, &user.id, context).await?;
        // Who has never confirmed it loses it to who proves that it is theirs.
        let owner = super::get_user_by_normalized_email(&mut tx, email).await?;
        let (kind, mail) = match owner.filter(|owner| owner.confirmed_at.is_some()) {
            Some(owner) => ("taken", self.notifier.already_registered(&owner)),
            None => {
                let token = self.sigra.create_email_token(&mut tx, &user.id, context, email).await?;
                ("new email", self.notifier.update_email_instructions(email, &token))
            }
        };
        self.mailer().send_in(&mut tx, self.notifier.email_change_requested(user)).await?;
        if self.may_mail(&mut tx, kind, email).await? {
            self.mailer().send_in(&mut tx, mail).await?;
        }
        tx.commit().await
    }

    /// The address that a link would give to who is logged in.
    pub async fn get_new_email_by_token(&self, user: &User, token: &str) -> Result<Option<String>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        let sent = self.sigra.find_email_token(&token, Context::ChangeEmail(&user.email)).await?;
        Ok(sent.filter(|sent| sent.user.id == user.id).map(|sent| sent.to))
    }

    /// Changes the address of who is logged in, by a link that works once. The one before is sent a link that
    /// [takes the account back](Self::recover_account), if it was known to be theirs. The session gets a new token; if
    /// it was ended meanwhile, nothing is changed.
    pub async fn update_user_email(
        &self,
        session: &CookieSession,
        scope: &Scope<User>,
        token: &str,
    ) -> Result<User, ChangeEmailError> {
        let (user, client) = (scope.user(), &session.client());
        let token = EmailToken::parse(token).ok_or(ChangeEmailError::Link)?;
        let context = Context::ChangeEmail(&user.email);
        let claimed = self.sigra.find_email_token(&token, context).await?.ok_or(ChangeEmailError::Link)?.to;
        let mut tx = self.sigra.begin().await?;
        self.lock_claim_in(&mut tx, user, &claimed).await?;
        let taken = self.sigra.take_email_token(&mut tx, &token, context).await?;
        let sent = taken.filter(|sent| sent.user.id == user.id).ok_or(ChangeEmailError::Link)?;
        let squatter = self.claim_address_in(&mut tx, &sent.to, &sent.user, client).await?;
        let update =
            "UPDATE users SET email = $1, confirmed_at = $2, updated_at = $2 WHERE id = $3 AND email = $4 RETURNING *";
        let update = sqlx::query_as(update)
            .bind(&sent.to)
            .bind(self.sigra.now())
            .bind(user.id)
            .bind(&user.email)
            .fetch_optional(&mut *tx)
            .await;
        let updated: User = match update {
            Ok(Some(updated)) => updated,
            Ok(None) => return Err(ChangeEmailError::Link),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return Err(ChangeEmailError::Link),
            Err(error) => return Err(sigra::Error::from(error).into()),
        };
        self.record(&mut tx, audit::EMAIL_CHANGED, &updated, client).await?;
        let recovery = match sent.user.confirmed_at {
            Some(_) => {
                Some(self.sigra.create_email_token(&mut tx, &user.id, Context::Recovery, &sent.user.email).await?)
            }
            // It may have been mistyped: then it is somebody else's.
            None => None,
        };
        self.mailer().send_in(&mut tx, self.notifier.email_changed(&sent.user, recovery.as_ref())).await?;
        self.sigra.renew_session_in(&mut tx, session, scope).await?;
        tx.commit().await?;
        self.sigra.announce_user(&updated.id);
        squatter.into_iter().for_each(|sessions| self.sigra.announce(sessions));
        Ok(updated)
    }

    /// Locks who claims an address, and who holds it. Of two who claim each other's at the same moment, one waits.
    pub(super) async fn lock_claim_in(
        &self,
        conn: &mut Connection,
        claimant: &User,
        email: &str,
    ) -> Result<(), sigra::Error> {
        match super::get_user_by_normalized_email(&mut *conn, email).await? {
            Some(holder) => self.sigra.lock_both_users_in(conn, &claimant.id, &holder.id).await,
            None => Ok(()),
        }
    }

    /// Takes an address from an account that was never confirmed, for who has proved that it is theirs: that account
    /// goes. Gives its sessions, to be announced after the commit. The address of a confirmed account stays: giving it
    /// to somebody else fails then.
    pub(super) async fn claim_address_in(
        &self,
        conn: &mut Connection,
        email: &str,
        claimant: &User,
        client: &Client,
    ) -> Result<Option<Revoked>, sigra::Error> {
        let holder = super::get_user_by_normalized_email(conn, email).await?;
        let Some(holder) = holder.filter(|holder| holder.id != claimant.id && holder.confirmed_at.is_none()) else {
            return Ok(None);
        };
        let sessions = self.sigra.delete_all_tokens_in(conn, &holder.id, None).await?;
        // It may have been confirmed at this very moment.
        let delete = sqlx::query("DELETE FROM users WHERE id = $1 AND confirmed_at IS NULL").bind(holder.id);
        if delete.execute(&mut *conn).await?.rows_affected() == 1 {
            self.sigra.record(conn, &Audit::new(audit::DELETED).of(holder.id).from(client)).await?;
        }
        Ok(Some(sessions))
    }
}
