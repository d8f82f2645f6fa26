//! Confirming that it is still the user, before something sensitive: by their second factor, or by their password if
//! they have none.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{CookieSession, Password, Scope};

// <mfa>
use super::mfa_challenge::Answer;
// </mfa>
use super::refusal::wrong_credentials;
use crate::{
    accounts::{Accounts, User},
    web::Result,
};

#[derive(Deserialize)]
pub struct Confirm {
    password: Option<Password>,
    // <mfa>
    #[serde(flatten)]
    answer: Answer,
    // </mfa>
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Json(asked): Json<Confirm>,
) -> Result<Response> {
    Ok(match is_confirmed(&accounts, &session, &scope, &asked).await? {
        true => StatusCode::NO_CONTENT.into_response(),
        false => wrong_credentials().into_response(),
    })
}

async fn is_confirmed(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    asked: &Confirm,
) -> Result<bool> {
    // <mfa>
    if let Some(answer) = asked.answer.second_factor() {
        return Ok(accounts.confirm_sudo(session, scope, answer).await?.is_valid());
    }
    // </mfa>
    let Some(password) = &asked.password else { return Ok(false) };
    Ok(accounts.confirm_sudo_by_password(session, scope, password).await?.is_valid())
}
