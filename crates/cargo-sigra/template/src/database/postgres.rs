use std::str::FromStr;

use sqlx::{migrate::Migrator, postgres::PgConnectOptions};

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

/// A server may have been started again since a connection was used.
pub(super) const TEST_BEFORE_ACQUIRE: bool = true;

pub(super) fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    PgConnectOptions::from_str(url)
}
