//! The smallest application with Sigra, on either database: who am I, and a log-in by number.

use std::future::Future;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use sigra::{Config, CookieSession, HashedPassword, LogInMethod, RememberMe, Scope, SecretKeyBase, Sigra};
use sqlx::{FromRow, Pool, Postgres, Sqlite};
use uuid::Uuid;

use crate::{Result, settings::email};

/// What the handlers need of a user on any database.
pub trait Account: sigra::AuthUser<Id = Uuid> {
    fn email(&self) -> &str;

    fn find_by_email(pool: &Pool<Self::Database>, email: &str) -> impl Future<Output = sqlx::Result<Self>> + Send;
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
        }
    };
}

account!(SqliteUser, Sqlite);
account!(PostgresUser, Postgres);

/// The library with its defaults, but for the cache, and without a purge of its own while others are timed.
pub fn sigra<U: Account>(pool: Pool<U::Database>, cache: bool) -> Result<Sigra<U>> {
    let config = Config::new("bench", SecretKeyBase::generate()?).purge_interval(None);
    Ok(Sigra::new(if cache { config } else { config.cached_scopes(0) }, pool)?)
}

pub fn router<U: Account>(sigra: Sigra<U>) -> Router {
    Router::new()
        .route("/me", get(me::<U>))
        .route("/log-in/{number}", post(log_in::<U>))
        .route("/purge", post(purge::<U>))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

async fn me<U: Account>(scope: Scope<U>) -> String {
    scope.user().email().to_owned()
}

async fn log_in<U: Account>(
    State(sigra): State<Sigra<U>>,
    session: CookieSession,
    Path(number): Path<u32>,
) -> Result<(), StatusCode> {
    let user = U::find_by_email(sigra.pool(), &email(number)).await.map_err(|_| StatusCode::NOT_FOUND)?;
    sigra
        .log_in(&session, &user, LogInMethod::Password, RememberMe::No)
        .await
        .map(drop)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Purges within the application, as its background task does, and answers with the number of rows.
async fn purge<U: Account>(State(sigra): State<Sigra<U>>) -> Result<String, StatusCode> {
    let purged = sigra.housekeeping().purge_expired().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(purged.to_string())
}
