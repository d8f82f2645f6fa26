//! Opening the database: created where it is missing, migrated to the newest schema.

use std::{str::FromStr, time::Duration};

use sqlx::{
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

/// The database that the application is built for.
pub type Database = sqlx::Sqlite;
/// A pool of its connections.
pub type Pool = sqlx::Pool<Database>;

/// The application's schema, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a request waits for a connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no database, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("DATABASE_URL is `{0}`, and this application is built for SQLite: use sqlite://path/to/file.db")]
    Url(String),
    #[error("the database `{url}` can't be opened: {error}")]
    Unreachable { url: String, error: sqlx::Error },
    #[error("the database `{url}` can't be migrated: {error}")]
    Migration { url: String, error: MigrateError },
}

/// Opens the database that a URL names.
pub async fn open(url: &str) -> Result<Pool, DatabaseError> {
    if !url.starts_with("sqlite:") {
        return Err(DatabaseError::Url(without_password(url)));
    }
    let unreachable = |error| DatabaseError::Unreachable { url: url.to_owned(), error };
    let options = SqliteConnectOptions::from_str(url)
        .map_err(unreachable)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(ACQUIRE_TIMEOUT);
    let pool =
        SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await.map_err(unreachable)?;
    MIGRATIONS.run(&pool).await.map_err(|error| DatabaseError::Migration { url: url.to_owned(), error })?;
    Ok(pool)
}

/// A URL that may be shown.
fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.into()
        }
        _ => url.to_owned(),
    }
}
