//! The dialect of SQLite.

use sqlx::{
    Database, Decode, Encode, Sqlite, SqlitePool, Type,
    encode::IsNull,
    error::BoxDynError,
    sqlite::{SqliteQueryResult, SqliteTypeInfo, SqliteValueRef},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::in_range;
use crate::{
    base::{clock::to_ms, token::TokenHash},
    cache::wal_index::WalIndex,
    model::database::{Dialect, SqlxQuery, Time},
};

impl Dialect for Sqlite {
    // A transaction that began by reading fails to write if another transaction wrote since. One that locks for writing
    // at its start waits for its turn instead.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const NOW_MS: &'static str = "CAST(unixepoch('subsec') * 1000 AS bigint)";
    const LEAST: &'static str = "min";
    const IN_LIST: &'static str = "IN (SELECT unhex(value) FROM json_each($1))";
    // There is one writer at a time, which has locked the whole database.
    const ISOLATION: &'static str = "NULL";
    const LOCK_USERS: &'static str = "";
    const SKIP_LOCKED: &'static str = "";

    type Feed = WalIndex;

    /// Returns whether the database may exist only for one connection, as in memory.
    fn is_private(host: &SqlitePool) -> bool {
        matches!(host.connect_options().get_filename().to_str(), Some("" | ":memory:"))
    }

    fn bind_ids(query: SqlxQuery<Self>, ids: &[Uuid]) -> SqlxQuery<Self> {
        query.bind(to_json(ids))
    }

    fn bind_tokens(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self> {
        query.bind(to_json(tokens))
    }

    fn rows_affected(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }
}

/// Encodes a list as JSON, because SQLite has no arrays.
fn to_json<T: AsRef<[u8]>>(blobs: &[T]) -> String {
    let hex = |blob: &T| blob.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    serde_json::Value::from_iter(blobs.iter().map(hex)).to_string()
}

/// Milliseconds since the Unix epoch, because SQLite has no type for times.
impl Type<Sqlite> for Time {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl Encode<'_, Sqlite> for Time {
    fn encode_by_ref(&self, buf: &mut <Sqlite as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(to_ms(self.0), buf)
    }
}

impl Decode<'_, Sqlite> for Time {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        let ms: i64 = Decode::<Sqlite>::decode(value)?;
        in_range(OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()).map(Self)
    }
}
