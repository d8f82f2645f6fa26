//! Opening the database, and migrating it to the newest schema.

// <template>
#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!("choose a database: build with the feature `sqlite` or `postgres`");

// The application is built for one database. `--all-features` turns both on, so one of them has to win.
#[cfg_attr(feature = "postgres", path = "database/postgres.rs")]
#[cfg_attr(not(feature = "postgres"), path = "database/sqlite.rs")]
mod backend;
// </template>
// <!template>
// <sqlite>
// mod sqlite;
// </sqlite>
// <postgres>
// mod postgres;
// </postgres>
// </!template>

// <sqlite>
use std::borrow::Cow;
// </sqlite>
use std::time::Duration;

// <migrates>
use sqlx::migrate::MigrateError;
// </migrates>
use sqlx::Connection as _;
use url::Url;
// <sqlite>
use url::form_urlencoded;
// </sqlite>

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
pub use self::backend::{DEFAULT_URL, Database};

/// A pool of connections to the [`Database`].
pub type Pool = sqlx::Pool<Database>;

/// One of them.
pub type Connection = <Database as sqlx::Database>::Connection;

/// How long a request waits for a connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no database, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(
        "DATABASE_URL is `{0}`, and this application is built for {name}: use {example}",
        name = backend::NAME,
        example = backend::EXAMPLE
    )]
    Url(String),
    #[error("the database {database} can't be opened: {error}")]
    Unreachable { database: String, error: sqlx::Error },
    // <migrates>
    #[error("the database {database} can't be migrated: {error}")]
    Migration { database: String, error: MigrateError },
    // </migrates>
    // <install>
    #[error("the database {database} has no tables of accounts: run your migrations before accounts start ({error})")]
    Unmigrated { database: String, error: sqlx::Error },
    // <sqlite>
    #[error(
        "foreign keys are off in the database {0}, so that sessions would outlive their users: leave out `.foreign_keys(false)`"
    )]
    NoForeignKeys(String),
    // </sqlite>
    // </install>
}

/// Opens the database that a URL names.
pub async fn open(url: &str) -> Result<Pool, DatabaseError> {
    // <sqlite>
    let url = &*of_path(url);
    // </sqlite>
    if !backend::SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(DatabaseError::Url(without_secrets(url)));
    }
    let database = format!("`{}`", without_secrets(url));
    let unreachable = |error| DatabaseError::Unreachable { database: database.clone(), error };
    let options = backend::options(url).map_err(unreachable)?;
    // A pool would try until its time is over, and could not say what is wrong.
    let mut conn = backend::connect(&options).await.map_err(unreachable)?;
    prepare(&mut conn, &database).await?;
    conn.close().await.map_err(unreachable)?;
    Ok(backend::pool_options().acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options))
}

// <install>
/// Makes a database ready that the application has opened by itself.
pub async fn prepare_own(pool: &Pool) -> Result<(), DatabaseError> {
    let database = "of the application".to_owned();
    let mut conn =
        pool.acquire().await.map_err(|error| DatabaseError::Unreachable { database: database.clone(), error })?;
    backend::check_settings(&mut conn, &database).await?;
    prepare(&mut conn, &database).await
}
// </install>

/// Brings the schema up to date.
async fn prepare(conn: &mut Connection, database: &str) -> Result<(), DatabaseError> {
    // <migrates>
    let failed = |error| DatabaseError::Migration { database: database.to_owned(), error };
    backend::migrate(conn).await.map_err(failed)?;
    // </migrates>
    // <install>
    let look = sqlx::query("SELECT 1 FROM users_tokens LIMIT 1").execute(conn).await;
    look.map_err(|error| DatabaseError::Unmigrated { database: database.to_owned(), error })?;
    // </install>
    Ok(())
}

// <sqlite>
/// A file may be named by its path alone, as in `app.db`.
fn of_path(url: &str) -> Cow<'_, str> {
    let is_path = backend::SCHEMES == ["sqlite:"] && (!url.contains(':') || url == ":memory:");
    if is_path { format!("sqlite://{url}").into() } else { url.into() }
}

/// Whether SQLite would keep the data in memory, or in a file that it deletes.
pub fn is_in_memory(url: &str) -> bool {
    let url = of_path(url);
    let Some(rest) = url.strip_prefix("sqlite:") else { return false };
    let (file, params) = rest.split_once('?').unwrap_or((rest, ""));
    let is_of_memory = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
        matches!((&*name, &*value), ("mode", "memory") | ("vfs", "memdb"))
    };
    let file = file.trim_start_matches("//");
    file.is_empty() || file.contains(":memory:") || form_urlencoded::parse(params.as_bytes()).any(is_of_memory)
}
// </sqlite>

/// A URL that may be shown. A password may stand before the host, or among the parameters.
fn without_secrets(url: &str) -> String {
    if !url.contains(['@', '?']) {
        return url.to_owned();
    }
    let Ok(mut shown) = Url::parse(url) else { return "***".to_owned() };
    if shown.password().is_some() {
        let _ = shown.set_password(Some("***"));
    }
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    // <sqlite>
    use super::is_in_memory;
    // </sqlite>
    use super::without_secrets;

    // <sqlite>
    #[test]
    fn what_is_lost_at_the_end_is_told_from_a_file() {
        let in_memory = ["sqlite::memory:", "sqlite://:memory:", "sqlite://a.db?mode=memory", "sqlite:file::memory:"];
        for url in in_memory.into_iter().chain(["sqlite:", "sqlite://", "sqlite://a?cache=shared&mode=memory"]) {
            assert!(is_in_memory(url), "{url}");
        }
        for url in ["sqlite://memory.db", "sqlite:///a.db?mode=rwc", "postgres://localhost/memory"] {
            assert!(!is_in_memory(url), "{url}");
        }
    }
    // </sqlite>

    #[test]
    fn a_url_is_shown_without_secrets() {
        for (url, shown) in [
            ("sqlite://my_app_dev.db", "sqlite://my_app_dev.db"),
            ("postgres://ada@localhost/my_app", "postgres://ada@localhost/my_app"),
            ("postgres://ada:secret@localhost/my_app", "postgres://ada:***@localhost/my_app"),
            ("postgres://localhost/my_app?password=secret", "postgres://localhost/my_app?***"),
            ("postgres://ada:secret@local host/my_app", "***"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
