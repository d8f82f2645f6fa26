//! Random histories of several browsers, users and thieves, on SQLite.
//!
//! `PROPTEST_CASES` says how many; failures shrink to the shortest history that still fails.
#![cfg(all(feature = "sqlite", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod history;

use history::Reality;
use proptest::prelude::*;
use proptest_state_machine::prop_state_machine;

mod database {
    use sqlx::{SqlitePool, sqlite::SqlitePoolOptions};

    pub type Database = sqlx::Sqlite;

    pub async fn fresh_database() -> SqlitePool {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT)")
            .execute(&pool)
            .await
            .unwrap();
        sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await.unwrap();
        sqlx::raw_sql("INSERT INTO users VALUES (0, 'a'), (1, 'b')").execute(&pool).await.unwrap();
        pool
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_goes_as_the_model_says(sequential 1..60 => Reality);
}

/// Enough to be sure in a minute; the slow proofs ask for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(600)
}
