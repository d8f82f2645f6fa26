//! Registration.

use std::time::Duration;

use sigra::{Client, CookieSession, HashedPassword, Password, Verification, audit};

use super::{
    AccountError, Accounts, FieldErrors, Transaction, User,
    user::{Inserted, NewUser, normalize_email, query_user},
};
use crate::database::Connection;

/// The audit event of a registration with a taken email address.
const REGISTRATION_REFUSED: &str = "auth.account.registration_refused";

/// A second registration with the same email address and password within this time is a double submit.
const DOUBLE_SUBMIT_WINDOW: Duration = Duration::from_secs(60);

impl Accounts {
    /// Registers a user with a password, for your own code: also while registration is closed, and without an email. A
    /// taken email address takes the same work.
    pub async fn register_user(&self, email: &str, password: &Password, client: &Client) -> Result<User, AccountError> {
        let email = self.check_registration(email, password).await?;
        let hashed_password = self.sigra.hash_password(password).await?;
        let mut tx = self.sigra.begin().await?;
        let new = NewUser { email: &email, hashed_password: Some(&hashed_password) };
        let inserted = self.insert_user(&mut tx, &new, client).await?;
        tx.commit().await?;
        match inserted {
            Inserted::New(user) => Ok(user),
            Inserted::Taken(_) => Err(email_taken()),
        }
    }

    /// Registers a visitor, and sends the confirmation link. This browser can then [confirm the
    /// address](Self::confirm_user) without the password. For a taken address, notifies the owner and succeeds, unless
    /// the [policy](super::Policy) reveals taken addresses.
    pub async fn register_visitor(
        &self,
        session: &CookieSession,
        email: &str,
        password: &Password,
    ) -> Result<(), AccountError> {
        self.check_registration_is_open()?;
        let email = self.check_registration(email, password).await?;
        let hashed_password = self.sigra.hash_password(password).await?;
        self.remember_registration(session, &hashed_password)?;
        let mut tx = self.sigra.begin().await?;
        let new = NewUser { email: &email, hashed_password: Some(&hashed_password) };
        let inserted = self.insert_user(&mut tx, &new, &session.client()).await?;
        match &inserted {
            Inserted::New(user) if self.notifier.may_mail(&mut tx, "confirm", &email).await? => {
                self.send_confirmation_instructions(&mut tx, user).await?;
            }
            Inserted::Taken(Some(owner)) if !self.policy.reveal_taken_addresses => {
                self.notify_owner_of_registration(&mut tx, owner, password).await?;
            }
            _ => {}
        }
        tx.commit().await?;
        match inserted {
            Inserted::Taken(_) if self.policy.reveal_taken_addresses => Err(email_taken()),
            _ => Ok(()),
        }
    }

    /// Fails while registration is closed. Call it first, so that the response is the same for every address.
    pub(super) fn check_registration_is_open(&self) -> Result<(), AccountError> {
        if self.policy.registration_open { Ok(()) } else { Err(AccountError::RegistrationClosed) }
    }

    /// Returns the normalized email address, if both it and the password are valid.
    async fn check_registration(&self, email: &str, password: &Password) -> Result<String, AccountError> {
        let problems = FieldErrors::of(email, password, &self.policy);
        let email = normalize_email(email).filter(|_| problems.is_empty()).ok_or(problems)?;
        self.sigra.check_breached(password).await.map_err(FieldErrors::of_password)?;
        Ok(email)
    }

    /// Inserts a user, unless the email address is taken.
    pub(super) async fn insert_user(
        &self,
        conn: &mut Connection,
        new: &NewUser<'_>,
        client: &Client,
    ) -> Result<Inserted, sigra::Error> {
        // <uuid>
        const INSERT: &str = "INSERT INTO users (email, hashed_password, inserted_at, updated_at, id)
            VALUES ($1, $2, $3, $3, $4) ON CONFLICT (lower(email)) DO NOTHING RETURNING *";
        // </uuid>
        // <!uuid>
        // const INSERT: &str = "INSERT INTO users (email, hashed_password, inserted_at, updated_at)
        //     VALUES ($1, $2, $3, $3) ON CONFLICT (lower(email)) DO NOTHING RETURNING *";
        // </!uuid>
        let inserted: Option<User> = query_user(INSERT)
            .bind(new.email)
            .bind(new.hashed_password.map(HashedPassword::as_str))
            .bind(self.sigra.now())
            // <uuid>
            .bind(uuid::Uuid::now_v7())
            // </uuid>
            .fetch_optional(&mut *conn)
            .await?;
        // For a new user too, so that a taken address takes the same work.
        let owner = super::context::get_user_by_normalized_email(conn, new.email).await?;
        let action = if inserted.is_some() { audit::ACCOUNT_REGISTERED } else { REGISTRATION_REFUSED };
        let audit = audit::Audit::new(action).of(owner.as_ref().map(|user| user.id)).from(client);
        self.sigra.audit().record_repeatable_in(conn, &audit).await?;
        Ok(inserted.map_or(Inserted::Taken(owner), Inserted::New))
    }

    /// Notifies the owner of an address that someone tried to register it, unless it was a double submit. Checking that
    /// takes a password hash, so it happens after the response.
    async fn notify_owner_of_registration(
        &self,
        tx: &mut Transaction,
        owner: &User,
        password: &Password,
    ) -> Result<(), sigra::Error> {
        let age = (self.sigra.now() - owner.inserted_at).unsigned_abs();
        let is_new = owner.confirmed_at.is_none() && age < DOUBLE_SUBMIT_WINDOW;
        if !is_new {
            return self.send_already_registered_notice(tx, owner).await;
        }
        let (accounts, owner, password) = (self.clone(), owner.clone(), password.clone());
        self.mailer().defer(async move {
            if accounts.sigra.verify_password(Some(&owner), &password).await? != Verification::Invalid {
                return Ok(());
            }
            let mut tx = accounts.sigra.begin().await?;
            accounts.send_already_registered_notice(&mut tx, &owner).await?;
            tx.commit().await
        });
        Ok(())
    }

    pub(super) async fn send_already_registered_notice(
        &self,
        tx: &mut Transaction,
        owner: &User,
    ) -> Result<(), sigra::Error> {
        match self.notifier.may_mail(tx, "taken", &owner.email).await? {
            true => self.mailer().send_in(tx, self.notifier.already_registered(owner)).await,
            false => Ok(()),
        }
    }
}

/// Another account has the email address.
fn email_taken() -> AccountError {
    FieldErrors::of_email(t!("This email address has already been taken.")).into()
}
