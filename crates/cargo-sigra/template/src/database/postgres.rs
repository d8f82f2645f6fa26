use std::str::FromStr;

use sqlx::{
    Executor,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// The database that the application is built for.
pub type Database = sqlx::Postgres;

/// The application's schema, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// Where the data of development is.
pub const DEFAULT_URL: &str = "postgres://localhost/my_app_dev";

pub(super) const NAME: &str = "PostgreSQL";
// <template>
pub(super) const EXAMPLE: &str = "postgres://user:password@host/database, or build it with the feature `sqlite`";
// </template>
// <!template>
// pub(super) const EXAMPLE: &str = "postgres://user:password@host/database";
// </!template>
pub(super) const SCHEMES: &[&str] = &["postgres:", "postgresql:"];

/// How long a statement waits for what somebody else has locked, such as a migration, before it is answered with 503.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

pub(super) fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        // A server may have been started again since a connection was used.
        .test_before_acquire(true)
        .after_connect(|conn, _| Box::pin(async move { conn.execute(LOCK_TIMEOUT).await.map(drop) }))
}

pub(super) fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    PgConnectOptions::from_str(url)
}
