//! How often something was tried, counted where all processes see it.
//!
//! While attempts are free, `free_at` is 0: those that come at once are compared with no clock.

use std::future::Future;

use super::Expired;
use crate::{base::clock::ServerTime, model::limit::Limit};

/// A database that counts, in `auth_attempts`. Times are milliseconds since the Unix epoch, by the
/// clock of the database.
pub trait Attempts: sqlx::Database {
    /// Counts an attempt, unless it comes too early: then it gives the time that is left, in milliseconds. Of
    /// several at once no more are let through than one after the other.
    fn attempt(
        conn: &mut Self::Connection,
        key: &[u8; 32],
        limit: &Limit,
        now: ServerTime,
    ) -> impl Future<Output = sqlx::Result<Result<(), i64>>> + Send;

    /// Forgets the attempts.
    fn forget_attempts(conn: &mut Self::Connection, key: &[u8; 32]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Forgets the attempts if the next one would still have to wait for longer than so many milliseconds. Tells
    /// whether it did.
    fn forget_attempts_of_a_wrong_clock(
        conn: &mut Self::Connection,
        key: &[u8; 32],
        longest: i64,
        now: ServerTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes at most so many counters that nobody has touched since a time.
    fn purge_attempts(conn: &mut Self::Connection, expired: Expired) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// Implements [`Attempts`]. `least` is the function that gives the least of two numbers, `clock` the time now in
/// milliseconds.
macro_rules! impl_attempts {
    (
        database: $db:ty, connection: $connection:ty, least: $least:literal, clock: $clock:literal,
        skip_locked: $skip_locked:literal $(,)?
    ) => {
        /// By the database's clock, unless a test has stopped it.
        macro_rules! now {
            () => {
                concat!("(coalesce($2, ", $clock, ") + $3)")
            };
        }

        impl crate::store::attempts::Attempts for $db {
            async fn attempt(
                conn: &mut $connection,
                key: &[u8; 32],
                limit: &crate::model::limit::Limit,
                now: crate::base::clock::ServerTime,
            ) -> sqlx::Result<Result<(), i64>> {
                // $2 and $3 now, $4 forgotten after, $5 free of delay, $6 the first delay, $7 the longest
                const ATTEMPT: &str = concat!(
                    "INSERT INTO auth_attempts AS a (key, attempts, last_at, free_at)
                     SELECT $1, 1, t.now, CASE WHEN $5 <= 1 THEN t.now + $6 ELSE 0 END FROM (SELECT ",
                    now!(),
                    " AS now) t WHERE true
                     ON CONFLICT (key) DO UPDATE SET
                         attempts = CASE WHEN a.last_at <= excluded.last_at - $4 THEN 1 ELSE a.attempts + 1 END,
                         last_at = excluded.last_at,
                         free_at = CASE
                             WHEN a.last_at <= excluded.last_at - $4 THEN excluded.free_at
                             WHEN a.attempts + 1 < $5 THEN 0
                             ELSE excluded.last_at + ",
                    $least,
                    "($7, $6 * (CAST(1 AS bigint) << ",
                    $least,
                    "(a.attempts + 1 - $5, 20)))
                         END
                     WHERE a.free_at <= excluded.last_at OR a.last_at <= excluded.last_at - $4
                     RETURNING attempts"
                );
                const LEFT: &str = concat!("SELECT free_at - ", now!(), " FROM auth_attempts WHERE key = $1");
                let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4);
                let counted = sqlx::query(ATTEMPT)
                    .bind(key.as_slice())
                    .bind(now.stopped_at_ms)
                    .bind(now.turned_by_ms)
                    .bind(millis(limit.forget_after))
                    .bind(limit.free)
                    .bind(millis(limit.delay).min(i64::MAX >> 21))
                    .bind(millis(limit.max_delay))
                    .fetch_optional(&mut *conn)
                    .await?;
                if counted.is_some() {
                    return Ok(Ok(()));
                }
                let left = sqlx::query_scalar(LEFT).bind(key.as_slice()).bind(now.stopped_at_ms).bind(now.turned_by_ms);
                Ok(Err(left.fetch_optional(conn).await?.unwrap_or(0)))
            }

            async fn forget_attempts(conn: &mut $connection, key: &[u8; 32]) -> sqlx::Result<()> {
                let forgotten = sqlx::query("DELETE FROM auth_attempts WHERE key = $1").bind(key.as_slice());
                forgotten.execute(conn).await.map(drop)
            }

            async fn forget_attempts_of_a_wrong_clock(
                conn: &mut $connection,
                key: &[u8; 32],
                longest: i64,
                now: crate::base::clock::ServerTime,
            ) -> sqlx::Result<bool> {
                const FORGET: &str =
                    concat!("DELETE FROM auth_attempts WHERE key = $1 AND free_at > ", now!(), " + $4");
                let forgotten = sqlx::query(FORGET)
                    .bind(key.as_slice())
                    .bind(now.stopped_at_ms)
                    .bind(now.turned_by_ms)
                    .bind(longest);
                Ok(forgotten.execute(conn).await?.rows_affected() == 1)
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
