//! Confirming an email address.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sigra::{CookieSession, Password, Scope};

use super::{
    mail_link::Ask,
    refusal::{bad_link, password_required, wrong_credentials},
    settings::{NewPassword, new_password},
};
use crate::{
    accounts::{Accounts, ConfirmError, User},
    web::Result,
};

#[derive(Deserialize)]
pub struct Confirm {
    password: Option<Password>,
}

/// What to ask before a link is used.
#[derive(Serialize)]
struct Link {
    email: String,
    /// The address is confirmed: there is nothing left to do.
    confirmed: bool,
    /// This browser is not the one that registered, nor logged in to the account: the account's password confirms, and
    /// so does a new one. Where there is none, only a new one does.
    password_required: bool,
    has_password: bool,
}

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, Json(asked): Json<Ask>) -> Result<StatusCode> {
    accounts.deliver_user_confirmation_instructions(&asked.email).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn show(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(user) = accounts.get_user_by_confirmation_token(&token).await? else {
        return Ok(bad_link().into_response());
    };
    let confirmed = user.confirmed_at.is_some();
    let password_required = !confirmed && !accounts.is_registrant(&session, scope.as_ref(), &user);
    let has_password = user.hashed_password.is_some();
    Ok(Json(Link { email: user.email, confirmed, password_required, has_password }).into_response())
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    asked: Option<Json<Confirm>>,
) -> Result<Response> {
    let password = asked.and_then(|Json(asked)| asked.password);
    Ok(match accounts.confirm_user(&session, scope.as_ref(), &token, password.as_ref()).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(ConfirmError::Link) => bad_link().into_response(),
        Err(ConfirmError::PasswordRequired) => password_required().into_response(),
        Err(ConfirmError::WrongPassword) => wrong_credentials().into_response(),
        Err(ConfirmError::Sigra(error)) => return Err(error.into()),
    })
}

/// Sets a new password, for who has the mailbox and not the password. Whoever registered the account is out.
pub async fn take_over(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(asked): Json<NewPassword>,
) -> Result<Response> {
    let NewPassword { password } = &asked;
    new_password(accounts.take_over_by_confirmation(&token, password, password, &session.client()).await)
}
