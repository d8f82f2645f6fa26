//! Checkpoints of SQLite's write-ahead log, outside of users' commits.

use super::query::{Columns as _, query};
use crate::model::database::{Checkpoint, Dialect};

/// Copies what the write-ahead log has into the database, if the host leaves that to commits.
pub(crate) async fn checkpoint<DB: Dialect>(conn: &mut DB::Connection) -> sqlx::Result<()> {
    let Some(Checkpoint { run, interval, column }) = DB::CHECKPOINT else { return Ok(()) };
    // A host whose database is replicated from its log has turned that off.
    if query::<DB>(interval).fetch_one(conn).await?.value::<i64>(column)? > 0 {
        query::<DB>(run).execute(conn).await?;
    }
    Ok(())
}
