//! SQLite: a file, with a write-ahead log.

#[cfg(unix)]
use std::fs::OpenOptions;
use std::{
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

// <migrates>
use sqlx::migrate::{MigrateError, Migrator};
// </migrates>
use sqlx::{
    ConnectOptions, Connection as _, Executor as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

// <install>
use super::error::DatabaseError;
// </install>

/// The database that the application is built for.
pub type Database = sqlx::Sqlite;

// <migrates>
/// The application's schema, compiled in.
pub const MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");
// </migrates>

pub(super) const NAME: &str = "SQLite";
// <template>
pub(super) const EXAMPLE: &str = "sqlite://path/to/file.db, or build it with the feature `postgres`";
// </template>
// <!template>
// pub(super) const EXAMPLE: &str = "sqlite://path/to/file.db";
// </!template>
pub(super) const SCHEMES: &[&str] = &["sqlite:"];

/// How long a statement waits for another writer, before the response is 503.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a start waits for another server that prepares the same file.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_RETRY_DELAY: Duration = Duration::from_millis(20);

pub(super) fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        // Unlike a server, a file is still there when a connection is used again.
        .test_before_acquire(false)
        .before_acquire(|conn, _| Box::pin(notice_columns(conn)))
        .after_release(|conn, _| Box::pin(has_no_open_transaction(conn)))
}

/// Makes a connection read the schema again if another process has migrated the database. Otherwise, sqlx panics at a
/// statement with `*` whose table has another column, and the statement seems to have found nothing.
async fn notice_columns(conn: &mut SqliteConnection) -> sqlx::Result<bool> {
    conn.execute("SELECT 1 FROM sqlite_schema LIMIT 0").await.map(|_| true)
}

/// Closes a connection whose transaction could not be rolled back, for example because the disk failed: the transaction
/// would keep everybody else from writing.
async fn has_no_open_transaction(conn: &mut SqliteConnection) -> sqlx::Result<bool> {
    if conn.is_in_transaction() {
        // A dropped transaction is rolled back with the next statement.
        conn.ping().await?;
    }
    Ok(!conn.is_in_transaction())
}

/// Creates the file if it is missing.
pub(super) fn options(url: &str) -> sqlx::Result<SqliteConnectOptions> {
    Ok(SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A session that was ended stays ended, even after a power failure.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT))
}

/// Creates the file so that other users of the machine can't read it. The files of the write-ahead log get its
/// permissions. If it can't be created, SQLite says why.
#[cfg(unix)]
fn create_private(file: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;

    // SQLite's own names, such as `file:…` for a database in memory.
    if !file.to_string_lossy().starts_with("file:") {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).ok();
    }
}

/// On Windows, a new file has the permissions of its folder.
#[cfg(not(unix))]
fn create_private(_: &Path) {}

/// The very first connection turns the write-ahead log on. SQLite's busy timeout doesn't cover that, so others try
/// again.
pub(super) async fn connect(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    create_private(options.get_filename());
    let begun = Instant::now();
    loop {
        match options.connect().await {
            Err(error) if is_busy(&error) && begun.elapsed() < START_TIMEOUT => {
                tokio::time::sleep(START_RETRY_DELAY).await
            }
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
/// Migrates in one transaction that locks the file, because sqlx has no lock for migrations on SQLite: other servers
/// that start at the same moment wait, and find nothing left to do.
pub(super) async fn migrate(migrations: &Migrator, conn: &mut SqliteConnection) -> Result<(), MigrateError> {
    if migrations.iter().any(|migration| migration.no_tx) {
        return migrations.run(conn).await;
    }
    let begun = Instant::now();
    loop {
        match conn.begin_with("BEGIN IMMEDIATE").await {
            Ok(mut tx) => {
                migrations.run(&mut *tx).await?;
                return Ok(tx.commit().await?);
            }
            Err(error) if is_busy(&error) && begun.elapsed() < START_TIMEOUT => {
                tokio::time::sleep(START_RETRY_DELAY).await
            }
            Err(error) => return Err(error.into()),
        }
    }
}
// </migrates>

// <install>
/// Checks the settings of a pool that the application has opened by itself.
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
            "the database has no write-ahead log, so readers wait for writers: connect with \
             `.journal_mode(SqliteJournalMode::Wal)`"
        );
    }
    if synchronous < 2 {
        tracing::warn!("`synchronous` is below FULL: a power failure may restore sessions that have ended");
    }
    if busy_timeout == 0 {
        tracing::warn!("`busy_timeout` is 0: a request fails while another connection is writing");
    }
    Ok(())
}
// </install>
