//! What the peers in Rust share.

#[path = "../../src/settings.rs"]
pub mod settings;

use std::path::Path;

use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::settings::Settings;

/// Any failure: it is printed, and the server ends.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

pub async fn open_sqlite(settings: &Settings) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(Path::new(&settings.database))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    Ok(SqlitePoolOptions::new().max_connections(settings.pool).connect_with(options).await?)
}

pub async fn open_postgres(settings: &Settings) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(settings.pool).connect(&settings.database).await?)
}
