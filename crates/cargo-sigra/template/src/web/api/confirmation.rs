//! Confirming an email address.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Serialize;
use sigra::{CookieSession, Scope};

use crate::{
    accounts::{Accounts, Refusal, User},
    web::{
        error::Result,
        forms::{Address, Confirmation, NewPassword},
    },
};

/// What to ask before a link is used.
#[derive(Serialize)]
pub struct Link {
    email: String,
    /// The address is confirmed: there is nothing left to do.
    confirmed: bool,
    /// This browser is not the one that registered, nor logged in to the account: the account's password confirms, and
    /// so does a new one. Where there is none, only a new one does.
    password_required: bool,
    has_password: bool,
}

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, Json(asked): Json<Address>) -> Result<StatusCode> {
    accounts.deliver_user_confirmation_instructions(&asked.email).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn show(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Json<Link>> {
    let user = accounts.get_user_by_confirmation_token(&token).await?.ok_or(Refusal::Link)?;
    let confirmed = user.confirmed_at.is_some();
    let password_required = !confirmed && !accounts.is_registrant(&session, scope.as_ref(), &user);
    let has_password = user.hashed_password.is_some();
    Ok(Json(Link { email: user.email, confirmed, password_required, has_password }))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    asked: Option<Json<Confirmation>>,
) -> Result<StatusCode> {
    let password = asked.and_then(|Json(asked)| asked.password);
    accounts.confirm_user(&session, scope.as_ref(), &token, password.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a new password, for who has the mailbox and not the password. Whoever registered the account is out.
pub async fn take_over(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(asked): Json<NewPassword>,
) -> Result<StatusCode> {
    let client = session.client();
    accounts.take_over_by_confirmation(&token, &asked.password, asked.confirmation(), &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
