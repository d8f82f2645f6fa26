//! Deleting an account, at once or after a time in which a log-in keeps it.

use std::time::Duration;

use sigra::{Client, Scope, audit, audit::Audit};
use time::OffsetDateTime;

use super::{Accounts, User, UserId};

/// How often accounts are deleted whose time is over.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

impl Accounts {
    /// Deletes the account, or says from when it is to be. Every session and every link of the user ends.
    ///
    /// It fails if the session was ended while the form was being sent.
    pub async fn delete_user(
        &self,
        scope: &Scope<User>,
        client: &Client,
    ) -> Result<Option<OffsetDateTime>, sigra::Error> {
        let (user, session) = (scope.user(), scope.session().id);
        let delete_after = self.policy.deletion_grace.map(|grace| {
            let grace = grace.try_into().unwrap_or(time::Duration::MAX);
            whole_seconds(self.sigra.now().saturating_add(grace))
        });
        let mut tx = self.sigra.begin().await?;
        // The user's row first: who logs in at the same moment comes before all of it, or after.
        let schedule = sqlx::query("UPDATE users SET delete_after = $1 WHERE id = $2").bind(delete_after).bind(user.id);
        schedule.execute(&mut *tx).await?;
        let others = self.sigra.delete_all_tokens_in(&mut tx, &user.id, Some(session)).await?;
        let own = self.sigra.delete_session_in(&mut tx, &user.id, session).await?;
        if delete_after.is_none() {
            sqlx::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&mut *tx).await?;
        }
        let action = if delete_after.is_some() { audit::DELETION_SCHEDULED } else { audit::DELETED };
        self.record(&mut tx, action, user, client).await?;
        tx.commit().await?;
        self.sigra.announce(others);
        self.sigra.announce(own);
        self.mailer().send(self.notifier.account_deleted(user, delete_after));
        Ok(delete_after)
    }

    /// Keeps an account after all, if it was to be deleted.
    pub(super) async fn cancel_deletion(&self, user: &User, client: &Client) -> Result<(), sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let cancel = "UPDATE users SET delete_after = NULL WHERE id = $1 AND delete_after IS NOT NULL";
        if sqlx::query(cancel).bind(user.id).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(());
        }
        self.record(&mut tx, audit::DELETION_CANCELLED, user, client).await?;
        tx.commit().await?;
        self.sigra.announce_user(&user.id);
        Ok(())
    }

    /// Deletes the accounts whose time is over. Gives their number. Each is deleted on its own: one that can't be is in
    /// the way of no other.
    pub async fn delete_users_whose_time_is_over(&self) -> Result<usize, sigra::Error> {
        let now = whole_seconds(self.sigra.now());
        let over = sqlx::query_scalar("SELECT id FROM users WHERE delete_after <= $1").bind(now);
        let mut deleted = 0;
        for id in over.fetch_all(&self.pool).await? {
            match self.delete_user_whose_time_is_over(id, now).await {
                Ok(was_there) => deleted += usize::from(was_there),
                Err(error) => tracing::error!(%error, user_id = %id, "an account whose time is over is not deleted"),
            }
        }
        Ok(deleted)
    }

    async fn delete_user_whose_time_is_over(&self, id: UserId, now: OffsetDateTime) -> Result<bool, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        // Unless they have logged in meanwhile.
        let delete = sqlx::query("DELETE FROM users WHERE id = $1 AND delete_after <= $2").bind(id).bind(now);
        if delete.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(false);
        }
        self.sigra.record(&mut tx, &Audit::new(audit::DELETED).of(id)).await?;
        tx.commit().await?;
        self.sigra.announce_user(&id);
        Ok(true)
    }

    /// Does so every hour.
    pub async fn keep_deleting(self) {
        loop {
            if let Err(error) = self.delete_users_whose_time_is_over().await {
                tracing::warn!(%error, "accounts whose time is over are not deleted");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// SQLite compares times as text, which goes well if all have the same length.
fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}
