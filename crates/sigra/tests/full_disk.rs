//! SQLite on a disk that is full for some time: SQLite ends transactions by itself.
#![cfg(all(feature = "sqlite", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use sigra::{
    Client, Config, HashedPassword, Password, RememberMe, SecretKeyBase, Sigra,
    config::Argon2Params,
    schema,
    testing::{TestClient, TestHost, assert_status},
};
use sqlx::{
    AssertSqlSafe, Connection, Executor, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use tempfile::TempDir;

/// SQLite's own bound.
const NO_LIMIT: i64 = 1_073_741_823;

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
    hashed_password: Option<HashedPassword>,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

struct Host {
    sigra: Sigra<User>,
    pool: SqlitePool,
    /// The maximum number of pages of the file.
    limit: Arc<AtomicI64>,
    _directory: TempDir,
}

impl Host {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let limit = Arc::new(AtomicI64::new(NO_LIMIT));
        let options = SqliteConnectOptions::new().filename(directory.path().join("test.db"));
        let options = options.create_if_missing(true).foreign_keys(true).journal_mode(SqliteJournalMode::Wal);
        let (new, kept) = (limit.clone(), limit.clone());
        let pool = SqlitePoolOptions::new()
            // The next query uses the connection that found the disk full.
            .max_connections(1)
            .after_connect(move |conn, _| {
                let limit = new.load(Ordering::SeqCst);
                Box::pin(async move { set_limit(conn, limit).await })
            })
            .before_acquire(move |conn, _| {
                let limit = kept.load(Ordering::SeqCst);
                Box::pin(async move { set_limit(conn, limit).await.map(|()| true) })
            })
            .connect_with(options)
            .await
            .unwrap();
        sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT)")
            .execute(&pool)
            .await
            .unwrap();
        sqlx::raw_sql("CREATE TABLE files (content BLOB)").execute(&pool).await.unwrap();
        sqlx::raw_sql(schema::SQLITE).execute(&pool).await.unwrap();
        let config = Config::new("my_app", SecretKeyBase::generate().unwrap()).argon2(Argon2Params::INSECURE_FOR_TESTS);
        Self { sigra: Sigra::new(config, pool.clone()).unwrap(), pool, limit, _directory: directory }
    }

    /// Stops the file from growing.
    async fn fill(&self) {
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&self.pool).await.unwrap();
        self.limit.store(pages, Ordering::SeqCst);
    }

    fn make_room(&self) {
        self.limit.store(NO_LIMIT, Ordering::SeqCst);
    }

    /// Writes more than there is room for, in a transaction.
    async fn write(&self) -> sigra::Result<()> {
        let mut tx = self.sigra.begin().await?;
        tx.execute("INSERT INTO files VALUES (zeroblob(1000000))").await?;
        tx.commit().await
    }
}

async fn set_limit(conn: &mut SqliteConnection, limit: i64) -> sqlx::Result<()> {
    let set = AssertSqlSafe(format!("PRAGMA max_page_count = {limit}"));
    sqlx::query_scalar::<_, i64>(set).fetch_one(conn).await.map(drop)
}

impl TestHost for Host {
    type User = User;

    fn router(&self) -> Router {
        let health = async |State(sigra): State<Sigra<User>>| sigra.check_health().await.map(|()| "ok");
        let log_in = async |State(sigra): State<Sigra<User>>| -> sigra::Result<StatusCode> {
            let user = User { id: 1, hashed_password: None };
            // Long user agents fill pages quickly.
            let client = Client::new([192, 0, 2, 1], "a".repeat(200));
            for _ in 0..500 {
                sigra.create_session(&user, RememberMe::No, &client).await?;
            }
            Ok(StatusCode::NO_CONTENT)
        };
        Router::new()
            .route("/healthz", get(health))
            .route("/log-in", post(log_in))
            .layer(self.sigra.fetch_current_scope())
            .with_state(self.sigra.clone())
    }

    fn sigra(&self) -> &Sigra<User> {
        &self.sigra
    }

    async fn register(&self, _: &str, _: &Password) -> User {
        sqlx::query_as("INSERT INTO users DEFAULT VALUES RETURNING *").fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn a_connection_is_usable_after_the_database_ended_its_transaction() {
    let host = Host::new().await;
    for _ in 0..3 {
        host.fill().await;
        for _ in 0..3 {
            let error = host.write().await.expect_err("the disk is full");
            assert!(error.is_temporary(), "{error}");
        }
        let conn = host.pool.acquire().await.unwrap();
        assert!(conn.is_in_transaction(), "sqlx does not know that SQLite ended the transaction");
        drop(conn);
        host.make_room();
        host.write().await.expect("the disk has room");
        drop(host.sigra.begin().await.expect("a transaction"));
    }
}

async fn assert_unavailable(browser: &TestClient, method: &str, path: &str) {
    let response = if method == "GET" { browser.get(path).await } else { browser.post(path, &[]).await };
    assert_status(&response, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn health_fails_while_the_disk_is_full_and_recovers_by_itself() {
    let host = Host::new().await;
    host.registered_fixture().await;
    let browser = host.client();
    assert_status(&browser.get("/healthz").await, 200);
    for _ in 0..3 {
        host.fill().await;
        assert_unavailable(&browser, "POST", "/log-in").await;
        assert_unavailable(&browser, "GET", "/healthz").await;
        host.make_room();
        assert_status(&browser.get("/healthz").await, 200);
        assert_status(&browser.post("/log-in", &[]).await, 204);
    }
}

#[tokio::test]
async fn the_health_check_leaves_no_rows() {
    let host = Host::new().await;
    host.sigra.check_health().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM write_probes").fetch_one(&host.pool).await.unwrap();
    assert_eq!(left, 0);
}
