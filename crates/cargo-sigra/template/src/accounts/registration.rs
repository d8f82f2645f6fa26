//! Registering, and confirming that an address is one's own.

use sigra::{Client, EmailToken, Password, audit, limits::Limit, token::Context};
use uuid::Uuid;

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
        let inserted: Option<User> = sqlx::query_as(
            "INSERT INTO users (id, email, hashed_password, inserted_at, updated_at) VALUES ($1, $2, $3, $4, $4)
             ON CONFLICT (lower(email)) DO NOTHING RETURNING *",
        )
        .bind(Uuid::now_v7())
        .bind(&email)
        .bind(hashed_password)
        .bind(now)
        .fetch_optional(&mut *tx)
        .await
        .map_err(sigra::Error::from)?;
        let existing = self.get_user_by_email_in(&mut tx, &email).await?;
        let action = if inserted.is_some() { audit::REGISTERED } else { REGISTRATION_REFUSED };
        let audit = audit::Audit::new(action).of(existing.map(|user| user.id)).from(client);
        self.sigra.record(&mut tx, &audit).await?;
        tx.commit().await.map_err(sigra::Error::from)?;
        inserted.ok_or(RegisterError::Taken)
    }

    /// Sends a link that confirms the address. Nothing is sent to who has confirmed it, or too often.
    ///
    /// While the database can't be asked it fails, so that nobody is told of a mail that will not come.
    pub async fn deliver_user_confirmation_instructions(&self, email: &str) -> Result<(), sigra::Error> {
        self.ping().await?;
        let (accounts, email) = (self.clone(), email.to_owned());
        self.mailer().deliver(async move {
            let Some(user) = accounts.get_user_by_email(&email).await? else { return Ok(None) };
            if user.confirmed_at.is_some() || !accounts.may_mail("confirm", &user.email).await? {
                return Ok(None);
            }
            let token = accounts.create_email_token(&user, Context::Confirm).await?;
            Ok::<_, sigra::Error>(Some(accounts.notifier.confirmation_instructions(&user, &token)))
        });
        Ok(())
    }

    /// Tells the owner of an address that somebody wanted to register with it.
    pub fn deliver_taken_notice(&self, email: &str) {
        let (accounts, email) = (self.clone(), email.to_owned());
        self.mailer().deliver(async move {
            let Some(user) = accounts.get_user_by_email(&email).await? else { return Ok(None) };
            let may_mail = accounts.may_mail("taken", &user.email).await?;
            Ok::<_, sigra::Error>(may_mail.then(|| accounts.notifier.already_registered(&user)))
        });
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

    /// Whose link it is, if it was sent to the address that they have now.
    pub(super) async fn get_user_by_email_token(
        &self,
        token: &str,
        context: Context<'_>,
    ) -> Result<Option<User>, sigra::Error> {
        let Some(token) = EmailToken::parse(token) else { return Ok(None) };
        let sent = self.sigra.find_email_token(&token, context).await?;
        Ok(sent.filter(|sent| sent.to == sent.user.email).map(|sent| sent.user))
    }

    /// A token to be sent to the user's address.
    pub(super) async fn create_email_token(
        &self,
        user: &User,
        context: Context<'_>,
    ) -> Result<EmailToken, sigra::Error> {
        self.sigra.create_email_token(&mut *self.pool.acquire().await?, &user.id, context, &user.email).await
    }

    /// Whether another mail may be sent. If not, nobody is told: it would say that there is an account.
    pub(super) async fn may_mail(&self, purpose: &str, email: &str) -> Result<bool, sigra::Error> {
        match self.sigra.limit(Limit::MAIL, purpose, email).await {
            Ok(()) => Ok(true),
            Err(sigra::Error::TooManyAttempts { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get_user_by_email_in(&self, conn: &mut Connection, email: &str) -> Result<Option<User>, sigra::Error> {
        let user = sqlx::query_as("SELECT * FROM users WHERE lower(email) = $1").bind(email);
        Ok(user.fetch_optional(conn).await?)
    }
}
