//! The smallest application with Sigra, on either database, and the same without authentication.

use std::{future::Future, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::SET_COOKIE},
    response::AppendHeaders,
    routing::{get, post},
};
use serde::Deserialize;
use sigra::{
    Bearer, Config, CookieSession, HashedPassword, LoginMethod, Password, Permission, RememberMe, Scope, SecretKeyBase,
    Sigra, Sudo, Verification,
    api_tokens::{Expiry, NewApiToken},
    bearer::{PermissionList, Permissions},
    config::DeviceBound,
    device_bound::BindingResponse,
};
use sqlx::{FromRow, Pool, Postgres, Sqlite};
use uuid::Uuid;

use crate::{Result, settings::email};

/// As long as what Sigra sets, so that the requests are as long too.
const BARE_COOKIE: &str = "_bench_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; Path=/";

/// What the handlers need of a user on any database.
pub trait Account: sigra::AuthUser<Id = Uuid> {
    fn email(&self) -> &str;

    fn find_by_email(pool: &Pool<Self::Database>, email: &str) -> impl Future<Output = sqlx::Result<Self>> + Send;

    fn insert(
        pool: &Pool<Self::Database>,
        email: &str,
        password: HashedPassword,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

macro_rules! account {
    ($name:ident, $database:ty) => {
        #[derive(Clone, FromRow)]
        pub struct $name {
            id: Uuid,
            email: String,
            hashed_password: Option<HashedPassword>,
        }

        impl sigra::AuthUser for $name {
            type Id = Uuid;
            type Database = $database;

            fn id(&self) -> Uuid {
                self.id
            }

            fn hashed_password(&self) -> Option<&HashedPassword> {
                self.hashed_password.as_ref()
            }
        }

        impl Account for $name {
            fn email(&self) -> &str {
                &self.email
            }

            async fn find_by_email(pool: &Pool<$database>, email: &str) -> sqlx::Result<Self> {
                sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(email).fetch_one(pool).await
            }

            async fn insert(pool: &Pool<$database>, email: &str, password: HashedPassword) -> sqlx::Result<()> {
                let insert = sqlx::query("INSERT INTO users (id, email, hashed_password) VALUES ($1, $2, $3)");
                insert.bind(Uuid::now_v7()).bind(email).bind(password).execute(pool).await?;
                Ok(())
            }
        }
    };
}

account!(SqliteUser, Sqlite);
account!(PostgresUser, Postgres);

/// What the tokens of programs allow.
struct ReadMe;

impl Permission for ReadMe {
    const NAME: &'static str = "me:read";
    const DESCRIPTION: &'static str = "See your email address";
}

/// The library with its defaults, but for the cache, and without a purge of its own while others are timed.
pub fn sigra<U: Account>(pool: Pool<U::Database>, cache: bool) -> Result<Sigra<U>> {
    let config = Config::new("bench", SecretKeyBase::generate()?).purge_interval(None);
    let config = config.permissions(PermissionList::new().with::<ReadMe>());
    Ok(Sigra::new(if cache { config } else { config.cached_scopes(0) }, pool)?)
}

/// The same, with sessions that are bound to a device, for as long as a measurement takes.
pub fn bound_sigra<U: Account>(pool: Pool<U::Database>) -> Result<Sigra<U>> {
    let device_bound = DeviceBound::at("https://127.0.0.1").ttl(Duration::from_secs(24 * 60 * 60));
    let config = Config::new("bench", SecretKeyBase::generate()?).purge_interval(None).secure_cookies(true);
    Ok(Sigra::new(config.device_bound(device_bound), pool)?)
}

/// The handlers that are compared, for one user who is always logged in.
pub fn bare() -> Router {
    let log_in = async || AppendHeaders([(SET_COOKIE, BARE_COOKIE)]);
    Router::new().route("/me", get(async || email(1))).route("/log-in/{number}", post(log_in))
}

pub fn router<U: Account>(sigra: Sigra<U>) -> Router {
    Router::new()
        .route("/me", get(me::<U>))
        .route("/bearer/me", get(bearer_me::<U>))
        .route("/tokens", post(create_token::<U>))
        .route("/log-in/{number}", post(log_in::<U>))
        .route("/hello", get(async || "Hello"))
        .route("/sign-up/email", post(sign_up::<U>))
        .route("/sign-in/email", post(sign_in::<U>))
        .route("/basket", get(basket))
        .route("/basket/{item}", post(put_into_basket))
        .route("/purge", post(purge::<U>))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

/// What a token takes: to log in, to make it, and to use it.
pub fn token_router<U: Account>(sigra: Sigra<U>) -> Router {
    Router::new()
        .route("/me", get(bearer_me::<U>))
        .route("/tokens", post(create_token::<U>))
        .route("/log-in/{number}", post(log_in::<U>))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

/// What a bound session takes: to log in, to bind it, and to use it.
pub fn bound_router<U: Account>(sigra: Sigra<U>) -> Router {
    Router::new()
        .route("/me", get(me::<U>))
        .route("/log-in/{number}", post(log_in::<U>))
        .route(DeviceBound::PATH, post(bind::<U>))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

async fn bind<U: Account>(
    State(sigra): State<Sigra<U>>,
    session: CookieSession,
    scope: Scope<U>,
    headers: HeaderMap,
) -> sigra::Result<BindingResponse> {
    sigra.device_binding().register(&session, &scope, &headers).await
}

async fn me<U: Account>(scope: Scope<U>) -> String {
    scope.user().email().to_owned()
}

/// The same for a program with a token.
async fn bearer_me<U: Account>(bearer: Bearer<U, ReadMe>) -> String {
    bearer.user().email().to_owned()
}

async fn create_token<U: Account>(
    State(sigra): State<Sigra<U>>,
    session: CookieSession,
    sudo: Sudo<U>,
) -> Result<String, StatusCode> {
    let new = NewApiToken::new("Benchmark", Permissions::default().with::<ReadMe>(), Expiry::Never);
    let created = sigra.api_tokens().create(&sudo, &new, &session.client()).await.map_err(status_of)?;
    Ok(created.secret.as_str().to_owned())
}

async fn log_in<U: Account>(
    State(sigra): State<Sigra<U>>,
    session: CookieSession,
    Path(number): Path<u32>,
) -> Result<(), StatusCode> {
    let user = U::find_by_email(sigra.pool(), &email(number)).await.map_err(|_| StatusCode::NOT_FOUND)?;
    sigra
        .log_in(&session, &user, LoginMethod::Password, RememberMe::No)
        .await
        .map(drop)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

async fn sign_up<U: Account>(
    State(sigra): State<Sigra<U>>,
    Json(credentials): Json<Credentials>,
) -> Result<(), StatusCode> {
    let hash = sigra.hash_password(&Password::new(credentials.password)).await.map_err(status_of)?;
    U::insert(sigra.pool(), &credentials.email, hash).await.map_err(|_| StatusCode::CONFLICT)
}

async fn sign_in<U: Account>(
    State(sigra): State<Sigra<U>>,
    session: CookieSession,
    Json(credentials): Json<Credentials>,
) -> Result<(), StatusCode> {
    let user = U::find_by_email(sigra.pool(), &credentials.email).await.ok();
    let password = Password::new(credentials.password);
    match (sigra.verify_password(user.as_ref(), &password).await.map_err(status_of)?, user) {
        (Verification::Invalid, _) | (_, None) => Err(StatusCode::UNAUTHORIZED),
        (_, Some(user)) => {
            sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::No).await.map(drop).map_err(status_of)
        }
    }
}

fn status_of(error: sigra::Error) -> StatusCode {
    if error.is_temporary() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR }
}

/// What a visitor has put into the cookie session.
async fn basket(session: CookieSession) -> String {
    session.get("basket").unwrap_or_default()
}

async fn put_into_basket(session: CookieSession, Path(item): Path<String>) -> Result<(), StatusCode> {
    session.put("basket", &item).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Purges within the application, as its background task does, and answers with the number of rows.
async fn purge<U: Account>(State(sigra): State<Sigra<U>>) -> Result<String, StatusCode> {
    let purged = sigra.housekeeping().purge_expired().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(purged.to_string())
}
