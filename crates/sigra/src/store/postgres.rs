use sqlx::{Encode, FromRow, PgConnection, Postgres, Row, Type, postgres::PgRow};
use time::OffsetDateTime;

use super::{
    Found, NewSession, OwnPool, SessionId, SessionRow, Standing, Store, attempts::impl_attempts,
    audit_log::impl_audit_log, email_tokens::impl_email_tokens, passkeys::impl_passkeys,
    second_factors::impl_second_factors, sql::impl_store, statement::statement,
};
use crate::{HashedPassword, User, feed::Listener, token::TokenHash};

impl_store! {
    database: Postgres, connection: PgConnection, row: PgRow,
    // Who waits for what others have locked is told so: a log-in does not last as long as a migration.
    begin: "BEGIN; SET LOCAL lock_timeout = '3s'",
    time: itself, itself, OffsetDateTime,
    ids: to_array, "= ANY($1)",
    tokens: to_bytes, "= ANY($1)",
    lock_user: " FOR NO KEY UPDATE OF u", skip_locked: " FOR UPDATE SKIP LOCKED",
    unannounced: " AND set_config('sigra.purging', 'on', true) = 'on'",
    feed: Listener, own_pool: OwnPool::like,
}

impl_email_tokens! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, itself, OffsetDateTime,
    lock_user: " FOR NO KEY UPDATE OF u", skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_audit_log! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, itself, OffsetDateTime,
}

impl_second_factors! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, itself, OffsetDateTime,
    skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_passkeys! {
    database: Postgres, connection: PgConnection, row: PgRow, time: itself, itself, OffsetDateTime,
    skip_locked: " FOR UPDATE SKIP LOCKED",
}

impl_attempts! {
    database: Postgres, connection: PgConnection, least: "least",
    clock: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", skip_locked: " FOR UPDATE SKIP LOCKED",
}

fn itself(at: OffsetDateTime) -> OffsetDateTime {
    at
}

fn to_array(ids: &[SessionId]) -> Vec<SessionId> {
    ids.to_vec()
}

fn to_bytes(tokens: &[TokenHash]) -> Vec<&[u8]> {
    tokens.iter().map(TokenHash::as_bytes).collect()
}
