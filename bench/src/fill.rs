//! Users and sessions by the hundred thousand, written by the databases themselves.
//!
//! User and session ids ascend, as UUIDv7 do; tokens are random, as hashes are.

use std::path::Path;

use sqlx::{
    AssertSqlSafe, PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use time::OffsetDateTime;

use crate::{Result, settings::PASSWORD_HASH};

/// How many users and sessions a database has.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub users: u32,
    pub sessions: u32,
}

/// Opens an SQLite file as an application would, and makes it if it is not there.
pub async fn open_sqlite(path: &Path, pool: u32) -> Result<SqlitePool> {
    let options = sqlite_file(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
    Ok(SqlitePoolOptions::new().max_connections(pool).connect_with(options).await?)
}

fn sqlite_file(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).create_if_missing(true)
}

pub async fn open_postgres(url: &str, pool: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(pool).connect(url).await?)
}

/// A new SQLite file with users and sessions.
pub async fn sqlite(path: &Path, size: Size, pool: u32) -> Result<SqlitePool> {
    // Only while it is filled: with nothing to lose yet, and a gigabyte of cache to build indexes in.
    let hasty = sqlite_file(path).journal_mode(SqliteJournalMode::Off).synchronous(SqliteSynchronous::Off);
    let hasty = hasty.pragma("cache_size", "-1000000");
    let filling = SqlitePoolOptions::new().max_connections(1).connect_with(hasty).await?;
    let (table, rest) = table_and_rest(sigra::schema::SQLITE);
    sqlx::raw_sql(
        "CREATE TABLE users (id BLOB NOT NULL PRIMARY KEY, email TEXT NOT NULL UNIQUE, hashed_password TEXT)",
    )
    .execute(&filling)
    .await?;
    sqlx::raw_sql(table).execute(&filling).await?;
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO users SELECT unhex(printf('%032x', n)), 'user' || n || '@example.com', $2 FROM numbers",
    )
    .bind(size.users)
    .bind(PASSWORD_HASH)
    .execute(&filling)
    .await?;
    sqlite_sessions(&filling, size, OffsetDateTime::now_utc()).await?;
    sqlx::raw_sql(rest).execute(&filling).await?;
    filling.close().await;
    open_sqlite(path, pool).await
}

/// A PostgreSQL database, empty before, with users and sessions.
pub async fn postgres(url: &str, size: Size, pool: u32) -> Result<PgPool> {
    let filling = open_postgres(url, 1).await?;
    let (table, rest) = table_and_rest(sigra::schema::POSTGRES);
    sqlx::raw_sql("CREATE TABLE users (id uuid PRIMARY KEY, email text NOT NULL UNIQUE, hashed_password text)")
        .execute(&filling)
        .await?;
    sqlx::raw_sql(table).execute(&filling).await?;
    sqlx::query(
        "INSERT INTO users SELECT lpad(to_hex(n), 32, '0')::uuid, 'user' || n || '@example.com', $2
         FROM generate_series(1, $1::int8) n",
    )
    .bind(i64::from(size.users))
    .bind(PASSWORD_HASH)
    .execute(&filling)
    .await?;
    postgres_sessions(&filling, size, OffsetDateTime::now_utc()).await?;
    sqlx::raw_sql("SET maintenance_work_mem = '1GB'").execute(&filling).await?;
    sqlx::raw_sql(rest).execute(&filling).await?;
    // What autovacuum would have done by the time that anybody comes.
    sqlx::raw_sql("VACUUM ANALYZE").execute(&filling).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&filling).await?;
    filling.close().await;
    open_postgres(url, pool).await
}

/// Adds sessions that were opened at a time, evenly among the users. Their ids are consecutive numbers.
pub async fn sqlite_sessions(pool: &SqlitePool, size: Size, at: OffsetDateTime) -> Result<()> {
    if size.sessions == 0 {
        return Ok(());
    }
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO users_tokens (id, user_id, context, token, ip, user_agent, authenticated_at, last_used_at,
                                   issued_at, inserted_at)
         SELECT unhex(printf('%012x70008%015x', $3, n)), unhex(printf('%032x', 1 + n % $2)), 'session',
                randomblob(32), '127.0.0.1', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
                $3, $3, $3, $3
         FROM numbers",
    )
    .bind(size.sessions)
    .bind(size.users)
    .bind(millis_of(at)?)
    .execute(pool)
    .await?;
    Ok(())
}

/// Adds sessions that were opened at a time, evenly among the users.
pub async fn postgres_sessions(pool: &PgPool, size: Size, at: OffsetDateTime) -> Result<()> {
    sqlx::query(
        "INSERT INTO users_tokens (id, user_id, context, token, ip, user_agent, authenticated_at, last_used_at,
                                   issued_at, inserted_at)
         SELECT (lpad(to_hex($3::int8), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
                lpad(to_hex(1 + n % $2::int8), 32, '0')::uuid, 'session', sha256(uuid_send(gen_random_uuid())),
                '127.0.0.1', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', at, at, at, at
         FROM generate_series(1, $1::int8) n, (SELECT to_timestamp($3::int8 / 1000.0)) AS moment (at)",
    )
    .bind(i64::from(size.sessions))
    .bind(i64::from(size.users))
    .bind(millis_of(at)?)
    .execute(pool)
    .await?;
    Ok(())
}

/// Adds as many access tokens as there are sessions, evenly among the users.
pub async fn sqlite_tokens(pool: &SqlitePool, size: Size) -> Result<()> {
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO api_tokens (id, user_id, token, hint, name, permissions, mfa_verified, inserted_at)
         SELECT unhex(printf('%012x70008%015x', $3, n)), unhex(printf('%032x', 1 + n % $2)), randomblob(32), 'AAAA',
                'Benchmark', 'me:read', 0, $3
         FROM numbers",
    )
    .bind(size.sessions)
    .bind(size.users)
    .bind(millis_of(OffsetDateTime::now_utc())?)
    .execute(pool)
    .await?;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
    Ok(())
}

/// Adds as many access tokens as there are sessions, evenly among the users.
pub async fn postgres_tokens(pool: &PgPool, size: Size) -> Result<()> {
    sqlx::query(
        "INSERT INTO api_tokens (id, user_id, token, hint, name, permissions, mfa_verified, inserted_at)
         SELECT (lpad(to_hex($3::int8), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
                lpad(to_hex(1 + n % $2::int8), 32, '0')::uuid, sha256(uuid_send(gen_random_uuid())), 'AAAA',
                'Benchmark', 'me:read', false, now()
         FROM generate_series(1, $1::int8) n",
    )
    .bind(i64::from(size.sessions))
    .bind(i64::from(size.users))
    .bind(millis_of(OffsetDateTime::now_utc())?)
    .execute(pool)
    .await?;
    sqlx::raw_sql("VACUUM ANALYZE api_tokens").execute(pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(pool).await?;
    Ok(())
}

fn millis_of(at: OffsetDateTime) -> Result<i64> {
    Ok(i64::try_from(at.unix_timestamp_nanos() / 1_000_000)?)
}

/// The schema's table, and what is quicker made when the table is full.
fn table_and_rest(schema: &'static str) -> (AssertSqlSafe<&'static str>, AssertSqlSafe<&'static str>) {
    let end = schema.find("\n)").and_then(|at| Some(at + schema[at..].find(';')? + 1));
    let (table, rest) = schema.split_at(end.unwrap_or(schema.len()));
    (AssertSqlSafe(table), AssertSqlSafe(rest))
}
