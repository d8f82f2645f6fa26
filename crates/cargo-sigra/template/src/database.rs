//! Opening the database, and migrating it to the newest schema.

// <template>
#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!("choose a database: build with the feature `sqlite` or `postgres`");

// The application is built for one database. `--all-features` turns both on, so one of them has to win.
#[cfg_attr(feature = "postgres", path = "database/postgres.rs")]
#[cfg_attr(not(feature = "postgres"), path = "database/sqlite.rs")]
mod backend;
// </template>
mod error;
// <!template>
// <sqlite>
// mod sqlite;
// </sqlite>
// <postgres>
// mod postgres;
// </postgres>
// </!template>

use std::{ops::DerefMut, time::Duration};

// <migrates>
use sqlx::migrate::{MigrateError, Migrator};
// </migrates>
use sqlx::Connection as _;
// <migrates>
use tokio::{runtime::Handle, task::spawn_blocking};
// </migrates>

// <!template>
// <sqlite>
// use self::sqlite as backend;
// </sqlite>
// <postgres>
// use self::postgres as backend;
// </postgres>
// </!template>
// <migrates>
pub use self::backend::MIGRATIONS;
// </migrates>
pub use self::{backend::Database, error::DatabaseError};

use crate::config::database_url::without_secrets;
// <sqlite>
use crate::config::database_url::from_path;
// </sqlite>

/// A pool of connections to the [`Database`].
pub type Pool = sqlx::Pool<Database>;

/// A connection to the database.
pub type Connection = <Database as sqlx::Database>::Connection;

/// How long a request waits for a connection before the response is 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens the database at a URL.
pub async fn open(url: &str) -> Result<Pool, DatabaseError> {
    // <sqlite>
    let url = &*from_path(url);
    // </sqlite>
    if !backend::SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        let (built_for, example) = (backend::NAME, backend::EXAMPLE);
        return Err(DatabaseError::Url { url: without_secrets(url), built_for, example });
    }
    let database = format!("`{}`", without_secrets(url));
    let unreachable = |error| DatabaseError::Unreachable { database: database.clone(), error };
    let options = backend::options(url).map_err(unreachable)?;
    // Connect once first: a pool retries until it times out, which hides the cause.
    let connected = backend::connect(&options).await;
    // <postgres>
    // <template>
    #[cfg(feature = "postgres")]
    // </template>
    if let Some(name) = connected.as_ref().err().and_then(|error| backend::missing_database(&options, error)) {
        return Err(DatabaseError::Missing { database, name: name.to_owned() });
    }
    // </postgres>
    let conn = Box::new(connected.map_err(unreachable)?);
    let conn = prepare(conn, &database).await?;
    conn.close().await.map_err(unreachable)?;
    Ok(backend::pool_options().acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options))
}

// <install>
/// Prepares a database that the application has opened.
pub async fn prepare_pool(pool: &Pool) -> Result<(), DatabaseError> {
    let database = "of the application".to_owned();
    let mut conn =
        pool.acquire().await.map_err(|error| DatabaseError::Unreachable { database: database.clone(), error })?;
    backend::check_settings(&mut conn, &database).await?;
    prepare(conn, &database).await.map(drop)
}
// </install>

/// Brings the schema up to date, and returns the connection.
async fn prepare<C>(conn: C, database: &str) -> Result<C, DatabaseError>
where
    C: DerefMut<Target = Connection> + Send + 'static,
{
    // <migrates>
    let failed = |error| DatabaseError::Migration { database: database.to_owned(), error };
    let conn = migrate(conn).await.map_err(failed)?;
    // </migrates>
    // <install>
    let mut conn = conn;
    let look = sqlx::query("SELECT 1 FROM users_tokens LIMIT 1").execute(&mut *conn).await;
    look.map_err(|error| DatabaseError::Unmigrated { database: database.to_owned(), error })?;
    // </install>
    Ok(conn)
}

// <migrates>
/// Runs on its own thread: the application may start in a task that moves between threads, and the future of a
/// migration can't.
async fn migrate<C>(mut conn: C) -> Result<C, MigrateError>
where
    C: DerefMut<Target = Connection> + Send + 'static,
{
    let runtime = Handle::current();
    let migrate = move || runtime.block_on(migrate_ignoring_newer(MIGRATIONS, &mut conn)).map(|()| conn);
    spawn_blocking(migrate).await.map_err(|error| sqlx::Error::Io(error.into()))?
}

/// Runs the migrations that the database lacks. Migrations that are newer than these stay: another server runs a newer
/// version of the application, or did before a rollback. One that is missing among these is of another branch.
async fn migrate_ignoring_newer(mut migrations: Migrator, conn: &mut Connection) -> Result<(), MigrateError> {
    match backend::migrate(&migrations, conn).await {
        // The oldest of those that are missing here.
        Err(MigrateError::VersionMissing(version)) if migrations.iter().all(|known| known.version < version) => {
            tracing::warn!(version, "the database has migrations of a newer version of the application");
            backend::migrate(migrations.set_ignore_missing(true), conn).await
        }
        migrated => migrated,
    }
}
// </migrates>
