//! Logging in and out.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{CookieSession, LoginMethod};

use super::{account::Me, problems::FAILED_LOGIN};
use crate::{
    accounts::{Accounts, CompletedLogin, NextStep},
    web::{
        error::{Result, UNCONFIRMED},
        forms::Credentials,
        user_auth::CLEAR_SITE_DATA,
    },
};

/// What the frontend should tell the user.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    // <magic_link>
    /// The account's password was removed, because someone else may have chosen it.
    PasswordRemoved,
    // </magic_link>
    // <oauth>
    /// The account was never confirmed, and what was set up before was removed.
    AccountTakenOver,
    // </oauth>
    /// The account was scheduled for deletion, and the login canceled that.
    DeletionCanceled,
}

/// The outcome of a login.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The user is logged in.
    Complete { user: Me, notices: Vec<Notice> },
    // <mfa>
    /// The user must present their second factor at `/users/mfa-challenge`.
    SecondFactorPending,
    // </mfa>
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(body): Json<Credentials>,
) -> Result<Json<Outcome>> {
    match accounts.attempt_log_in(&session, &body.email, &body.password).await? {
        Some(user) => respond(accounts.log_in(&session, &user, LoginMethod::Password, body.remember_me).await?),
        None => Err(FAILED_LOGIN.into()),
    }
}

pub async fn delete(State(accounts): State<Accounts>, session: CookieSession) -> Result<Response> {
    log_out(&accounts, &session).await
}

/// Responds to a login: the user is logged in, must present a second factor, or must confirm their email address.
pub fn respond(next_step: NextStep) -> Result<Json<Outcome>> {
    match next_step {
        NextStep::LoggedIn(login) => {
            let CompletedLogin { user, .. } = &login;
            Ok(Json(Outcome::Complete { user: user.into(), notices: notices(&login) }))
        }
        // <mfa>
        NextStep::SecondFactor => Ok(Json(Outcome::SecondFactorPending)),
        // </mfa>
        NextStep::ConfirmEmail => Err(UNCONFIRMED.into()),
    }
}

// <oauth>
/// Responds to a login at a provider, which may have taken the account over.
pub fn respond_to_provider(next_step: NextStep, took_over: bool) -> Result<Json<Outcome>> {
    let mut response = respond(next_step)?;
    if let (Outcome::Complete { notices, .. }, true) = (&mut response.0, took_over) {
        notices.push(Notice::AccountTakenOver);
    }
    Ok(response)
}
// </oauth>

pub fn notices(login: &CompletedLogin) -> Vec<Notice> {
    let notices = [
        // <magic_link>
        login.password_removed.then_some(Notice::PasswordRemoved),
        // </magic_link>
        login.deletion_canceled.then_some(Notice::DeletionCanceled),
    ];
    notices.into_iter().flatten().collect()
}

/// Logs the browser out, and closes the live connections of its session.
pub async fn log_out(accounts: &Accounts, session: &CookieSession) -> Result<Response> {
    accounts.sigra().log_out(session).await?;
    Ok((StatusCode::NO_CONTENT, [CLEAR_SITE_DATA]).into_response())
}
