//! authkestra with its axum extractor, as in its README.
//!
//! A session holds the user's identity, and the application keeps users elsewhere: a request reads the session only.
//! The library has session stores for memory and Redis, and a trait for others. `memory` is the store of the README.
//! `sqlite` is ours, with the table and the statements of `SqlKvStore`, which earlier versions had.

use std::{
    env,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use authkestra_axum::{AuthSession, AxumState, SessionConfig, SessionStore, helpers::create_axum_cookie};
use authkestra_engine::{
    AkWebAppEngine, Engine,
    auth::Session,
    state::Identity,
    store::{KvStore, StoreError, memory::MemoryStore},
};
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use peers::{
    Result, open_sqlite,
    settings::{Settings, email},
};
use sqlx::SqlitePool;
use tower_cookies::{CookieManagerLayer, Cookies};

#[derive(Clone, AxumState)]
struct AppState {
    #[authkestra(engine)]
    auth: AkWebAppEngine,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let auth = match env::args().nth(1).as_deref() {
        Some("memory") => memory(&settings).await?,
        Some("sqlite") => sqlite(&settings).await?,
        other => return Err(format!("no such store: {other:?}").into()),
    };
    let app = Router::new()
        .route("/me", get(me))
        .route("/log-in/{number}", post(log_in))
        .layer(CookieManagerLayer::new())
        .with_state(AppState { auth });
    settings.serve(app).await
}

async fn me(AuthSession(session): AuthSession) -> Result<String, StatusCode> {
    session.identity.email.ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What the library's handler does after a provider has confirmed who the user is.
async fn log_in(
    State(AppState { auth }): State<AppState>,
    cookies: Cookies,
    Path(number): Path<u32>,
) -> Result<(), StatusCode> {
    let session = auth.create_session(identity(number)).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    cookies.add(create_axum_cookie(&session_config(), session.id));
    Ok(())
}

fn identity(number: u32) -> Identity {
    Identity {
        provider_id: "bench".to_owned(),
        external_id: number.to_string(),
        email: Some(email(number)),
        username: Some(format!("user{number}")),
        attributes: Default::default(),
    }
}

/// The default, but without TLS.
fn session_config() -> SessionConfig {
    SessionConfig { secure: false, ..SessionConfig::default() }
}

fn engine(store: Arc<dyn SessionStore>) -> AkWebAppEngine {
    Engine::builder().session_store(store).session_config(session_config()).build()
}

async fn memory(settings: &Settings) -> Result<AkWebAppEngine> {
    let engine = engine(Arc::new(MemoryStore::<Session>::default()));
    for number in 0..settings.sessions {
        engine.create_session(identity(1 + number % settings.users)).await?;
    }
    Ok(engine)
}

async fn sqlite(settings: &Settings) -> Result<AkWebAppEngine> {
    let pool = open_sqlite(settings).await?;
    sqlx::raw_sql(
        "CREATE TABLE authkestra_kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER NOT NULL)",
    )
    .execute(&pool)
    .await?;
    let engine = engine(Arc::new(SqliteStore(pool.clone())));
    // One real session; the others are its copies under keys of their own.
    engine.create_session(identity(1)).await?;
    sqlx::query(
        "WITH RECURSIVE numbers (n, id) AS (
             SELECT 1, lower(hex(randomblob(18))) UNION ALL
             SELECT n + 1, lower(hex(randomblob(18))) FROM numbers WHERE n < $1)
         INSERT INTO authkestra_kv
         SELECT numbers.id, json_set(value, '$.id', numbers.id), expires_at FROM authkestra_kv, numbers",
    )
    .bind(settings.sessions)
    .execute(&pool)
    .await?;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await?;
    Ok(engine)
}

struct SqliteStore(SqlitePool);

#[async_trait]
impl KvStore<Session> for SqliteStore {
    async fn get(&self, key: &str) -> Result<Option<Session>, StoreError> {
        let found = sqlx::query_scalar("SELECT value FROM authkestra_kv WHERE key = $1 AND expires_at > $2")
            .bind(key)
            .bind(unix_time(SystemTime::now())?);
        let value: Option<String> = found.fetch_optional(&self.0).await.map_err(internal)?;
        value.map(|value| serde_json::from_str(&value).map_err(serialization)).transpose()
    }

    async fn set(&self, key: &str, value: Session, ttl: Duration) -> Result<(), StoreError> {
        let value = serde_json::to_string(&value).map_err(serialization)?;
        sqlx::query(
            "INSERT INTO authkestra_kv (key, value, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at",
        )
        .bind(key)
        .bind(value)
        .bind(unix_time(SystemTime::now() + ttl)?)
        .execute(&self.0)
        .await
        .map_err(internal)?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM authkestra_kv WHERE key = $1").bind(key).execute(&self.0).await.map_err(internal)?;
        Ok(())
    }
}

fn unix_time(time: SystemTime) -> Result<i64, StoreError> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(internal)?;
    i64::try_from(since.as_secs()).map_err(internal)
}

fn internal(error: impl ToString) -> StoreError {
    StoreError::Internal(error.to_string())
}

fn serialization(error: serde_json::Error) -> StoreError {
    StoreError::Serialization(error.to_string())
}
