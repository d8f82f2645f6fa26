//! A password, a second factor, a login, a link and an identity whose results are ignored.
#![deny(unused_must_use)]
#![allow(dead_code)]

use sigra::{
    Client, CookieSession, Password, Sigra,
    mfa::{MfaChallenge, MfaCode, MfaEnrollment, SecondFactor, TrustBrowser},
    oauth::ProviderIdentity,
    token::{Context, EmailToken},
};

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&sigra::HashedPassword> {
        None
    }
}

async fn password(sigra: &Sigra<User>, user: &User, password: &Password) -> sigra::Result<()> {
    sigra.verify_password(Some(user), password).await?;
    Ok(())
}

async fn challenge(
    sigra: &Sigra<User>,
    session: &CookieSession,
    challenge: &MfaChallenge<User>,
    scope: &sigra::Scope<User>,
    code: &MfaCode,
) -> sigra::Result<()> {
    sigra.mfa().complete(session, challenge, SecondFactor::Code(code), TrustBrowser::No).await?;
    sigra.mfa().reauthenticate(session, scope, SecondFactor::Code(code)).await?;
    Ok(())
}

async fn enrollment(
    sigra: &Sigra<User>,
    session: &CookieSession,
    enrollment: &MfaEnrollment<User>,
    code: &MfaCode,
) -> sigra::Result<()> {
    sigra.mfa().confirm_totp(session, enrollment, "ada@example.com", code).await?;
    Ok(())
}

async fn log_in(sigra: &Sigra<User>, session: &CookieSession, user: &User) -> sigra::Result<()> {
    sigra.log_in(session, user, sigra::LoginMethod::Password, sigra::RememberMe::No).await?;
    Ok(())
}

async fn links(sigra: &Sigra<User>, token: &EmailToken, client: &Client) -> sigra::Result<()> {
    let mut tx = sigra.begin().await?;
    sigra.email_tokens().take_in(&mut tx, token, Context::Confirm).await?;
    sigra.recovery().recover_in(&mut tx, token, client).await?;
    tx.commit().await
}

async fn identity(
    sigra: &Sigra<User>,
    session: &CookieSession,
    identity: &ProviderIdentity,
    client: &Client,
) -> sigra::Result<()> {
    let mut tx = sigra.begin().await?;
    sigra.identities().insert_in(&mut tx, &1, identity, client).await?;
    sigra.identities().take_pending_in(&mut tx, session, "the one on the page").await?;
    tx.commit().await
}

fn main() {}
