//! Deleting expired rows, batch by batch.

use sqlx::AssertSqlSafe;

use super::query::query;
use crate::model::{
    database::{Dialect, Time},
    window::Expired,
};

/// Deletes a batch of a table's rows. `condition` says which have expired, and may order them: `$1` is the time. Rows that
/// another process is purging are left to it.
pub(super) async fn purge_rows<DB: Dialect>(
    conn: &mut DB::Connection,
    table: &str,
    key: &str,
    condition: &str,
    expired: Expired,
) -> sqlx::Result<u64> {
    let purge = format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT $2 {skip_locked})",
        skip_locked = DB::SKIP_LOCKED
    );
    query::<DB>(AssertSqlSafe(purge)).bind(Time(expired.before)).bind(expired.limit).execute(conn).await
}
