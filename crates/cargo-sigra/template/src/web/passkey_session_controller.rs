//! Logging in with a passkey.

use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sigra::{
    CookieSession, Flash,
    mfa::{Checked, PublicKeyCredential},
};

use super::{Result, user_auth};
use crate::accounts::Accounts;

#[derive(Deserialize)]
pub struct LogIn {
    #[serde(default, deserialize_with = "super::passkey::from_json")]
    credential: Option<PublicKeyCredential>,
    #[serde(rename = "user[remember_me]", default)]
    remember_me: String,
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Form(form): Form<LogIn>,
) -> Result<Response> {
    let log_in = match &form.credential {
        Some(credential) => accounts.get_user_by_passkey(&session, credential).await?,
        None => Checked::Invalid,
    };
    let Checked::Valid(log_in) = log_in else {
        session.put_flash(Flash::Error, "We don't recognize that passkey. Log in another way.")?;
        return Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response());
    };
    if let Some(elsewhere) = user_auth::must_confirm(&accounts, &session, log_in.user())? {
        return Ok(elsewhere.into_response());
    }
    Ok(user_auth::log_in_user_with_passkey(&accounts, &session, &log_in, form.remember_me == "true")
        .await?
        .into_response())
}
