//! Why the database can't be used. Each error is one sentence, for the person who starts the application.

// <migrates>
use sqlx::migrate::MigrateError;
// </migrates>

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("DATABASE_URL is `{url}`, and this application is built for {built_for}: use {example}")]
    Url { url: String, built_for: &'static str, example: &'static str },
    #[error("the database {database} can't be opened: {error}")]
    Unreachable { database: String, error: sqlx::Error },
    // <migrates>
    #[error("the database {database} can't be migrated: {error}")]
    Migration { database: String, error: MigrateError },
    // </migrates>
    // <install>
    #[error("the database {database} has no tables for accounts: run your migrations before accounts start ({error})")]
    Unmigrated { database: String, error: sqlx::Error },
    // <sqlite>
    #[error(
        "foreign keys are off in the database {0}, so sessions would outlive their users: remove `.foreign_keys(false)`"
    )]
    NoForeignKeys(String),
    // </sqlite>
    // </install>
}
