//! The user's address and password. Each change needs a recent authentication when it is asked for.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{CookieSession, Password, Scope, Sudo};

use super::{
    mail_link::{Ask, link_of},
    refusal::{Fields, address_taken, bad_link},
};
use crate::{
    accounts::{Accounts, ChangeEmailError, ChangePasswordError, User},
    web::Result,
};

#[derive(Deserialize)]
pub struct NewPassword {
    pub password: Password,
}

#[derive(Deserialize)]
pub struct ChangedPassword {
    /// For who has a password and has not logged in with it.
    current_password: Option<Password>,
    password: Password,
}

pub async fn update_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Json(asked): Json<Ask>,
) -> Result<Response> {
    match accounts.deliver_user_update_email_instructions(scope.user(), &asked.email, &session.client()).await {
        Ok(()) => Ok(StatusCode::ACCEPTED.into_response()),
        Err(ChangeEmailError::Sigra(error)) => Err(error.into()),
        Err(problem) => Ok(Fields { email: Some(problem.to_string()), ..Fields::default() }.into_response()),
    }
}

pub async fn confirm_email(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Response> {
    Ok(link_of(accounts.get_new_email_by_token(scope.user(), &token).await?))
}

pub async fn change_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.update_user_email(&session, &scope, &token).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(ChangeEmailError::Sigra(error)) => Err(error.into()),
        Err(_) => Ok(bad_link().into_response()),
    }
}

/// All other devices are logged out.
pub async fn update_password(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Json(asked): Json<ChangedPassword>,
) -> Result<Response> {
    let ChangedPassword { current_password, password } = &asked;
    new_password(accounts.update_user_password(&session, &scope, current_password.as_ref(), password, password).await)
}

/// What setting a new password is answered with, by whatever way.
pub fn new_password<T>(changed: Result<T, ChangePasswordError>) -> Result<Response> {
    let problem = match changed {
        Ok(_) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Err(ChangePasswordError::Sigra(error)) => return Err(error.into()),
        Err(ChangePasswordError::Link) => return Ok(bad_link().into_response()),
        Err(ChangePasswordError::AddressTaken) => return Ok(address_taken().into_response()),
        Err(problem) => problem,
    };
    let text = Some(problem.to_string());
    Ok(match problem {
        ChangePasswordError::Current => Fields { current_password: text, ..Fields::default() },
        _ => Fields { password: text, ..Fields::default() },
    }
    .into_response())
}
