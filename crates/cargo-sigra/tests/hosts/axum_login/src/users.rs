use axum_login::{AuthUser, AuthnBackend, UserId};
use serde::Deserialize;
use sqlx::{FromRow, SqlitePool};
use tokio::task;

#[derive(Clone, Debug, FromRow)]
pub struct User {
    id: i64,
    pub username: String,
    password: String,
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

#[derive(Clone, Debug)]
pub struct Backend {
    db: SqlitePool,
}

impl Backend {
    pub fn new(db: SqlitePool) -> Self {
        Self { db }
    }
}

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = Credentials;
    type Error = sqlx::Error;

    async fn authenticate(
        &self,
        credentials: Credentials,
    ) -> Result<Option<User>, sqlx::Error> {
        let user: Option<User> =
            sqlx::query_as("SELECT * FROM users WHERE username = ?")
                .bind(credentials.username)
                .fetch_optional(&self.db)
                .await?;
        let verified = task::spawn_blocking(move || {
            user.filter(|user| {
                password_auth::verify_password(
                    credentials.password,
                    &user.password,
                )
                .is_ok()
            })
        });
        Ok(verified.await.unwrap_or_default())
    }

    async fn get_user(
        &self,
        id: &UserId<Self>,
    ) -> Result<Option<User>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM users WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.db)
            .await
    }
}
