use std::str::FromStr;

use sqlx::{
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
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

/// A file does not go away between two requests.
pub(super) const TEST_BEFORE_ACQUIRE: bool = false;

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
