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

use sigra::{Client, HashedPassword, Password, Sigra, Verification, audit::Audit, mail::Mailer, telemetry};

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
use crate::{
    config::Settings,
    database::{Connection, Pool},
};

/// A transaction, and the mails that are sent once it is committed.
type Transaction = sigra::Transaction<User>;

/// The user that development starts with. Everybody knows their password.
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
    /// Whether who has not confirmed their address is kept out.
    pub require_confirmation: bool,
    /// Whether a visitor is told that an address has an account already. If not, its owner is told by mail.
    pub reveal_taken_addresses: bool,
    /// Whether a log-in from a new browser is told by mail.
    pub notify_new_devices: bool,
    /// Whether the demo user's password may be used by others too: in development alone.
    pub allow_demo_password: bool,
    /// After how long an account is deleted that was registered, and never confirmed or logged in to. `None`: never.
    pub unconfirmed_ttl: Option<std::time::Duration>,
    /// For how long an account can be had back after its owner has deleted it. `None`: it is deleted at once.
    pub deletion_grace: Option<std::time::Duration>,
    // <passkeys>
    /// The domain that passkeys are kept for. Without one there are none.
    pub passkey_domain: Option<String>,
    // </passkeys>
}

/// Users.
impl Accounts {
    pub fn new(sigra: Sigra<User>, mailer: Mailer, settings: &Settings) -> Self {
        let notifier = UserNotifier::new(mailer, sigra.clone(), settings);
        Self { pool: sigra.pool().clone(), sigra, notifier, policy: settings.policy.clone() }
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

    /// Whether a user may not log in before they have confirmed their address.
    pub fn must_confirm(&self, user: &User) -> bool {
        self.policy.require_confirmation && user.confirmed_at.is_none()
    }

    pub async fn get_user_by_email(&self, email: &str) -> Result<Option<User>, sigra::Error> {
        let Some(email) = normalize_email(email) else { return Ok(None) };
        get_user_by_normalized_email(&mut *self.pool.acquire().await?, &email).await
    }

    /// The user, if the password is theirs. An unknown address and a wrong password take the same work and
    /// give the same answer.
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
                self.sigra.record_repeatable(&mut *self.pool.acquire().await?, &audit).await?;
                Ok(None)
            }
            Verification::Valid => Ok(user),
            Verification::Outdated(rehashed) => self.replace_password_hash(user, rehashed, password).await,
        }
    }

    /// The user that development starts with.
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

    /// Writes what a user did to their own account, in the transaction of it.
    async fn record(
        &self,
        conn: &mut Connection,
        action: &'static str,
        user: &User,
        client: &Client,
    ) -> Result<(), sigra::Error> {
        self.sigra.record(conn, &Audit::new(action).of(user.id).by(user.id).from(client)).await
    }
}

async fn get_user_by_normalized_email(conn: &mut Connection, email: &str) -> Result<Option<User>, sigra::Error> {
    let user = sqlx::query_as("SELECT * FROM users WHERE lower(email) = $1").bind(email);
    Ok(user.fetch_optional(conn).await?)
}
