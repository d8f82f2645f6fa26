//! The dialect of PostgreSQL.

use std::time::Duration;

use sqlx::{
    Database, Decode, Encode, PgConnection, PgPool, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgQueryResult, PgTypeInfo, PgValueRef},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::in_range;
use crate::{
    base::token::TokenHash,
    cache::listener::Listener,
    model::database::{Checkpoint, Dialect, SqlxQuery, Time},
};

impl Dialect for Postgres {
    // Set explicitly, because the defaults of the role or the database may differ. In READ COMMITTED, the statement
    // after a row lock sees what the lock waited for; with a snapshot of the whole transaction it wouldn't. The timeout
    // makes a login fail when a migration holds the lock, instead of waiting for its end.
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '3s'";
    const NOW_MS: &'static str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)";
    const LEAST: &'static str = "least";
    const IN_LIST: &'static str = "= ANY($1)";
    const ISOLATION: &'static str = "current_setting('transaction_isolation')";
    const LOCK_USERS: &'static str = "FOR NO KEY UPDATE OF u";
    const LOCK_ROWS: &'static str = "FOR UPDATE";
    const SKIP_LOCKED: &'static str = "FOR UPDATE SKIP LOCKED";
    const NOTICE_COLUMNS: Option<&'static str> = None;
    // Longer than the locks of `BEGIN` and the commits of a slow disk.
    const RESPONSE_LIMIT: Option<Duration> = Some(Duration::from_secs(15));
    const CHECKPOINT: Option<Checkpoint> = None;

    type Feed = Listener;

    async fn prepare_reader(_: &mut PgConnection) -> sqlx::Result<()> {
        Ok(())
    }

    fn is_private(_: &PgPool) -> bool {
        false
    }

    fn bind_ids(query: SqlxQuery<Self>, ids: &[Uuid]) -> SqlxQuery<Self> {
        query.bind(ids)
    }

    fn bind_tokens(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self> {
        query.bind(tokens.iter().map(TokenHash::as_bytes).collect::<Vec<_>>())
    }

    fn lookup(_: usize) -> (String, &'static str) {
        (String::new(), Self::IN_LIST)
    }

    fn bind_lookup(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self> {
        Self::bind_tokens(query, tokens)
    }

    fn lookup_sessions(_: usize) -> String {
        "unnest($1::bytea[], $2::bytea[]) AS asked (token, series) CROSS JOIN".to_owned()
    }

    fn bind_sessions(query: SqlxQuery<Self>, tokens: &[TokenHash], series: &[TokenHash]) -> SqlxQuery<Self> {
        Self::bind_tokens(Self::bind_tokens(query, tokens), series)
    }

    fn rows_affected(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buf: &mut <Postgres as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buf)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        in_range(Some(Decode::<Postgres>::decode(value)?)).map(Self)
    }
}
