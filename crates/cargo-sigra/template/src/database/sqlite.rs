use std::str::FromStr;

use sqlx::{
    Connection, SqliteConnection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::ACQUIRE_TIMEOUT;

/// The database that the application is built for.
pub type Database = sqlx::Sqlite;

/// The application's schema, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// Where the data of development is.
pub const DEFAULT_URL: &str = "sqlite://my_app_dev.db";

pub(super) const NAME: &str = "SQLite";
// <template>
pub(super) const EXAMPLE: &str = "sqlite://path/to/file.db, or build it with the feature `postgres`";
// </template>
// <!template>
// pub(super) const EXAMPLE: &str = "sqlite://path/to/file.db";
// </!template>
pub(super) const SCHEMES: &[&str] = &["sqlite:"];

pub(super) fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        // A file does not go away between two requests.
        .test_before_acquire(false)
        .after_release(|conn, _| Box::pin(is_out_of_transactions(conn)))
}

/// A transaction that could not be rolled back, as on a disk that fails, ends with its connection: it would go on
/// keeping everybody else from writing.
async fn is_out_of_transactions(conn: &mut SqliteConnection) -> sqlx::Result<bool> {
    if conn.is_in_transaction() {
        // The rollback of one that was dropped is still under way.
        conn.ping().await?;
    }
    Ok(!conn.is_in_transaction())
}

/// The file is made if it is missing.
pub(super) fn options(url: &str) -> sqlx::Result<SqliteConnectOptions> {
    Ok(SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A session that was ended stays ended, also after a power failure.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT))
}
