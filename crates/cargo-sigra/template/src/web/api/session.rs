//! Logging in and out.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{CookieSession, LogInMethod};

use super::{
    account::Me,
    refusal::{FAILED_LOG_IN, UNCONFIRMED},
};
use crate::{
    accounts::{Accounts, LogIn, LoggedIn},
    web::{error::Result, forms::Credentials, user_auth::CLEAR_SITE_DATA},
};

/// What the frontend should tell the user.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    // <magic_link>
    /// The account's password was removed, because someone else may have chosen it.
    PasswordRemoved,
    // </magic_link>
    /// The account was scheduled for deletion, and the login canceled that.
    DeletionCancelled,
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
    Json(asked): Json<Credentials>,
) -> Result<Json<Outcome>> {
    accounts.limit_log_in(&session, &asked.email).await?;
    match accounts.get_user_by_email_and_password(&asked.email, &asked.password, &session.client()).await? {
        Some(user) => answer(accounts.log_in(&session, &user, LogInMethod::Password, asked.remember_me).await?),
        None => Err(FAILED_LOG_IN.into()),
    }
}

pub async fn delete(State(accounts): State<Accounts>, session: CookieSession) -> Result<Response> {
    log_out(&accounts, &session).await
}

/// Responds to a login: it is complete, or the second factor is pending.
pub fn answer(log_in: LogIn) -> Result<Json<Outcome>> {
    match log_in {
        LogIn::Complete(logged_in) => {
            Ok(Json(Outcome::Complete { user: (&logged_in.user).into(), notices: notices(&logged_in) }))
        }
        // <mfa>
        LogIn::SecondFactorPending => Ok(Json(Outcome::SecondFactorPending)),
        // </mfa>
        LogIn::Unconfirmed => Err(UNCONFIRMED.into()),
    }
}

pub fn notices(logged_in: &LoggedIn) -> Vec<Notice> {
    let notices = [
        // <magic_link>
        logged_in.password_removed.then_some(Notice::PasswordRemoved),
        // </magic_link>
        logged_in.deletion_cancelled.then_some(Notice::DeletionCancelled),
    ];
    notices.into_iter().flatten().collect()
}

/// Logs the browser out, and closes the live connections of its session.
pub async fn log_out(accounts: &Accounts, session: &CookieSession) -> Result<Response> {
    accounts.sigra().log_out(session).await?;
    Ok((StatusCode::NO_CONTENT, [CLEAR_SITE_DATA]).into_response())
}
