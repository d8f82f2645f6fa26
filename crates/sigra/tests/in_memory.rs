//! A database in memory exists only as long as its one connection, so the library can't keep that connection.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, missing_docs)]

use sigra::{Client, Config, HashedPassword, RememberMe, SecretKeyBase, Sigra, store::SQLITE_SCHEMA};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

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

#[tokio::test]
async fn an_in_memory_database_of_one_connection_works() {
    for options in [SqliteConnectOptions::new().in_memory(true), "sqlite::memory:".parse().unwrap()] {
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let users =
            "CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT); INSERT INTO users (id) VALUES (1)";
        sqlx::raw_sql(users).execute(&pool).await.unwrap();
        sqlx::raw_sql(SQLITE_SCHEMA).execute(&pool).await.unwrap();
        let sigra: Sigra<User> =
            Sigra::new(Config::new("my_app", SecretKeyBase::generate().unwrap()), pool.clone()).unwrap();

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
