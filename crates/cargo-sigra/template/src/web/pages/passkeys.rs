//! Passkeys: adding, naming and removing them, and logging in with one.

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use sigra::{
    CookieSession, Flash, Scope, Sudo,
    mfa::{Checked, MfaEnrolment, PublicKeyCredential, RegisterPublicKeyCredential},
};
use uuid::Uuid;

use super::mfa::{self, SentForm};
use crate::{
    accounts::{Accounts, User},
    web::{Result, error, user_auth},
};

#[derive(Deserialize)]
pub struct NewPasskey {
    #[serde(rename = "passkey[name]", default)]
    name: String,
    #[serde(default, deserialize_with = "from_json")]
    credential: Option<RegisterPublicKeyCredential>,
    #[serde(flatten)]
    sent: SentForm,
}

#[derive(Deserialize)]
pub struct NewName {
    #[serde(rename = "passkey[name]")]
    name: String,
}

#[derive(Deserialize)]
pub struct LogIn {
    #[serde(default, deserialize_with = "from_json")]
    credential: Option<PublicKeyCredential>,
    #[serde(rename = "user[remember_me]", default)]
    remember_me: String,
}

/// What a form holds that a script has filled in. Nothing, if there was no script.
pub fn from_json<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(json) => serde_json::from_str(json).map(Some).map_err(serde::de::Error::custom),
    }
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrolment: MfaEnrolment<User>,
    Form(form): Form<NewPasskey>,
) -> Result<Response> {
    if let Some(page) = mfa::shown_again(&accounts, &session, enrolment.scope(), &form.sent) {
        return Ok(page);
    }
    let enrolled = match &form.credential {
        Some(credential) => accounts.add_passkey(&session, &enrolment, &form.name, credential).await,
        None => Ok(Checked::Invalid),
    };
    match enrolled {
        Ok(Checked::Valid(enrolled)) => {
            const MESSAGE: &str = "Passkey added.";
            mfa::welcome(&accounts, &session, &enrolment, &form.sent, enrolled, MESSAGE)
        }
        Err(sigra::Error::TooManyPasskeys { most }) => {
            let why = format!("You can have at most {most} passkeys. Remove one that you no longer use first.");
            session.put_flash(Flash::Error, why)?;
            Ok(Redirect::to(user_auth::MFA_ENROLMENT_PATH).into_response())
        }
        Err(error) => Err(error.into()),
        Ok(Checked::Invalid) => {
            session.put_flash(Flash::Error, "The passkey wasn't added. Try again.")?;
            Ok(Redirect::to(user_auth::MFA_ENROLMENT_PATH).into_response())
        }
    }
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
    Form(form): Form<NewName>,
) -> Result<Response> {
    if !accounts.rename_passkey(scope.user(), id, &form.name).await? {
        return Ok(error::not_found().await.into_response());
    }
    session.put_flash(Flash::Info, "Passkey renamed.")?;
    Ok(Redirect::to(user_auth::MFA_ENROLMENT_PATH).into_response())
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    match accounts.remove_passkey(&session, &sudo, id).await {
        Ok(false) => return Ok(error::not_found().await.into_response()),
        Ok(true) => session.put_flash(Flash::Info, "Passkey removed.")?,
        Err(sigra::Error::SecondFactorRequired) => mfa::keep_one(&session)?,
        Err(error) => return Err(error.into()),
    }
    Ok(Redirect::to(user_auth::MFA_ENROLMENT_PATH).into_response())
}

pub async fn log_in(
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
