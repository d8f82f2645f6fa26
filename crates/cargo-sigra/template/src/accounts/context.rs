//! [`Accounts`]: what its functions share, and users by their email address and password.

// <device_bound>
use sigra::device_bound::Watch;
// </device_bound>
use sigra::{
    AuthUser, Client, HashedPassword, Password, Sigra, Verification, audit::Audit, limits::Limit, mail::Mailer,
    telemetry,
};
use url::Url;

// <device_bound>
use super::stolen_sessions;
// </device_bound>
use super::{
    policy::{DEMO_EMAIL, DEMO_PASSWORD, Policy},
    user::{Inserted, NewUser, User, normalize_email, query_user},
    user_notifier::UserNotifier,
};
use crate::database::{Connection, Pool};

/// A transaction, with the emails that are sent when it commits.
pub type Transaction = sigra::Transaction<User>;

/// Functions on users and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    pub(super) pool: Pool,
    pub(super) sigra: Sigra<User>,
    pub(super) notifier: UserNotifier,
    pub(super) policy: Policy,
    // <device_bound>
    /// Emails users about copies of their cookies, as long as it exists.
    _stolen_sessions: Option<Watch<User>>,
    // </device_bound>
}

/// Users.
impl Accounts {
    /// Links in emails begin with the public URL.
    pub fn new(sigra: Sigra<User>, mailer: Mailer, public_url: Url, policy: Policy) -> Self {
        let notifier = UserNotifier::new(sigra.clone(), mailer, public_url, policy.mail_reply_to.clone());
        Self {
            pool: sigra.pool().clone(),
            // <device_bound>
            _stolen_sessions: policy.notify_stolen_sessions.then(|| stolen_sessions::watch(&sigra, &notifier)),
            // </device_bound>
            sigra,
            notifier,
            policy,
        }
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

    pub async fn get_user_by_email(&self, email: &str) -> Result<Option<User>, sigra::Error> {
        let Some(email) = normalize_email(email) else { return Ok(None) };
        get_user_by_normalized_email(&mut *self.pool.acquire().await?, &email).await
    }

    /// Returns the user if the password is theirs. An unknown address and a wrong password take the same work and get
    /// the same answer. For a login, call [`attempt_log_in`](Self::attempt_log_in), which counts it.
    pub async fn get_user_by_email_and_password(
        &self,
        email: &str,
        password: &Password,
        client: &Client,
    ) -> Result<Option<User>, sigra::Error> {
        let user = self.get_user_by_email(email).await?;
        self.verify_user_password(user, password, client).await
    }

    /// Returns the user if there is one, the password is theirs, and they can be logged in.
    pub(super) async fn verify_user_password(
        &self,
        user: Option<User>,
        password: &Password,
        client: &Client,
    ) -> Result<Option<User>, sigra::Error> {
        let id = user.as_ref().map(|user| user.id);
        let verification = self.sigra.verify_password(user.as_ref(), password).await?;
        // A suspended user gets the same response as for a wrong password.
        match (verification, user.filter(AuthUser::is_active)) {
            (Verification::Valid, Some(user)) => Ok(Some(user)),
            (Verification::Outdated(rehashed), Some(user)) => {
                self.replace_password_hash(user, rehashed, password).await
            }
            _ => {
                let audit = Audit::new(telemetry::LOGIN_FAILURE).of(id).from(client);
                self.sigra.audit().record_repeatable_in(&mut *self.pool.acquire().await?, &audit).await?;
                Ok(None)
            }
        }
    }

    /// Creates the demo user of development, unless it exists.
    pub async fn seed_demo_user(&self) -> Result<(), sigra::Error> {
        let password = Password::new(DEMO_PASSWORD);
        let client = Client::default();
        if self.get_user_by_email(DEMO_EMAIL).await?.is_none() {
            let hashed_password = self.sigra.hash_password(&password).await?;
            let mut tx = self.sigra.begin().await?;
            let demo = NewUser { email: DEMO_EMAIL, hashed_password: Some(&hashed_password) };
            if let Inserted::New(user) = self.insert_user(&mut tx, &demo, &client).await? {
                self.confirm_in(&mut tx, &user, &client).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Replaces an outdated password hash. If the hash has changed since it was read, checks the password against the
    /// new hash: a concurrent login may have replaced it, or the user may have changed the password.
    async fn replace_password_hash(
        &self,
        user: User,
        rehashed: HashedPassword,
        password: &Password,
    ) -> Result<Option<User>, sigra::Error> {
        let updated = query_user(
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
        let user = query_user("SELECT * FROM users WHERE id = $1").bind(user.id).fetch_optional(&self.pool).await?;
        let is_valid = self.sigra.verify_password(user.as_ref(), password).await? != Verification::Invalid;
        Ok(user.filter(|_| is_valid))
    }

    /// Records an audit event of a user that someone else may have caused.
    pub(super) async fn record_attempt(
        &self,
        conn: &mut Connection,
        action: &'static str,
        user: &User,
        client: &Client,
    ) -> Result<(), sigra::Error> {
        self.sigra.audit().record_repeatable_in(conn, &Audit::new(action).of(user.id).from(client)).await
    }

    /// Counts a change to the user's own account before it is made, if it takes a password hash or sends an email.
    pub async fn limit_changes(&self, purpose: &str, user: &User) -> Result<(), sigra::Error> {
        self.sigra.limits().check(Limit::CHANGES, purpose, &user.id.to_string()).await
    }

    /// Records what a user did to their own account, in the same transaction.
    pub(super) async fn record(
        &self,
        conn: &mut Connection,
        action: &'static str,
        user: &User,
        client: &Client,
    ) -> Result<(), sigra::Error> {
        self.sigra.audit().record_in(conn, &Audit::new(action).of(user.id).by(user.id).from(client)).await
    }
}

/// Finds a user by a normalized address, or by the address of a user: rows that the application didn't write may have
/// capitals in it.
pub(super) async fn get_user_by_normalized_email(
    conn: &mut Connection,
    email: &str,
) -> Result<Option<User>, sigra::Error> {
    let email = email.to_ascii_lowercase();
    Ok(query_user("SELECT * FROM users WHERE lower(email) = $1").bind(email).fetch_optional(conn).await?)
}
