//! axum-login with tower-sessions, its sqlx stores and signed cookies, as in their examples. Passwords are verified
//! with `password-auth`, on a thread for blocking work, as in its example for SQLite.

use std::{env, io};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{Request, StatusCode},
    routing::{get, post},
};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend};
use peers::{
    Result, open_postgres, open_sqlite,
    settings::{PASSWORD_HASH, Settings, email},
};
use serde::Deserialize;
use sqlx::{FromRow, PgPool, SqlitePool};
use tokio::task::spawn_blocking;
use tower::ServiceExt;
use tower_sessions::{SessionManagerLayer, SessionStore, cookie::Key};
use tower_sessions_sqlx_store::{PostgresStore, SqliteStore};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let app = match env::args().nth(1).as_deref() {
        Some("sqlite") => sqlite(&settings).await?,
        Some("postgres") => postgres(&settings).await?,
        other => return Err(format!("no such store: {other:?}").into()),
    };
    settings.serve(app).await
}

#[derive(Clone, Debug, FromRow)]
struct User {
    id: i64,
    email: String,
    password_hash: String,
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password_hash.as_bytes()
    }
}

#[derive(Clone, Deserialize)]
struct Credentials {
    email: String,
    /// None for a login by number, which verifies nothing.
    password: Option<String>,
}

#[derive(Clone)]
struct Backend<P>(P);

macro_rules! backend {
    ($pool:ty) => {
        impl AuthnBackend for Backend<$pool> {
            type User = User;
            type Credentials = Credentials;
            type Error = sqlx::Error;

            async fn authenticate(&self, credentials: Credentials) -> sqlx::Result<Option<User>> {
                let by_email = sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(credentials.email);
                let user: Option<User> = by_email.fetch_optional(&self.0).await?;
                let Some(password) = credentials.password else { return Ok(user) };
                let verified = spawn_blocking(|| {
                    user.filter(|user| password_auth::verify_password(password, &user.password_hash).is_ok())
                });
                verified.await.map_err(|error| sqlx::Error::Io(io::Error::other(error)))
            }

            async fn get_user(&self, id: &i64) -> sqlx::Result<Option<User>> {
                sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(id).fetch_optional(&self.0).await
            }
        }
    };
}

backend!(SqlitePool);
backend!(PgPool);

fn router<B, S>(backend: B, store: impl SessionStore + Clone) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    B: AuthnBackend<User = User, Credentials = Credentials> + 'static,
{
    let sessions = SessionManagerLayer::new(store).with_secure(false).with_signed(Key::generate());
    let auth = AuthManagerLayerBuilder::new(backend, sessions).build();
    Router::new()
        .route("/me", get(me::<B>))
        .route("/hello", get(async || "Hello"))
        .route("/log-in/{number}", post(log_in::<B>))
        .route("/sign-in/email", post(sign_in::<B>))
        .layer(auth)
}

async fn me<B: AuthnBackend<User = User>>(session: AuthSession<B>) -> Result<String, StatusCode> {
    session.user.map(|user| user.email).ok_or(StatusCode::UNAUTHORIZED)
}

async fn log_in<B>(session: AuthSession<B>, Path(number): Path<u32>) -> Result<(), StatusCode>
where
    B: AuthnBackend<User = User, Credentials = Credentials>,
{
    sign_in(session, Json(Credentials { email: email(number), password: None })).await
}

async fn sign_in<B>(mut session: AuthSession<B>, Json(credentials): Json<Credentials>) -> Result<(), StatusCode>
where
    B: AuthnBackend<User = User, Credentials = Credentials>,
{
    let user = session.authenticate(credentials).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
    session.login(&user).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds a user with a password.
async fn sign_up(State(pool): State<SqlitePool>, Json(credentials): Json<Credentials>) -> Result<(), StatusCode> {
    let hash = spawn_blocking(|| password_auth::generate_hash(credentials.password.unwrap_or_default()));
    sqlx::query("INSERT INTO users (email, password_hash) VALUES ($1, $2)")
        .bind(credentials.email)
        .bind(hash.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?)
        .execute(&pool)
        .await
        .map_err(|_| StatusCode::CONFLICT)?;
    Ok(())
}

/// One real session, for the others to be copies of.
async fn log_in_once(app: &Router) -> Result<()> {
    let answer = app.clone().oneshot(Request::post("/log-in/1").body(Body::empty())?).await?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("log-in: {}", answer.status()).into()) }
}

async fn sqlite(settings: &Settings) -> Result<Router> {
    let pool = open_sqlite(settings).await?;
    sqlx::raw_sql(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL)",
    )
    .execute(&pool)
    .await?;
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO users SELECT n, 'user' || n || '@example.com', $2 FROM numbers",
    )
    .bind(settings.users)
    .bind(PASSWORD_HASH)
    .execute(&pool)
    .await?;
    let store = SqliteStore::new(pool.clone());
    store.migrate().await?;
    let app = router(Backend(pool.clone()), store).route("/sign-up/email", post(sign_up)).with_state(pool.clone());
    log_in_once(&app).await?;
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
         INSERT INTO tower_sessions SELECT lower(hex(randomblob(11))), data, expiry_date FROM tower_sessions, numbers",
    )
    .bind(settings.sessions)
    .execute(&pool)
    .await?;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await?;
    Ok(app)
}

async fn postgres(settings: &Settings) -> Result<Router> {
    let pool = open_postgres(settings).await?;
    sqlx::raw_sql(
        "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL)",
    )
    .execute(&pool)
    .await?;
    sqlx::query("INSERT INTO users SELECT n, 'user' || n || '@example.com', $2 FROM generate_series(1, $1::int8) n")
        .bind(i64::from(settings.users))
        .bind(PASSWORD_HASH)
        .execute(&pool)
        .await?;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await?;
    let app = router(Backend(pool.clone()), store);
    log_in_once(&app).await?;
    sqlx::query(
        "INSERT INTO tower_sessions.session
         SELECT left(md5(n::text), 22), data, expiry_date FROM tower_sessions.session, generate_series(1, $1::int8) n",
    )
    .bind(i64::from(settings.sessions))
    .execute(&pool)
    .await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
    Ok(app)
}
