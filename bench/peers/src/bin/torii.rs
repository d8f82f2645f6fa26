//! Torii with its SQLite storage and its axum middleware.

use std::{env, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header::SET_COOKIE},
    middleware::from_fn_with_state,
    response::AppendHeaders,
    routing::{get, post},
};
use peers::{
    Result, open_sqlite,
    settings::{PASSWORD_HASH, Settings},
};
use sqlx::SqlitePool;
use torii::{
    Torii, UserId,
    sqlite::{SqliteRepositoryProvider, SqliteStorage},
};
use torii_axum::{AuthUser, auth_middleware};

type Shared = Arc<Torii<SqliteRepositoryProvider>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let pool = open_sqlite(&settings).await?;
    fill(&pool, &settings).await?;
    let torii = Arc::new(Torii::new(Arc::new(SqliteRepositoryProvider::new(pool))));
    let app = Router::new()
        .route("/me", get(me))
        .route("/log-in/{number}", post(log_in))
        .layer(from_fn_with_state(torii.clone(), auth_middleware::<Shared, SqliteRepositoryProvider>))
        .with_state(torii);
    settings.serve(app).await
}

async fn me(AuthUser(user): AuthUser) -> String {
    user.email
}

async fn log_in(
    State(torii): State<Shared>,
    Path(number): Path<u32>,
) -> Result<AppendHeaders<[(HeaderName, String); 1]>, StatusCode> {
    let session = torii.create_session(&UserId::new(&user_id(number)), None, Some("127.0.0.1".to_owned())).await;
    let token = session.map_err(|_| StatusCode::NOT_FOUND)?.token;
    Ok(AppendHeaders([(SET_COOKIE, format!("session_id={token}; Path=/; HttpOnly; SameSite=Lax"))]))
}

fn user_id(number: u32) -> String {
    format!("usr_{number:026}")
}

async fn fill(pool: &SqlitePool, settings: &Settings) -> Result<()> {
    SqliteStorage::new(pool.clone()).migrate().await?;
    if env::args().nth(1).as_deref() == Some("indexed") {
        // The library's own migrations leave every look-up of a token to read the whole table.
        sqlx::raw_sql("CREATE UNIQUE INDEX sessions_token ON sessions (token)").execute(pool).await?;
    }
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO users (id, email, password_hash)
         SELECT printf('usr_%026d', n), 'user' || n || '@example.com', $2 FROM numbers",
    )
    .bind(settings.users)
    .bind(PASSWORD_HASH)
    .execute(pool)
    .await?;
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO sessions (token, user_id, ip_address, expires_at)
         SELECT lower(hex(randomblob(32))), printf('usr_%026d', 1 + n % $2), '127.0.0.1', unixepoch() + 2592000
         FROM numbers",
    )
    .bind(settings.sessions)
    .bind(settings.users)
    .execute(pool)
    .await?;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
    Ok(())
}
