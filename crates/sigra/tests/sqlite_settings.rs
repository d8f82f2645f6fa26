//! SQLite as hosts set it up: in memory, or with a write-ahead log that another program checkpoints.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, missing_docs)]

use sigra::{Client, Config, HashedPassword, RememberMe, SecretKeyBase, Sigra, schema};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tempfile::TempDir;

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        None
    }
}

const USERS: &str =
    "CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT); INSERT INTO users (id) VALUES (1)";

async fn host(options: SqliteConnectOptions) -> (Sigra<User>, SqlitePool) {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::raw_sql(USERS).execute(&pool).await.unwrap();
    sqlx::raw_sql(schema::SQLITE).execute(&pool).await.unwrap();
    let config = Config::new("my_app", SecretKeyBase::generate().unwrap());
    (Sigra::new(config, pool.clone()).unwrap(), pool)
}

// A database in memory exists only as long as its one connection, so the library can't keep that connection.
#[tokio::test]
async fn an_in_memory_database_of_one_connection_works() {
    for options in [SqliteConnectOptions::new().in_memory(true), "sqlite::memory:".parse().unwrap()] {
        let (sigra, _pool) = host(options).await;
        let (token, _) = sigra.create_session(&User { id: 1 }, RememberMe::No, &Client::default()).await.unwrap();
        for _ in 0..100 {
            assert!(sigra.fetch_session(&token).await.unwrap().is_some());
            tokio::task::yield_now().await;
        }
        assert!(!sigra.is_caching(), "without a file, changes can't be noticed");
        sigra.delete_session(&token).await.unwrap();
        assert!(sigra.fetch_session(&token).await.unwrap().is_none());
    }
}

/// Returns the size of the write-ahead log after a purge of 2,000 expired sessions, in bytes.
async fn log_after_a_purge(checkpoint_every: &'static str) -> u64 {
    const EXPIRED: &str = "
        WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < 1999)
        INSERT INTO users_tokens (id, user_id, context, token, series, issued_at, inserted_at, last_used_at)
            SELECT randomblob(16), user_id, context, randomblob(32), randomblob(32), 0, 0, 0 FROM users_tokens, copies;
        UPDATE users_tokens SET issued_at = 0, inserted_at = 0, last_used_at = 0;
        PRAGMA wal_checkpoint(TRUNCATE)";
    let directory = TempDir::new().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .pragma("wal_autocheckpoint", checkpoint_every);
    let (sigra, pool) = host(options).await;
    sigra.create_session(&User { id: 1 }, RememberMe::No, &Client::default()).await.unwrap();
    sqlx::raw_sql(EXPIRED).execute(&pool).await.unwrap();
    assert_eq!(sigra.housekeeping().purge_expired().await.unwrap(), 2000);
    directory.path().join("test.db-wal").metadata().unwrap().len()
}

#[tokio::test]
async fn a_purge_checkpoints_the_log_in_small_steps() {
    let log = log_after_a_purge("1000").await;
    assert!(log < 400_000, "the log has {log} bytes");
}

#[tokio::test]
async fn a_purge_leaves_a_log_alone_that_another_program_checkpoints() {
    let log = log_after_a_purge("0").await;
    assert!(log > 4_000_000, "the log has only {log} bytes");
}
