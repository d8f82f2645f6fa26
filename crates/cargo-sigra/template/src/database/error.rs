//! Why the database can't be used. Each error is one sentence, for the person who starts the application.

// <migrates>
use sqlx::migrate::MigrateError;
// </migrates>

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("DATABASE_URL is `{url}`, and this application is built for {built_for}: use {example}")]
    Url { url: String, built_for: &'static str, example: &'static str },
    #[error("the database {database} can't be opened: {}", message_of(.error))]
    Unreachable { database: String, error: sqlx::Error },
    // <postgres>
    #[error("the database {database} doesn't exist: create it, such as with `createdb {name}`")]
    Missing { database: String, name: String },
    // </postgres>
    // <migrates>
    #[error("the database {database} can't be migrated: {error}")]
    Migration { database: String, error: MigrateError },
    // </migrates>
    // <install>
    #[error("the database {database} has no tables for accounts: run your migrations before accounts start ({})", message_of(.error))]
    Unmigrated { database: String, error: sqlx::Error },
    // <sqlite>
    #[error(
        "foreign keys are off in the database {0}, so sessions would outlive their users: remove `.foreign_keys(false)`"
    )]
    NoForeignKeys(String),
    // </sqlite>
    // </install>
}

/// Returns the message of the database. sqlx adds the line of PostgreSQL's own sources that it comes from.
fn message_of(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
