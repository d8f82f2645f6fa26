//! Registering.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{CookieSession, Password};

use super::refusal::Fields;
use crate::{
    accounts::{Accounts, RegisterError},
    web::Result,
};

#[derive(Deserialize)]
pub struct Registration {
    email: String,
    password: Password,
}

/// A taken address gets the same answer, unless the application's owner has decided otherwise.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<Registration>,
) -> Result<Response> {
    match accounts.register_user_here(&session, &asked.email, &asked.password).await {
        Ok(_) => {}
        Err(RegisterError::Taken) if !accounts.policy().reveal_taken_addresses => {}
        Err(RegisterError::Taken) => {
            let email = Some("This email address has already been taken.".to_owned());
            return Ok(Fields { email, ..Fields::default() }.into_response());
        }
        Err(RegisterError::Invalid(problems)) => {
            let email = problems.email.map(str::to_owned);
            let password = problems.password.map(|problem| problem.to_string());
            return Ok(Fields { email, password, ..Fields::default() }.into_response());
        }
        Err(RegisterError::Sigra(error)) => return Err(error.into()),
    }
    Ok(StatusCode::ACCEPTED.into_response())
}
