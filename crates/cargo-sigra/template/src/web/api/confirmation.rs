//! Confirming an email address.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Serialize;
use sigra::{CookieSession, Scope};

use crate::{
    accounts::{AccountError, Accounts, User},
    web::{
        error::Result,
        forms::{Confirmation, EmailForm, NewPassword},
    },
};

/// What a frontend needs to know before it uses a link.
#[derive(Serialize)]
pub struct Link {
    email: String,
    /// The email address is confirmed already: there is nothing left to do.
    confirmed: bool,
    /// This browser neither registered the account nor is logged in to it. Confirming takes the account's password, or
    /// a new one. An account without a password needs a new one.
    password_required: bool,
    has_password: bool,
}

/// Responds in the same way for every email address.
pub async fn create(State(accounts): State<Accounts>, Json(body): Json<EmailForm>) -> Result<StatusCode> {
    accounts.deliver_user_confirmation_instructions(&body.email).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn show(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Json<Link>> {
    let user = accounts.get_user_by_confirmation_token(&token).await?.ok_or(AccountError::InvalidLink)?;
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
    body: Option<Json<Confirmation>>,
) -> Result<StatusCode> {
    let password = body.and_then(|Json(body)| body.password);
    accounts.confirm_user(&session, scope.as_ref(), &token, password.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a new password, for an owner of the mailbox who doesn't know the current one. Locks out the person who
/// registered the account.
pub async fn take_over(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode> {
    accounts.take_over_by_confirmation(&session, &token, &body.password, body.confirmation()).await?;
    Ok(StatusCode::NO_CONTENT)
}
