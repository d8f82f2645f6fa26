//! Beginning transactions that write.

use sqlx::{Connection, Pool, SqlSafeStr, Transaction};

use crate::model::database::{Dialect, in_time};

/// Starts a transaction that can write, on a connection that is in no transaction.
///
/// SQLite ends a transaction by itself if the disk is full or fails (<https://www.sqlite.org/lang_transaction.html>,
/// "Response To Errors Within A Transaction"). sqlx doesn't notice: its own rollback finds no transaction and fails,
/// and the connection returns to the pool marked as in a transaction, so that no other can begin on it. This closes
/// such a connection and takes another.
pub(crate) async fn begin<DB: Dialect>(pool: &Pool<DB>) -> sqlx::Result<Transaction<'static, DB>> {
    loop {
        let conn = pool.acquire().await?;
        if !conn.is_in_transaction() {
            let begun = Transaction::begin(conn, Some(DB::BEGIN.into_sql_str()));
            return in_time::<DB, _>(Box::pin(begun)).await;
        }
        tracing::warn!(target: "sigra", "closing a connection whose transaction the database has ended");
        // An error here would only repeat the earlier failure.
        drop(conn.close().await);
    }
}
