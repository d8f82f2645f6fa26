//! Registering.

use std::time::Duration;

use sigra::{Client, HashedPassword, Password, Session, Verification, audit};

use super::{Accounts, Problems, User, normalize_email};

/// Somebody wanted to register with an address that has an account.
const REGISTRATION_REFUSED: &str = "auth.account.registration_refused";

/// Within it a registration with the same address and password is the same one, sent twice.
const A_MOMENT: Duration = Duration::from_secs(60);

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
        let email = self.check_registration(email, password).await?;
        let (registered, _) = self.insert_user(&email, password, client).await?;
        registered.ok_or(RegisterError::Taken)
    }

    /// The same in a browser, in which one press [confirms the address](Self::confirm_user) then.
    pub async fn register_user_here(
        &self,
        session: &Session,
        email: &str,
        password: &Password,
    ) -> Result<User, RegisterError> {
        let email = self.check_registration(email, password).await?;
        let (registered, hashed_password) = self.insert_user(&email, password, &session.client()).await?;
        self.remember_registration(session, &hashed_password)?;
        registered.ok_or(RegisterError::Taken)
    }

    /// The address as it is stored, if nothing is wrong with it and the password.
    async fn check_registration(&self, email: &str, password: &Password) -> Result<String, RegisterError> {
        let problems = Problems::of(email, password, &self.policy);
        let Some(email) = normalize_email(email).filter(|_| problems.is_empty()) else {
            return Err(RegisterError::Invalid(problems));
        };
        match self.sigra.check_breached(password).await {
            Ok(()) => Ok(email),
            Err(problem) => Err(RegisterError::Invalid(Problems { password: Some(problem), ..Problems::default() })),
        }
    }

    /// The new user, unless the address is taken, and the hash of their password.
    pub(super) async fn insert_user(
        &self,
        email: &str,
        password: &Password,
        client: &Client,
    ) -> Result<(Option<User>, HashedPassword), sigra::Error> {
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
        let insert = sqlx::query_as(insert).bind(email).bind(hashed_password.as_str()).bind(now);
        // <uuid>
        let insert = insert.bind(uuid::Uuid::now_v7());
        // </uuid>
        let inserted: Option<User> = insert.fetch_optional(&mut *tx).await?;
        let existing = super::get_user_by_normalized_email(&mut tx, email).await?;
        let action = if inserted.is_some() { audit::REGISTERED } else { REGISTRATION_REFUSED };
        let audit = audit::Audit::new(action).of(existing.map(|user| user.id)).from(client);
        self.sigra.record_repeatable(&mut tx, &audit).await?;
        tx.commit().await?;
        Ok((inserted, hashed_password))
    }

    /// Tells the owner of an address that somebody wanted to register with it. Who has done so themselves a moment ago,
    /// and pressed the button twice, gets no second mail.
    pub async fn deliver_taken_notice(&self, email: &str, password: &Password) -> Result<(), sigra::Error> {
        let password = password.clone();
        self.deliver_to(email, |accounts, user| async move {
            if accounts.has_just_registered(&user, &password).await? {
                return Ok(None);
            }
            let may_mail = accounts.may_mail("taken", &user.email).await?;
            Ok(may_mail.then(|| accounts.notifier.already_registered(&user)))
        })
        .await
    }

    async fn has_just_registered(&self, user: &User, password: &Password) -> Result<bool, sigra::Error> {
        let is_new = user.confirmed_at.is_none() && self.sigra.now() - user.inserted_at < A_MOMENT;
        Ok(is_new && self.sigra.verify_password(Some(user), password).await? != Verification::Invalid)
    }
}
