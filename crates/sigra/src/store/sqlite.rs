//! The dialect of SQLite.

use std::time::Duration;

use sqlx::{
    Database, Decode, Encode, Executor, Sqlite, SqliteConnection, SqlitePool, Type,
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
    model::database::{Checkpoint, Dialect, SqlxQuery, Time},
};

/// The size of a connection's page cache if nobody has set it. Negative sizes are in KiB.
const DEFAULT_CACHE: i64 = -2000;

/// The length of a hash, in bytes.
const HASH: usize = 32;

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
    const LOCK_ROWS: &'static str = "";
    const SKIP_LOCKED: &'static str = "";
    // Preparing a statement doesn't read the schema again, but running one does.
    const NOTICE_COLUMNS: Option<&'static str> = Some("SELECT 1 FROM sqlite_schema LIMIT 0");
    const RESPONSE_LIMIT: Option<Duration> = None;
    const CHECKPOINT: Option<Checkpoint> = Some(Checkpoint {
        run: "PRAGMA wal_checkpoint(PASSIVE)",
        interval: "PRAGMA wal_autocheckpoint",
        column: "wal_autocheckpoint",
    });

    type Feed = WalIndex;

    /// Makes room for the pages of the busiest sessions, unless the host has set the size of the cache itself. In 2
    /// MiB, only about five hundred fit, each with a page of the table, of its index, and of the user's.
    async fn prepare_reader(conn: &mut SqliteConnection) -> sqlx::Result<()> {
        let size: i64 = sqlx::query_scalar("PRAGMA cache_size").fetch_one(&mut *conn).await?;
        if size == DEFAULT_CACHE {
            conn.execute("PRAGMA cache_size = -8192").await?;
        }
        Ok(())
    }

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

    /// A join with the hashes finds each in the index. `IN` would copy them into a temporary table first, and JSON
    /// would have to be parsed, which takes longer than finding the row.
    fn lookup(places: usize) -> (String, &'static str) {
        let hashes: Vec<String> = (0..places).map(|n| format!("(substr($1, {}, {HASH}))", n * HASH + 1)).collect();
        let asked = format!("(SELECT column1 AS token FROM (VALUES {})) asked CROSS JOIN", hashes.join(", "));
        (asked, "= asked.token AND asked.token <> x''")
    }

    fn bind_lookup(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self> {
        query.bind(tokens.iter().flat_map(TokenHash::as_bytes).copied().collect::<Vec<u8>>())
    }

    fn lookup_sessions(places: usize) -> String {
        let hash = |n: usize| format!("substr($1, {}, {HASH})", n * HASH + 1);
        let hashes: Vec<String> = (0..places).map(|n| format!("({}, {})", hash(2 * n), hash(2 * n + 1))).collect();
        let hashes = hashes.join(", ");
        format!("(SELECT column1 AS token, column2 AS series FROM (VALUES {hashes})) asked CROSS JOIN")
    }

    fn bind_sessions(query: SqlxQuery<Self>, tokens: &[TokenHash], series: &[TokenHash]) -> SqlxQuery<Self> {
        let hashes: Vec<TokenHash> = tokens.iter().zip(series).flat_map(|(token, series)| [*token, *series]).collect();
        Self::bind_lookup(query, &hashes)
    }

    fn rows_affected(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }
}

/// Encodes a list as JSON, because SQLite has no arrays.
fn to_json<T: AsRef<[u8]>>(blobs: &[T]) -> String {
    serde_json::Value::from_iter(blobs.iter().map(|blob| to_hex(blob.as_ref()))).to_string()
}

fn to_hex(blob: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    blob.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
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
        // Without 128-bit numbers, whose division would take as long as the rest of a column.
        let second = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok();
        let millisecond = u16::try_from(ms.rem_euclid(1000))?;
        in_range(second.and_then(|second| second.replace_millisecond(millisecond).ok())).map(Self)
    }
}
