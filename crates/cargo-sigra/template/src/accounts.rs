//! The accounts context: users, their passwords and their session tokens.

mod user;

use sigra::{Client, HashedPassword, Password, Scope, SessionId, SessionRow, SessionToken, Sigra, Verification};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::user::{Problems, User, normalize_email};
use crate::database::Pool;

/// Functions on users and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    pool: Pool,
    sigra: Sigra<User>,
}

/// Why a user was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("not valid: {0:?}")]
    Invalid(Problems),
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
}

/// Users.
impl Accounts {
    pub fn new(pool: Pool, sigra: Sigra<User>) -> Self {
        Self { pool, sigra }
    }

    pub async fn get_user_by_email(&self, email: &str) -> Result<Option<User>, sigra::Error> {
        let Some(email) = normalize_email(email) else { return Ok(None) };
        let user = sqlx::query_as("SELECT * FROM users WHERE lower(email) = $1").bind(email);
        Ok(user.fetch_optional(&self.pool).await?)
    }

    /// The user, if the password is theirs. An unknown address and a wrong password take the same work and
    /// give the same answer.
    pub async fn get_user_by_email_and_password(
        &self,
        email: &str,
        password: &Password,
    ) -> Result<Option<User>, sigra::Error> {
        let user = self.get_user_by_email(email).await?;
        match self.sigra.verify_password(user.as_ref(), password).await? {
            Verification::Invalid => Ok(None),
            Verification::Valid => Ok(user),
            Verification::Outdated(rehashed) => self.replace_password_hash(user, rehashed, password).await,
        }
    }

    /// Registers a user with a password.
    pub async fn register_user(&self, email: &str, password: &Password) -> Result<User, RegisterError> {
        let mut problems = Problems::of(email, password);
        let Some(email) = normalize_email(email).filter(|_| problems.is_empty()) else {
            return Err(RegisterError::Invalid(problems));
        };
        let hashed_password = self.sigra.hash_password(password).await?;
        let now = OffsetDateTime::now_utc();
        let inserted = sqlx::query_as(
            "INSERT INTO users (id, email, hashed_password, inserted_at, updated_at) VALUES ($1, $2, $3, $4, $4) RETURNING *",
        )
        .bind(Uuid::now_v7())
        .bind(email)
        .bind(hashed_password)
        .bind(now)
        .fetch_one(&self.pool)
        .await;
        match inserted {
            Ok(user) => Ok(user),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                problems.email = Some("has already been taken");
                Err(RegisterError::Invalid(problems))
            }
            Err(error) => Err(sigra::Error::from(error).into()),
        }
    }

    /// The user that development starts with.
    pub async fn seed_demo_user(&self) -> Result<(), RegisterError> {
        const EMAIL: &str = "demo@example.com";
        if self.get_user_by_email(EMAIL).await?.is_none() {
            self.register_user(EMAIL, &Password::new("correct horse battery staple")).await?;
        }
        Ok(())
    }

    /// Stores a hash with today's parameters. If there is another one by now, it decides: a login at the same
    /// moment has stored its own, or the password was changed.
    async fn replace_password_hash(
        &self,
        user: Option<User>,
        rehashed: HashedPassword,
        password: &Password,
    ) -> Result<Option<User>, sigra::Error> {
        let Some(user) = user else { return Ok(None) };
        let updated = sqlx::query_as(
            "UPDATE users SET hashed_password = $1, updated_at = $2 WHERE id = $3 AND hashed_password = $4 RETURNING *",
        )
        .bind(rehashed)
        .bind(OffsetDateTime::now_utc())
        .bind(user.id)
        .bind(user.hashed_password)
        .fetch_optional(&self.pool)
        .await?;
        if updated.is_some() {
            return Ok(updated);
        }
        let user = sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(user.id).fetch_optional(&self.pool).await?;
        let is_valid = self.sigra.verify_password(user.as_ref(), password).await? != Verification::Invalid;
        Ok(user.filter(|_| is_valid))
    }
}

/// Session tokens.
impl Accounts {
    /// Opens a session without a browser, as for a program. Browsers are logged in by
    /// [`log_in_user`](crate::web::user_auth::log_in_user).
    pub async fn generate_user_session_token(&self, user: &User) -> Result<SessionToken, sigra::Error> {
        let (token, _) = self.sigra.create_session(user, false, &Client::default()).await?;
        Ok(token)
    }

    pub async fn get_user_by_session_token(&self, token: &SessionToken) -> Result<Option<Scope<User>>, sigra::Error> {
        self.sigra.fetch_session(token).await
    }

    pub async fn delete_user_session_token(&self, token: &SessionToken) -> Result<(), sigra::Error> {
        self.sigra.delete_session(token).await
    }

    /// Logs the user out everywhere.
    pub async fn delete_all_user_session_tokens(&self, user: &User) -> Result<usize, sigra::Error> {
        self.sigra.delete_all_sessions(&user.id).await
    }

    /// The user's devices.
    pub async fn list_user_sessions(&self, user: &User) -> Result<Vec<SessionRow>, sigra::Error> {
        self.sigra.list_sessions(&user.id).await
    }

    /// Logs the user out on one of their devices. Tells whether it was theirs.
    pub async fn delete_user_session(&self, user: &User, id: SessionId) -> Result<bool, sigra::Error> {
        self.sigra.delete_session_by_id(&user.id, id).await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), sigra::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}
