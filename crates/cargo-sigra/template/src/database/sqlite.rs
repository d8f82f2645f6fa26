//! SQLite: a file, with a write-ahead log.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

// <migrates>
use sqlx::migrate::{MigrateError, Migrator};
// </migrates>
use sqlx::{
    ConnectOptions, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

// <install>
use super::error::DatabaseError;
// </install>

/// The database that the application is built for.
pub type Database = sqlx::Sqlite;

// <migrates>
/// The application's schema, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");
// </migrates>

pub(super) const NAME: &str = "SQLite";
// <template>
pub(super) const EXAMPLE: &str = "sqlite://path/to/file.db, or build it with the feature `postgres`";
// </template>
// <!template>
// pub(super) const EXAMPLE: &str = "sqlite://path/to/file.db";
// </!template>
pub(super) const SCHEMES: &[&str] = &["sqlite:"];

/// How long a statement waits for somebody else who writes, before it is answered with 503.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a start waits for another one that prepares the same file.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_AGAIN: Duration = Duration::from_millis(20);

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
        .busy_timeout(BUSY_TIMEOUT))
}

/// The first connection of all makes the file one with a write-ahead log, and SQLite lets nobody wait for that.
pub(super) async fn connect(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let begun = Instant::now();
    loop {
        match options.connect().await {
            Err(error) if is_busy(&error) && begun.elapsed() < START_TIMEOUT => tokio::time::sleep(START_AGAIN).await,
            connected => return connected,
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, in the lowest byte of https://www.sqlite.org/rescode.html.
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

// <migrates>
/// In one transaction that nobody else can begin, for sqlx has no lock for it on SQLite: others that start at the same
/// moment wait, and find nothing left to do.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), MigrateError> {
    if MIGRATIONS.iter().any(|migration| migration.no_tx) {
        return MIGRATIONS.run(conn).await;
    }
    let begun = Instant::now();
    loop {
        match conn.begin_with("BEGIN IMMEDIATE").await {
            Ok(mut tx) => {
                MIGRATIONS.run(&mut *tx).await?;
                return Ok(tx.commit().await?);
            }
            Err(error) if is_busy(&error) && begun.elapsed() < START_TIMEOUT => tokio::time::sleep(START_AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}
// </migrates>

// <install>
/// What accounts need of connections that the application has opened.
pub(super) async fn check_settings(conn: &mut SqliteConnection, database: &str) -> Result<(), DatabaseError> {
    let unreachable = |error| DatabaseError::Unreachable { database: database.to_owned(), error };
    let settings =
        "SELECT (SELECT foreign_keys FROM pragma_foreign_keys), (SELECT journal_mode FROM pragma_journal_mode),
        (SELECT synchronous FROM pragma_synchronous), (SELECT timeout FROM pragma_busy_timeout)";
    let settings: (bool, String, i64, i64) = sqlx::query_as(settings).fetch_one(conn).await.map_err(unreachable)?;
    let (foreign_keys, journal_mode, synchronous, busy_timeout) = settings;
    if !foreign_keys {
        return Err(DatabaseError::NoForeignKeys(database.to_owned()));
    }
    if journal_mode == "delete" {
        tracing::warn!(
            "the database has no write-ahead log, so that whoever reads waits for who writes: connect with \
             `.journal_mode(SqliteJournalMode::Wal)`"
        );
    }
    if synchronous < 2 {
        tracing::warn!("`synchronous` is below FULL: a power failure may bring back sessions that were ended");
    }
    if busy_timeout == 0 {
        tracing::warn!("`busy_timeout` is 0: a request fails if somebody else is writing at the same moment");
    }
    Ok(())
}
// </install>
