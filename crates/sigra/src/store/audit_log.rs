//! What happened to whose account.

use std::future::Future;

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Expired;
use crate::model::{
    audit::{Audit, AuditEvent},
    user::AuthUser,
};

/// A database that keeps it, in `audit_events`.
pub trait AuditLog<U: AuthUser>: sqlx::Database {
    /// Writes an event.
    fn insert_audit_event(
        conn: &mut Self::Connection,
        audit: &Audit<U::Id>,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// One of the latest events like this, of the same account, action and address, since a time.
    fn find_audit_event_like(
        conn: &mut Self::Connection,
        audit: &Audit<U::Id>,
        since: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<Option<AuditEvent<U::Id>>>> + Send;

    /// Writes what else is kept of an event.
    fn update_audit_metadata(
        conn: &mut Self::Connection,
        id: Uuid,
        metadata: &Value,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Deletes at most so many events from before a time.
    fn purge_audit_events(
        conn: &mut Self::Connection,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// The events of a user's account that can be read, the newest first, from before one of them on.
    fn list_audit_events(
        conn: &mut Self::Connection,
        user: &U::Id,
        before: Option<Uuid>,
        limit: i64,
    ) -> impl Future<Output = sqlx::Result<Vec<AuditEvent<U::Id>>>> + Send;
}

/// Implements [`AuditLog`].
macro_rules! impl_audit_log {
    (
        database: $db:ty, connection: $connection:ty, row: $row:ty,
        time: $to_time:path, $from_time:path, $time:ty, skip_locked: $skip_locked:literal $(,)?
    ) => {
        impl<U> crate::store::audit_log::AuditLog<U> for $db
        where
            U: AuthUser,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            async fn insert_audit_event(
                conn: &mut $connection,
                audit: &crate::model::audit::Audit<U::Id>,
                now: OffsetDateTime,
            ) -> sqlx::Result<()> {
                const INSERT: &str =
                    "INSERT INTO audit_events (id, action, user_id, actor_id, ip, user_agent, metadata, inserted_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
                sqlx::query(INSERT)
                    .bind(uuid::Uuid::now_v7())
                    .bind(audit.action.as_ref())
                    .bind(audit.user.clone())
                    .bind(audit.actor.clone())
                    .bind(audit.client.ip.map(|ip| ip.to_string()))
                    .bind(audit.client.user_agent.as_deref())
                    .bind(audit.metadata.to_string())
                    .bind($to_time(now))
                    .execute(conn)
                    .await
                    .map(drop)
            }

            async fn find_audit_event_like(
                conn: &mut $connection,
                audit: &crate::model::audit::Audit<U::Id>,
                since: OffsetDateTime,
            ) -> sqlx::Result<Option<crate::model::audit::AuditEvent<U::Id>>> {
                // Among the latest, so that a long history takes no longer.
                const FIND: &str = "SELECT * FROM (
                        SELECT * FROM audit_events WHERE user_id IS NOT DISTINCT FROM $1 ORDER BY id DESC LIMIT 20
                    ) latest
                    WHERE action = $2 AND ip IS NOT DISTINCT FROM $3 AND inserted_at > $4 LIMIT 1";
                let row = sqlx::query(FIND)
                    .bind(audit.user.clone())
                    .bind(audit.action.as_ref())
                    .bind(audit.client.ip.map(|ip| ip.to_string()))
                    .bind($to_time(since))
                    .fetch_optional(conn)
                    .await?;
                row.as_ref().map(audit_event).transpose()
            }

            async fn update_audit_metadata(
                conn: &mut $connection,
                id: uuid::Uuid,
                metadata: &serde_json::Value,
            ) -> sqlx::Result<()> {
                const UPDATE: &str = "UPDATE audit_events SET metadata = $2 WHERE id = $1";
                sqlx::query(UPDATE).bind(id).bind(metadata.to_string()).execute(conn).await.map(drop)
            }

            async fn purge_audit_events(conn: &mut $connection, expired: crate::store::Expired) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "audit_events",
                    "id",
                    "inserted_at",
                    $skip_locked
                )
            }

            async fn list_audit_events(
                conn: &mut $connection,
                user: &U::Id,
                before: Option<uuid::Uuid>,
                limit: i64,
            ) -> sqlx::Result<Vec<crate::model::audit::AuditEvent<U::Id>>> {
                const LIST: &str =
                    "SELECT * FROM audit_events WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
                let mut before = before.unwrap_or(uuid::Uuid::max());
                let mut events = Vec::new();
                // In place of one that can't be read comes the one before.
                loop {
                    let wanted = limit - i64::try_from(events.len()).unwrap_or(limit);
                    let list = sqlx::query(LIST).bind(user.clone()).bind(before).bind(wanted);
                    let rows = list.fetch_all(&mut *conn).await?;
                    events.extend(readable(&rows, "id", audit_event));
                    let was_all = rows.len() < usize::try_from(wanted).unwrap_or_default();
                    match rows.last().map(|last| last.try_get::<uuid::Uuid, _>("id")) {
                        Some(Ok(last)) if !was_all && events.len() < usize::try_from(limit).unwrap_or_default() => {
                            before = last;
                        }
                        _ => return Ok(events),
                    }
                }
            }
        }

        fn audit_event<Id>(row: &$row) -> sqlx::Result<crate::model::audit::AuditEvent<Id>>
        where
            Id: for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            Ok(crate::model::audit::AuditEvent {
                id: row.try_get("id")?,
                action: row.try_get("action")?,
                user: row.try_get("user_id")?,
                actor: row.try_get("actor_id")?,
                client: crate::Client {
                    ip: row.try_get::<Option<&str>, _>("ip")?.and_then(|ip| ip.parse().ok()),
                    user_agent: row.try_get("user_agent")?,
                },
                metadata: serde_json::from_str(row.try_get("metadata")?).unwrap_or_default(),
                inserted_at: row.try_get::<$time, _>("inserted_at").and_then($from_time)?,
            })
        }
    };
}

pub(super) use impl_audit_log;
