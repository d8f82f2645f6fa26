//! PostgreSQL.

use std::str::FromStr;

// <migrates>
use sqlx::migrate::{MigrateError, Migrator};
// </migrates>
use sqlx::{
    ConnectOptions, Executor, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

// <install>
use super::error::DatabaseError;
// </install>

/// The database that the application is built for.
pub type Database = sqlx::Postgres;

// <migrates>
/// The application's schema, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");
// </migrates>

pub(super) const NAME: &str = "PostgreSQL";
// <template>
pub(super) const EXAMPLE: &str = "postgres://user:password@host/database, or build it with the feature `sqlite`";
// </template>
// <!template>
// pub(super) const EXAMPLE: &str = "postgres://user:password@host/database";
// </!template>
pub(super) const SCHEMES: &[&str] = &["postgres:", "postgresql:"];

/// How long a statement waits for a lock, such as a migration's, before the response is 503.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

pub(super) fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        // The server may have restarted since the connection was last used.
        .test_before_acquire(true)
        .after_connect(|conn, _| Box::pin(async move { conn.execute(LOCK_TIMEOUT).await.map(drop) }))
}

pub(super) fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    PgConnectOptions::from_str(url)
}

pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    options.connect().await
}

/// Returns the name of the database, if the server has no such database.
pub(super) fn missing<'a>(options: &'a PgConnectOptions, error: &sqlx::Error) -> Option<&'a str> {
    // `invalid_catalog_name`, in https://www.postgresql.org/docs/current/errcodes-appendix.html.
    let is_missing = error.as_database_error()?.code()? == "3D000";
    options.get_database().filter(|_| is_missing)
}

// <migrates>
/// Other servers that start at the same moment wait: sqlx takes a lock.
pub(super) async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError> {
    MIGRATIONS.run(conn).await
}
// </migrates>

// <install>
/// Checks the settings of a pool that the application has opened by itself.
pub(super) async fn check_settings(conn: &mut PgConnection, database: &str) -> Result<(), DatabaseError> {
    let unreachable = |error| DatabaseError::Unreachable { database: database.to_owned(), error };
    let lock_timeout: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(conn).await.map_err(unreachable)?;
    if lock_timeout == "0" {
        tracing::warn!("lock_timeout is 0: requests wait indefinitely for locks, such as those of a migration");
    }
    Ok(())
}
// </install>
