//! The user's passkeys: adding, naming and removing them.

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sigra::{
    CookieSession, Flash, Scope, Sudo,
    mfa::{Checked, MfaEnrolment, RegisterPublicKeyCredential},
};
use uuid::Uuid;

use super::{
    Result, error,
    mfa_settings_controller::{self, SentForm},
    user_auth,
};
use crate::accounts::{Accounts, User};

#[derive(Deserialize)]
pub struct NewPasskey {
    #[serde(rename = "passkey[name]", default)]
    name: String,
    #[serde(default, deserialize_with = "super::passkey::from_json")]
    credential: Option<RegisterPublicKeyCredential>,
    #[serde(flatten)]
    sent: SentForm,
}

#[derive(Deserialize)]
pub struct NewName {
    #[serde(rename = "passkey[name]")]
    name: String,
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrolment: MfaEnrolment<User>,
    Form(form): Form<NewPasskey>,
) -> Result<Response> {
    if let Some(page) = mfa_settings_controller::shown_again(&accounts, &session, enrolment.scope(), &form.sent) {
        return Ok(page);
    }
    let enrolled = match &form.credential {
        Some(credential) => accounts.add_passkey(&session, &enrolment, &form.name, credential).await,
        None => Ok(Checked::Invalid),
    };
    match enrolled {
        Ok(Checked::Valid(enrolled)) => {
            const MESSAGE: &str = "Passkey added.";
            mfa_settings_controller::welcome(&accounts, &session, &enrolment, &form.sent, enrolled, MESSAGE)
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
        Err(sigra::Error::SecondFactorRequired) => mfa_settings_controller::keep_one(&session)?,
        Err(error) => return Err(error.into()),
    }
    Ok(Redirect::to(user_auth::MFA_ENROLMENT_PATH).into_response())
}
