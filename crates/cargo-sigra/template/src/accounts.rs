//! The accounts context: users, their passwords and their tokens.

mod confirmation;
mod deletion;
mod email;
// <magic_link>
mod log_in_link;
// </magic_link>
mod mail_link;
// <mfa>
mod mfa;
// </mfa>
mod password;
mod recovery;
mod registration;
mod sessions;
mod user;
mod user_notifier;

use std::time::Duration;

use sigra::{Client, HashedPassword, Password, Sigra, Verification, audit::Audit, mail::Mailer, telemetry};
use url::Url;

use self::user_notifier::UserNotifier;
// <mfa>
pub use self::mfa::FEW_BACKUP_CODES;
// </mfa>
pub use self::{
    confirmation::ConfirmError,
    deletion::{DeleteError, day},
    email::ChangeEmailError,
    password::ChangePasswordError,
    registration::RegisterError,
    sessions::{ACTIVITY_PAGE, LogIn},
    user::{Problems, User, UserId, check_password, normalize_email},
};
use crate::database::{Connection, Pool};

/// A transaction, with the emails that are sent when it commits.
type Transaction = sigra::Transaction<User>;

/// The demo user of development. Its password is public.
const DEMO_EMAIL: &str = "demo@example.com";
const DEMO_PASSWORD: &str = "correct horse battery staple";

/// Functions on users and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    pool: Pool,
    sigra: Sigra<User>,
    notifier: UserNotifier,
    policy: Policy,
}

/// What the owner of the application decides about accounts.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether logging in requires a confirmed email address.
    pub require_confirmation: bool,
    /// Whether a visitor learns that an email address is taken. If not, its owner gets an email instead.
    pub reveal_taken_addresses: bool,
    /// Whether users get an email about a login from a new browser.
    pub notify_new_devices: bool,
    /// Whether other users can choose the demo user's password: only in development.
    pub allow_demo_password: bool,
    /// Where users can reply to emails. `None`: no email asks for a reply.
    pub mail_reply_to: Option<String>,
    /// When to delete an account that was never confirmed or logged in to, after its registration. `None`: never.
    pub unconfirmed_ttl: Option<Duration>,
    /// How long users can get a deleted account back by logging in. `None`: it is deleted immediately.
    pub deletion_grace: Option<Duration>,
    // <passkeys>
    /// The domain that passkeys belong to. `None` turns passkeys off.
    pub passkey_domain: Option<String>,
    // </passkeys>
}

/// Users.
impl Accounts {
    /// Links in mails begin with the public URL.
    pub fn new(sigra: Sigra<User>, mailer: Mailer, public_url: Url, policy: Policy) -> Self {
        let notifier = UserNotifier::new(sigra.clone(), mailer, public_url, policy.mail_reply_to.clone());
        Self { pool: sigra.pool().clone(), sigra, notifier, policy }
    }

    pub fn sigra(&self) -> &Sigra<User> {
        &self.sigra
    }

    pub fn mailer(&self) -> &Mailer {
        self.notifier.mailer()
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns whether the user must confirm their email address before they can log in.
    pub fn must_confirm(&self, user: &User) -> bool {
        self.policy.require_confirmation && user.confirmed_at.is_none()
    }

    pub async fn get_user_by_email(&self, email: &str) -> Result<Option<User>, sigra::Error> {
        let Some(email) = normalize_email(email) else { return Ok(None) };
        get_user_by_normalized_email(&mut *self.pool.acquire().await?, &email).await
    }

    /// Returns the user if the password is theirs. An unknown address and a wrong password take the same work and get the
    /// same answer.
    pub async fn get_user_by_email_and_password(
        &self,
        email: &str,
        password: &Password,
        client: &Client,
    ) -> Result<Option<User>, sigra::Error> {
        let user = self.get_user_by_email(email).await?;
        match self.sigra.verify_password(user.as_ref(), password).await? {
            Verification::Invalid => {
                let audit = Audit::new(telemetry::LOGIN_FAILURE).of(user.map(|user| user.id)).from(client);
                self.sigra.audit().record_repeatable(&mut *self.pool.acquire().await?, &audit).await?;
                Ok(None)
            }
            Verification::Valid => Ok(user),
            Verification::Outdated(rehashed) => self.replace_password_hash(user, rehashed, password).await,
        }
    }

    /// Creates the demo user of development, unless it exists.
    pub async fn seed_demo_user(&self) -> Result<(), sigra::Error> {
        let password = Password::new(DEMO_PASSWORD);
        let client = Client::default();
        if self.get_user_by_email(DEMO_EMAIL).await?.is_none() {
            let hashed_password = self.sigra.hash_password(&password).await?;
            let mut tx = self.sigra.begin().await?;
            if let Ok(user) = self.insert_user(&mut tx, DEMO_EMAIL, &hashed_password, &client).await? {
                self.confirm_in(&mut tx, &user, &client).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Replaces an outdated password hash. If the hash has changed since it was read, checks the password against the new
    /// hash: a concurrent login may have replaced it, or the user may have changed the password.
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
        .bind(self.sigra.now())
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

    /// Records what a user did to their own account, in the same transaction.
    async fn record(
        &self,
        conn: &mut Connection,
        action: &'static str,
        user: &User,
        client: &Client,
    ) -> Result<(), sigra::Error> {
        self.sigra.audit().record(conn, &Audit::new(action).of(user.id).by(user.id).from(client)).await
    }
}

async fn get_user_by_normalized_email(conn: &mut Connection, email: &str) -> Result<Option<User>, sigra::Error> {
    let user = sqlx::query_as("SELECT * FROM users WHERE lower(email) = $1").bind(email);
    Ok(user.fetch_optional(conn).await?)
}
