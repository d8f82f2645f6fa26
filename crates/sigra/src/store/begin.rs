use sqlx::{Connection, Pool, SqlSafeStr, Transaction};

use crate::model::database::Dialect;

/// Starts a transaction that may write, on a connection that is in none.
///
/// SQLite ends a transaction by itself where it can't go on: when the disk is full, or fails
/// (<https://www.sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction"). sqlx does not hear of it:
/// its own rollback finds no transaction and fails, and the connection goes back to the pool in the belief that it is
/// in one, where no other can begin. Such a connection is closed here, and another takes its place.
pub(crate) async fn begin<DB: Dialect>(pool: &Pool<DB>) -> sqlx::Result<Transaction<'static, DB>> {
    loop {
        let conn = pool.acquire().await?;
        if !conn.is_in_transaction() {
            return Transaction::begin(conn, Some(DB::BEGIN.into_sql_str())).await;
        }
        tracing::warn!(target: "sigra", "a connection is closed whose transaction the database has ended");
        // It could only tell that it has failed before.
        drop(conn.close().await);
    }
}
