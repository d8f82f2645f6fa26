//! The database's clock.

use sqlx::AssertSqlSafe;

use super::query::{Columns as _, query};
use crate::{base::clock::ServerTime, model::database::Dialect};

/// Returns the milliseconds from the Unix epoch to now, unless a test has stopped the clock, or turned it.
pub(crate) async fn now_ms<DB: Dialect>(conn: &mut DB::Connection, time: ServerTime) -> sqlx::Result<i64> {
    let now = format!("SELECT coalesce($1, {}) + $2 AS ms", DB::NOW_MS);
    let now = query::<DB>(AssertSqlSafe(now)).bind(time.stopped_at_ms).bind(time.turned_by_ms);
    now.fetch_one(conn).await?.value("ms")
}
