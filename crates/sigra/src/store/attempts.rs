//! Counts attempts for all processes: `auth_attempts`. Times are milliseconds since the Unix epoch, by the database's
//! clock.
//!
//! While attempts are free, `free_at` is 0, so that concurrent attempts don't depend on a clock.

use sqlx::AssertSqlSafe;

use super::query::{Columns as _, query};
use crate::{
    base::clock::{ServerTime, millis, to_ms},
    model::{database::Dialect, limit::Limit, window::Expired},
};

/// The current time by the database's clock, unless a test has stopped the clock, at $2, or turned it, by $3.
fn now<DB: Dialect>() -> String {
    format!("(coalesce($2, {}) + $3)", DB::NOW_MS)
}

/// Counts an attempt, unless it comes too early: then returns the milliseconds left. No more concurrent attempts are
/// let through than sequential ones.
pub(crate) async fn count<DB: Dialect>(
    conn: &mut DB::Connection,
    key: &[u8; 32],
    limit: &Limit,
    time: ServerTime,
) -> sqlx::Result<Result<(), i64>> {
    // $4 forgotten after, $5 free of delay, $6 the first delay, $7 the longest
    let count = format!(
        "INSERT INTO auth_attempts AS a (key, attempts, last_at, free_at)
         SELECT $1, 1, t.now, CASE WHEN $5 <= 1 THEN t.now + $6 ELSE 0 END FROM (SELECT {now} AS now) t WHERE true
         ON CONFLICT (key) DO UPDATE SET
             attempts = CASE WHEN a.last_at <= excluded.last_at - $4 THEN 1 ELSE a.attempts + 1 END,
             last_at = excluded.last_at,
             free_at = CASE
                 WHEN a.last_at <= excluded.last_at - $4 THEN excluded.free_at
                 WHEN a.attempts + 1 < $5 THEN 0
                 ELSE excluded.last_at + {least}($7, $6 * (CAST(1 AS bigint) << {least}(a.attempts + 1 - $5, 20)))
             END
         WHERE a.free_at <= excluded.last_at OR a.last_at <= excluded.last_at - $4
         RETURNING attempts",
        now = now::<DB>(),
        least = DB::LEAST,
    );
    let counted = query::<DB>(AssertSqlSafe(count))
        .bind(key.as_slice())
        .bind(time.stopped_at_ms)
        .bind(time.turned_by_ms)
        .bind(millis(limit.forget_after))
        .bind(limit.free)
        .bind(millis(limit.delay.min(limit.max_delay)).min(i64::MAX >> 21))
        .bind(millis(limit.max_delay))
        .fetch_optional(conn)
        .await?;
    match counted {
        Some(_) => Ok(Ok(())),
        None => Ok(Err(time_left::<DB>(conn, key, time).await?)),
    }
}

async fn time_left<DB: Dialect>(conn: &mut DB::Connection, key: &[u8; 32], time: ServerTime) -> sqlx::Result<i64> {
    let left = format!("SELECT free_at - {} AS ms FROM auth_attempts WHERE key = $1", now::<DB>());
    let left = query::<DB>(AssertSqlSafe(left)).bind(key.as_slice()).bind(time.stopped_at_ms).bind(time.turned_by_ms);
    left.fetch_optional(conn).await?.map_or(Ok(0), |row| row.value("ms"))
}

/// Deletes the counters of two keys, and locks the first one first, as attempts that count both do.
pub(crate) async fn forget<DB: Dialect>(
    conn: &mut DB::Connection,
    [first, second]: [&[u8; 32]; 2],
) -> sqlx::Result<()> {
    let forget = format!(
        "DELETE FROM auth_attempts WHERE key IN (
             SELECT key FROM auth_attempts WHERE key IN ($1, $2) ORDER BY key = $2 {})",
        DB::LOCK_ROWS
    );
    let forget = query::<DB>(AssertSqlSafe(forget)).bind(first.as_slice()).bind(second.as_slice());
    forget.execute(conn).await.map(drop)
}

/// Deletes the counter if the next attempt would still have to wait for longer than `longest` milliseconds. Returns
/// whether it did.
pub(crate) async fn forget_those_of_a_wrong_clock<DB: Dialect>(
    conn: &mut DB::Connection,
    key: &[u8; 32],
    longest: i64,
    time: ServerTime,
) -> sqlx::Result<bool> {
    let forget = format!("DELETE FROM auth_attempts WHERE key = $1 AND free_at > {} + $4", now::<DB>());
    let forget = query::<DB>(AssertSqlSafe(forget)).bind(key.as_slice());
    let forget = forget.bind(time.stopped_at_ms).bind(time.turned_by_ms).bind(longest);
    Ok(forget.execute(conn).await? == 1)
}

/// Deletes a batch of counters that nobody has used since a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    let purge = format!(
        "DELETE FROM auth_attempts
         WHERE key IN (SELECT key FROM auth_attempts WHERE last_at <= $1 LIMIT $2 {})",
        DB::SKIP_LOCKED
    );
    query::<DB>(AssertSqlSafe(purge)).bind(to_ms(expired.before)).bind(expired.limit).execute(conn).await
}
