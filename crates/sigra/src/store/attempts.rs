//! How often something was tried, counted where all processes see it.

use std::future::Future;

use super::Expired;
use crate::limits::Limit;

/// A database that counts, in `auth_attempts`. Times are milliseconds since the Unix epoch.
pub trait Attempts: sqlx::Database {
    /// Counts an attempt, unless it comes too early: then it gives the time from which another may be made. Of
    /// several at once no more are let through than one after the other.
    fn attempt(
        conn: &mut Self::Connection,
        key: &[u8; 32],
        limit: &Limit,
        now: i64,
    ) -> impl Future<Output = sqlx::Result<Result<(), i64>>> + Send;

    /// Forgets the attempts.
    fn forget_attempts(conn: &mut Self::Connection, key: &[u8; 32]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Deletes at most so many counters that nobody has touched since a time.
    fn purge_attempts(conn: &mut Self::Connection, expired: Expired) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// Implements [`Attempts`]. `least` is the function that gives the least of two numbers.
macro_rules! impl_attempts {
    (database: $db:ty, connection: $connection:ty, least: $least:literal, skip_locked: $skip_locked:literal $(,)?) => {
        impl crate::store::attempts::Attempts for $db {
            async fn attempt(
                conn: &mut $connection,
                key: &[u8; 32],
                limit: &crate::limits::Limit,
                now: i64,
            ) -> sqlx::Result<Result<(), i64>> {
                // $2 now, $3 and before: forgotten, $4 free of delay, $5 the first delay, $6 the longest
                const ATTEMPT: &str = concat!(
                    "INSERT INTO auth_attempts AS a (key, attempts, last_at, free_at)
                     VALUES ($1, 1, $2, $2 + CASE WHEN $4 <= 1 THEN $5 ELSE 0 END)
                     ON CONFLICT (key) DO UPDATE SET
                         attempts = CASE WHEN a.last_at <= $3 THEN 1 ELSE a.attempts + 1 END,
                         last_at = $2,
                         free_at = $2 + CASE
                             WHEN a.last_at <= $3 THEN CASE WHEN $4 <= 1 THEN $5 ELSE 0 END
                             WHEN a.attempts + 1 < $4 THEN 0
                             ELSE ",
                    $least,
                    "($6, $5 * (CAST(1 AS bigint) << ",
                    $least,
                    "(a.attempts + 1 - $4, 20)))
                         END
                     WHERE a.free_at <= $2 OR a.last_at <= $3
                     RETURNING attempts"
                );
                let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4);
                let counted = sqlx::query(ATTEMPT)
                    .bind(key.as_slice())
                    .bind(now)
                    .bind(now - millis(limit.forget_after))
                    .bind(limit.free)
                    .bind(millis(limit.delay).min(i64::MAX >> 21))
                    .bind(millis(limit.max_delay))
                    .fetch_optional(&mut *conn)
                    .await?;
                if counted.is_some() {
                    return Ok(Ok(()));
                }
                let free_at =
                    sqlx::query_scalar("SELECT free_at FROM auth_attempts WHERE key = $1").bind(key.as_slice());
                Ok(Err(free_at.fetch_optional(conn).await?.unwrap_or(now)))
            }

            async fn forget_attempts(conn: &mut $connection, key: &[u8; 32]) -> sqlx::Result<()> {
                let forgotten = sqlx::query("DELETE FROM auth_attempts WHERE key = $1").bind(key.as_slice());
                forgotten.execute(conn).await.map(drop)
            }

            async fn purge_attempts(conn: &mut $connection, expired: crate::store::Expired) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    crate::store::to_ms,
                    "auth_attempts",
                    "key",
                    "last_at",
                    $skip_locked
                )
            }
        }
    };
}

pub(super) use impl_attempts;
