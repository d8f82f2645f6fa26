//! Registering, and confirming that an address is one's own.

use sigra::{Client, EmailToken, Password, audit, token::Context};

use super::{Accounts, Problems, User, normalize_email};
use crate::database::Connection;

/// Somebody wanted to register with an address that has an account.
const REGISTRATION_REFUSED: &str = "auth.account.registration_refused";

/// Why a user was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("not valid: {0:?}")]
    Invalid(Problems),
    /// Whether the visitor is told so is the [policy](super::Policy)'s.
    #[error("the address has already been taken")]
    Taken,
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
}

impl Accounts {
    /// Registers a user with a password. A taken address takes the same work.
    pub async fn register_user(
        &self,
        email: &str,
        password: &Password,
        client: &Client,
    ) -> Result<User, RegisterError> {
        let problems = Problems::of(email, password);
        let Some(email) = normalize_email(email).filter(|_| problems.is_empty()) else {
            return Err(RegisterError::Invalid(problems));
        };
        let hashed_password = self.sigra.hash_password(password).await?;
        let now = self.sigra.now();
        let mut tx = self.sigra.begin().await?;
        // <uuid>
        let insert = "INSERT INTO users (id, email, hashed_password, inserted_at, updated_at)
            VALUES ($4, $1, $2, $3, $3) ON CONFLICT (lower(email)) DO NOTHING RETURNING *";
        // </uuid>
        // <!uuid>
        // let insert = "INSERT INTO users (email, hashed_password, inserted_at, updated_at)
        //     VALUES ($1, $2, $3, $3) ON CONFLICT (lower(email)) DO NOTHING RETURNING *";
        // </!uuid>
        let insert = sqlx::query_as(insert).bind(&email).bind(hashed_password).bind(now);
        // <uuid>
        let insert = insert.bind(uuid::Uuid::now_v7());
        // </uuid>
        let inserted: Option<User> = insert.fetch_optional(&mut *tx).await.map_err(sigra::Error::from)?;
        let existing = super::get_user_by_normalized_email(&mut tx, &email).await?;
        let action = if inserted.is_some() { audit::REGISTERED } else { REGISTRATION_REFUSED };
        let audit = audit::Audit::new(action).of(existing.map(|user| user.id)).from(client);
        self.sigra.record(&mut tx, &audit).await?;
        tx.commit().await.map_err(sigra::Error::from)?;
        inserted.ok_or(RegisterError::Taken)
    }

    /// Sends a link that confirms the address. Nothing is sent to who has confirmed it, or too often.
    pub async fn deliver_user_confirmation_instructions(&self, email: &str) -> Result<(), sigra::Error> {
        self.deliver_to(email, |accounts, user| async move {
            if user.confirmed_at.is_some() || !accounts.may_mail("confirm", &user.email).await? {
                return Ok(None);
            }
            let token = accounts.create_email_token(&user, Context::Confirm).await?;
            Ok(Some(accounts.notifier.confirmation_instructions(&user, &token)))
        })
        .await
    }

    /// Tells the owner of an address that somebody wanted to register with it.
    pub async fn deliver_taken_notice(&self, email: &str) -> Result<(), sigra::Error> {
        self.deliver_to(email, |accounts, user| async move {
            let may_mail = accounts.may_mail("taken", &user.email).await?;
            Ok(may_mail.then(|| accounts.notifier.already_registered(&user)))
        })
        .await
    }

    /// Whose address a link confirms.
    pub async fn get_user_by_confirmation_token(&self, token: &str) -> Result<Option<User>, sigra::Error> {
        self.get_user_by_email_token(token, Context::Confirm).await
    }

    /// Confirms an address. The link works once.
    pub async fn confirm_user(&self, token: &str, client: &Client) -> Result<Option<User>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        let mut tx = self.sigra.begin().await?;
        let Some(sent) = self.sigra.take_email_token(&mut tx, &token, Context::Confirm).await? else {
            return Ok(None);
        };
        if sent.to != sent.user.email {
            return Ok(None);
        }
        let user = self.confirm_in(&mut tx, &sent.user, client).await?;
        self.sigra.delete_email_tokens(&mut tx, &user.id, Context::Confirm).await?;
        tx.commit().await?;
        self.sigra.announce_user(&user.id);
        Ok(Some(user))
    }

    pub(super) async fn confirm_in(
        &self,
        conn: &mut Connection,
        user: &User,
        client: &Client,
    ) -> Result<User, sigra::Error> {
        let confirm =
            "UPDATE users SET confirmed_at = coalesce(confirmed_at, $1), updated_at = $1 WHERE id = $2 RETURNING *";
        let confirm = sqlx::query_as(confirm).bind(self.sigra.now()).bind(user.id);
        let confirmed = confirm.fetch_one(&mut *conn).await?;
        if user.confirmed_at.is_none() {
            self.record(conn, audit::CONFIRMED, user, client).await?;
        }
        Ok(confirmed)
    }
}
