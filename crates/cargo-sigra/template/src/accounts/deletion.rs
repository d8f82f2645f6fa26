//! Deleting an account, at once or after a time in which a log-in keeps it.

use std::time::Duration;

use sigra::{Client, Scope, audit, audit::Audit};
use time::OffsetDateTime;

use super::{Accounts, User};

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
        let delete_after = self.policy.deletion_grace.map(|grace| whole_seconds(self.sigra.now() + grace));
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

    /// Deletes the accounts whose time is over. Gives their number.
    pub async fn delete_users_whose_time_is_over(&self) -> Result<usize, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        let delete = sqlx::query_as("DELETE FROM users WHERE delete_after <= $1 RETURNING *");
        let deleted: Vec<User> = delete.bind(whole_seconds(self.sigra.now())).fetch_all(&mut *tx).await?;
        for user in &deleted {
            self.sigra.record(&mut tx, &Audit::new(audit::DELETED).of(user.id)).await?;
        }
        tx.commit().await?;
        Ok(deleted.len())
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
