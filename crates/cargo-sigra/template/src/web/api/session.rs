//! Logging in and out.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sigra::{CookieSession, LogInMethod, LogInOutcome, Password};

use super::{
    account::Me,
    refusal::{failed_log_in, unconfirmed},
};
use crate::{
    accounts::{Accounts, LogIn, User},
    web::{Result, user_auth::CLEAR_SITE_DATA},
};

#[derive(Deserialize)]
pub struct Credentials {
    email: String,
    password: Password,
    #[serde(default)]
    remember_me: bool,
}

/// What the user should know.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    // <magic_link>
    /// The account had a password until now, which may have been somebody else's.
    PasswordRemoved,
    // </magic_link>
    /// The account was to be deleted, and is kept.
    DeletionCancelled,
}

/// What came of a log-in.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The user is logged in.
    Complete { user: Me, notices: Vec<Notice> },
    // <mfa>
    /// The second factor is still to be shown, at `/users/mfa-challenge`.
    SecondFactorPending,
    // </mfa>
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<Credentials>,
) -> Result<Response> {
    accounts.limit_log_in(&session, &asked.email).await?;
    let client = session.client();
    let Some(user) = accounts.get_user_by_email_and_password(&asked.email, &asked.password, &client).await? else {
        return Ok(failed_log_in().into_response());
    };
    if accounts.must_confirm(&user) {
        return Ok(unconfirmed().into_response());
    }
    let log_in = accounts.log_in(&session, &user, LogInMethod::Password, asked.remember_me).await?;
    answer(&user, log_in, Vec::new())
}

pub async fn delete(State(accounts): State<Accounts>, session: CookieSession) -> Result<Response> {
    log_out(&accounts, &session).await
}

/// Welcomes the user, or says that the second factor is still to come.
pub fn answer(user: &User, log_in: LogIn, mut notices: Vec<Notice>) -> Result<Response> {
    match log_in.outcome {
        LogInOutcome::Complete => {
            notices.extend(log_in.deletion_cancelled.then_some(Notice::DeletionCancelled));
            Ok(Json(Outcome::Complete { user: user.into(), notices }).into_response())
        }
        // <mfa>
        LogInOutcome::SecondFactorPending => Ok(Json(Outcome::SecondFactorPending).into_response()),
        // </mfa>
        // <!mfa>
        // // There is no way to set one up here, so nobody has one.
        // LogInOutcome::SecondFactorPending => Err(sigra::Error::SecondFactorRequired.into()),
        // </!mfa>
    }
}

/// Logs the browser out. Its session's live connections end.
pub async fn log_out(accounts: &Accounts, session: &CookieSession) -> Result<Response> {
    accounts.sigra().log_out(session).await?;
    Ok((StatusCode::NO_CONTENT, [CLEAR_SITE_DATA]).into_response())
}
