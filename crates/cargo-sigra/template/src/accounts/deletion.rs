//! Deleting accounts: immediately, or after a grace period in which a login keeps the account. Also deletes accounts
//! that were registered and never used.

use std::time::Duration;

use sigra::{Client, Scope, audit, audit::Audit, telemetry};
use time::OffsetDateTime;

use super::{AccountError, Accounts, FieldErrors, Transaction, User, UserId};

/// How often expired accounts are deleted.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The condition for accounts that were never used: registered here before `$1`, never confirmed, never logged in to.
/// It reads the audit trail, so it spares accounts that were imported, or whose registration is no longer on record.
macro_rules! never_used {
    () => {
        "confirmed_at IS NULL AND inserted_at <= $1
         AND EXISTS (SELECT 1 FROM audit_events e WHERE e.user_id = users.id AND e.action = $2)
         AND NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.user_id = users.id AND e.action = $3)
         AND NOT EXISTS (SELECT 1 FROM users_tokens t WHERE t.user_id = users.id AND t.context = 'session')"
    };
}

impl Accounts {
    /// Deletes the account if the user typed its email address, or schedules its deletion and returns the time. Ends
    /// all sessions of the user. Links that they were sent work until the account is deleted: with a reset, an owner
    /// can lock out a thief who scheduled the deletion.
    ///
    /// Fails if the session ended while the form was being sent.
    pub async fn delete_user(
        &self,
        scope: &Scope<User>,
        typed_email: &str,
        client: &Client,
    ) -> Result<Option<OffsetDateTime>, AccountError> {
        let (user, session) = (scope.user(), scope.session().id);
        if !user.has_email(typed_email) {
            return Err(FieldErrors::of_email(t!("That isn't the email address of your account.")).into());
        }
        self.limit_changes("delete", user).await?;
        let delete_after = self.policy.deletion_grace.map(|grace| {
            let grace = grace.try_into().unwrap_or(time::Duration::MAX);
            truncate_to_seconds(self.sigra.now().saturating_add(grace))
        });
        let mut tx = self.sigra.begin().await?;
        // Lock the user's row first, so that a concurrent login comes before all of this, or after it.
        sqlx::query("UPDATE users SET delete_after = $1 WHERE id = $2")
            .bind(delete_after)
            .bind(user.id)
            .execute(&mut *tx)
            .await?;
        let others = self.sigra.sessions().end_access_before_deletion_in(&mut tx, &user.id, Some(session)).await?;
        let own = self.sigra.sessions().delete_in(&mut tx, &user.id, session).await?;
        if delete_after.is_none() {
            sqlx::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&mut *tx).await?;
        }
        let action = if delete_after.is_some() { audit::ACCOUNT_DELETION_SCHEDULED } else { audit::ACCOUNT_DELETED };
        self.record(&mut tx, action, user, client).await?;
        let mail = self.notifier.account_deleted(user, delete_after);
        self.notifier.notify_in(&mut tx, user, "deletion", mail).await?;
        tx.commit().await?;
        self.sigra.sessions().announce(others);
        self.sigra.sessions().announce(own);
        Ok(delete_after)
    }

    /// Cancels a scheduled deletion in the transaction of a login, and notifies the user. Returns whether one was
    /// scheduled.
    pub(super) async fn cancel_deletion_in(
        &self,
        tx: &mut Transaction,
        user: &User,
        client: &Client,
    ) -> Result<bool, sigra::Error> {
        // `user` was read earlier, and the deletion may have been scheduled since. So the row decides.
        let kept = sqlx::query("UPDATE users SET delete_after = NULL WHERE id = $1 AND delete_after IS NOT NULL")
            .bind(user.id)
            .execute(&mut **tx)
            .await?;
        if kept.rows_affected() == 0 {
            return Ok(false);
        }
        self.record(tx, audit::ACCOUNT_DELETION_CANCELED, user, client).await?;
        self.notifier.notify_in(tx, user, "no deletion", self.notifier.deletion_canceled(user, client)).await?;
        Ok(true)
    }

    /// Deletes accounts past their grace period, and returns how many. Each has its own transaction, so that one
    /// failure doesn't stop the others.
    pub async fn delete_expired_users(&self) -> Result<usize, sigra::Error> {
        let now = truncate_to_seconds(self.sigra.housekeeping().now().await?);
        let expired: Vec<UserId> =
            sqlx::query_scalar("SELECT id FROM users WHERE delete_after <= $1").bind(now).fetch_all(&self.pool).await?;
        let mut deleted = 0;
        for id in expired {
            match self.delete_expired_user(id, now).await {
                Ok(was_there) => deleted += usize::from(was_there),
                Err(error) => {
                    tracing::error!(%error, user_id = %id, "can't delete an account that is past its grace period")
                }
            }
        }
        Ok(deleted)
    }

    async fn delete_expired_user(&self, id: UserId, now: OffsetDateTime) -> Result<bool, sigra::Error> {
        let mut tx = self.sigra.begin().await?;
        // The user may have logged in since.
        let deleted = sqlx::query("DELETE FROM users WHERE id = $1 AND delete_after <= $2")
            .bind(id)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        self.sigra.audit().record_in(&mut tx, &Audit::new(audit::ACCOUNT_DELETED).of(id)).await?;
        tx.commit().await?;
        self.sigra.sessions().announce_change(&id);
        Ok(true)
    }

    /// Deletes accounts that were registered some time ago and never confirmed or logged in to, and returns how many.
    /// Otherwise an attacker could block an email address by registering it.
    ///
    /// An account in use stays even if it was never confirmed. The owner of its address can still claim the address,
    /// with a link or by changing their email address to it.
    pub async fn delete_unused_users(&self) -> Result<usize, sigra::Error> {
        const FIND: &str = concat!("SELECT id FROM users WHERE ", never_used!());
        let Some(ttl) = self.policy.unconfirmed_ttl else { return Ok(0) };
        let now = self.sigra.housekeeping().now().await?;
        let before = truncate_to_seconds(now.saturating_sub(ttl.try_into().unwrap_or(time::Duration::MAX)));
        let unused: Vec<UserId> = sqlx::query_scalar(FIND)
            .bind(before)
            .bind(audit::ACCOUNT_REGISTERED)
            .bind(telemetry::LOGIN_SUCCESS)
            .fetch_all(&self.pool)
            .await?;
        let mut deleted = 0;
        for id in unused {
            match self.delete_unused_user(id, before).await {
                Ok(was_unused) => deleted += usize::from(was_unused),
                Err(error) => tracing::error!(%error, user_id = %id, "can't delete an account that was never used"),
            }
        }
        Ok(deleted)
    }

    /// Checks again, because the user may be logging in or confirming right now.
    async fn delete_unused_user(&self, user: UserId, before: OffsetDateTime) -> Result<bool, sigra::Error> {
        const DELETE: &str = concat!("DELETE FROM users WHERE ", never_used!(), " AND id = $4");
        let mut tx = self.sigra.begin().await?;
        // This locks the user's row, so that the next statement sees every concurrent change.
        let revoked = self.sigra.sessions().delete_all_in(&mut tx, &user, None).await?;
        if !revoked.is_empty() {
            return Ok(false);
        }
        let deleted = sqlx::query(DELETE)
            .bind(before)
            .bind(audit::ACCOUNT_REGISTERED)
            .bind(telemetry::LOGIN_SUCCESS)
            .bind(user)
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        self.sigra.audit().record_in(&mut tx, &Audit::new(audit::ACCOUNT_DELETED).of(user)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Runs both cleanups every hour.
    pub async fn run_cleanup(self) {
        loop {
            // A statement may wait for a database server that vanished.
            if tokio::time::timeout(CLEANUP_INTERVAL, self.clean_up()).await.is_err() {
                tracing::warn!("the cleanup of accounts took longer than an hour: it was stopped");
            }
            tokio::time::sleep(CLEANUP_INTERVAL).await;
        }
    }

    async fn clean_up(&self) {
        if let Err(error) = self.delete_expired_users().await {
            tracing::warn!(%error, "can't delete accounts that are past their grace period");
        }
        if let Err(error) = self.delete_unused_users().await {
            tracing::warn!(%error, "can't delete accounts that were never used");
        }
    }
}

/// SQLite compares times as text, which works only if all have the same length.
fn truncate_to_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}
