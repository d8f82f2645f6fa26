use sqlx::{Encode, FromRow, PgConnection, Postgres, Row, Type, postgres::PgRow};
use time::OffsetDateTime;

use super::{
    Found, NewSession, OwnPool, SessionId, SessionRow, Standing, Store, WrongIsolation,
    attempts::impl_attempts,
    audit_log::impl_audit_log,
    browsers::impl_browsers,
    email_tokens::impl_email_tokens,
    outgoing_mails::impl_outgoing_mails,
    passkeys::impl_passkeys,
    row::{self, read, readable},
    second_factors::impl_second_factors,
    sql::impl_store,
    statement::statement,
};
use crate::{
    base::token::{SessionHashes, TokenHash},
    cache::listener::Listener,
    model::user::{AuthUser, HashedPassword},
};

impl_store! {
    database: Postgres, connection: PgConnection, row: PgRow,
    // Whatever the role or the database defaults to: a row lock keeps others waiting, and what they have waited for is
    // seen by the next statement. With a snapshot of the whole transaction it would not be. Who waits for what others
    // have locked is told so: a log-in does not last as long as a migration.
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '3s'",
    time: itself, in_range, OffsetDateTime,
    ids: to_array, "= ANY($1)",
    tokens: to_bytes, "= ANY($1)",
    lock_user: " FOR NO KEY UPDATE OF u", check_isolation: check_isolation,
    isolation: "current_setting('transaction_isolation')", skip_locked: " FOR UPDATE SKIP LOCKED",
    feed: Listener, own_pool: OwnPool::like,
}

impl_email_tokens! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, in_range, OffsetDateTime,
    lock_user: " FOR NO KEY UPDATE OF u", check_isolation: check_isolation,
    isolation: "current_setting('transaction_isolation')", skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_audit_log! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, in_range, OffsetDateTime,
    skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_second_factors! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, in_range, OffsetDateTime,
    skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_passkeys! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, in_range, OffsetDateTime,
    skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_outgoing_mails! {
    database: Postgres, connection: PgConnection, clock: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_browsers! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, in_range, OffsetDateTime,
    tokens: to_bytes, "= ANY($1)", skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_attempts! {
    database: Postgres, connection: PgConnection, least: "least",
    clock: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", skip_locked: " FOR UPDATE SKIP LOCKED",
}

fn itself(at: OffsetDateTime) -> OffsetDateTime {
    at
}

/// What locks the user's row relies on it.
fn check_isolation(row: &PgRow) -> sqlx::Result<()> {
    match row.try_get("sigra_isolation")? {
        // The same to PostgreSQL.
        "read committed" | "read uncommitted" => Ok(()),
        level => Err(WrongIsolation(level.to_owned()).into()),
    }
}

fn in_range(at: OffsetDateTime) -> sqlx::Result<OffsetDateTime> {
    row::in_range(Some(at))
}

fn to_array(ids: &[SessionId]) -> Vec<SessionId> {
    ids.to_vec()
}

fn to_bytes(tokens: &[TokenHash]) -> Vec<&[u8]> {
    tokens.iter().map(TokenHash::as_bytes).collect()
}
