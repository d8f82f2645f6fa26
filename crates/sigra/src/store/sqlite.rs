use sqlx::{Encode, FromRow, Row, Sqlite, SqliteConnection, Type, sqlite::SqliteRow};
use time::OffsetDateTime;

use super::{Found, NewSession, SessionId, SessionRow, Standing, Store, sql::impl_store};
use crate::{HashedPassword, User, token::TokenHash};

impl_store! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow,
    // A reading transaction becomes a writing one only if nobody wrote meanwhile; one that will write says
    // so from the start, and waits for its turn instead.
    begin: "BEGIN IMMEDIATE",
    time: to_ms, from_ms, i64,
    ids: to_json, "IN (SELECT unhex(value) FROM json_each($1))",
    lock: "", skip_locked: "",
}

/// SQLite has no type for times; these columns hold milliseconds since the Unix epoch.
fn to_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn from_ms(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// SQLite has no arrays either.
fn to_json(ids: &[SessionId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    serde_json::Value::from(ids).to_string()
}
