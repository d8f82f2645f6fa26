use sqlx::{Encode, FromRow, Row, Sqlite, SqliteConnection, SqlitePool, Type, sqlite::SqliteRow};
use time::OffsetDateTime;

use super::{
    Found, NewSession, OwnPool, SessionId, SessionRow, Standing, Store,
    attempts::impl_attempts,
    audit_log::impl_audit_log,
    browsers::impl_browsers,
    email_tokens::impl_email_tokens,
    from_ms,
    outgoing_mails::impl_outgoing_mails,
    passkeys::impl_passkeys,
    row::{read, readable},
    second_factors::impl_second_factors,
    sql::impl_store,
    statement::statement,
    to_ms,
};
use crate::{
    base::token::{SessionHashes, TokenHash},
    cache::wal_index::WalIndex,
    model::user::{AuthUser, HashedPassword},
};

impl_store! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow,
    // A reading transaction becomes a writing one only if nobody wrote meanwhile; one that will write says
    // so from the start, and waits for its turn instead.
    begin: "BEGIN IMMEDIATE",
    // SQLite has no type for times either.
    time: to_ms, from_ms, i64,
    ids: to_json, "IN (SELECT unhex(value) FROM json_each($1))",
    tokens: to_json, "IN (SELECT unhex(value) FROM json_each($1))",
    lock_user: "", check_isolation: is_isolated, isolation: "NULL", skip_locked: "",
    feed: WalIndex, own_pool: own_pool,
}

impl_email_tokens! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow, time: to_ms, from_ms, i64,
    lock_user: "", check_isolation: is_isolated, isolation: "NULL", skip_locked: "",
}

impl_audit_log! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow, time: to_ms, from_ms, i64,
    skip_locked: "",
}

impl_second_factors! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow, time: to_ms, from_ms, i64,
    skip_locked: "",
}

impl_passkeys! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow, time: to_ms, from_ms, i64, skip_locked: "",
}

impl_outgoing_mails! {
    database: Sqlite, connection: SqliteConnection, clock: "CAST(unixepoch('subsec') * 1000 AS bigint)",
    skip_locked: "",
}

impl_browsers! {
    database: Sqlite, connection: SqliteConnection, row: SqliteRow, time: to_ms, from_ms, i64,
    tokens: to_json, "IN (SELECT unhex(value) FROM json_each($1))", skip_locked: "",
}

impl_attempts! {
    database: Sqlite, connection: SqliteConnection, least: "min",
    clock: "CAST(unixepoch('subsec') * 1000 AS bigint)", skip_locked: "",
}

/// There is one writer at a time.
fn is_isolated(_: &SqliteRow) -> sqlx::Result<()> {
    Ok(())
}

/// SQLite has no arrays.
fn to_json<T: AsRef<[u8]>>(blobs: &[T]) -> String {
    let hex = |blob: &T| blob.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    serde_json::Value::from_iter(blobs.iter().map(hex)).to_string()
}

/// A database in memory may exist for one connection only.
fn own_pool(host: &SqlitePool) -> OwnPool<Sqlite> {
    match host.connect_options().get_filename().to_str() {
        Some("" | ":memory:") => OwnPool::Borrowed(host.clone()),
        _ => OwnPool::like(host),
    }
}
