//! Random histories of several browsers, users and thieves, on PostgreSQL.
//!
//! `PROPTEST_CASES` says how many; failures shrink to the shortest history that still fails.
#![cfg(all(feature = "postgres", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod history;

use history::Reality;
use proptest::prelude::*;
use proptest_state_machine::prop_state_machine;

mod database {
    use std::sync::LazyLock;

    use sigra::testing::PostgresCluster;
    use sqlx::{PgPool, postgres::PgPoolOptions};

    pub type Database = sqlx::Postgres;

    static CLUSTER: LazyLock<PostgresCluster> = LazyLock::new(|| PostgresCluster::start().unwrap());
    static URL: LazyLock<String> = LazyLock::new(|| CLUSTER.create_database().unwrap());

    /// One database for all histories, emptied before each.
    pub async fn fresh_database() -> PgPool {
        let pool = PgPoolOptions::new().max_connections(1).connect(&URL).await.unwrap();
        let users = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;
            CREATE TABLE users (id bigint PRIMARY KEY, hashed_password text);
            INSERT INTO users VALUES (0, 'a'), (1, 'b');";
        sqlx::raw_sql(users).execute(&pool).await.unwrap();
        let tokens = sigra::store::POSTGRES_SCHEMA.replace("user_id          uuid", "user_id          bigint");
        sqlx::raw_sql(sqlx::AssertSqlSafe(tokens)).execute(&pool).await.unwrap();
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
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}
