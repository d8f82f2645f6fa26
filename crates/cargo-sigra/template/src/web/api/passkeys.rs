//! Passkeys: adding, renaming and removing them, and logging in with one.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use sigra::{Checked, CookieSession, Scope, Sudo, mfa::MfaEnrolment};
use uuid::Uuid;

use super::{
    mfa::{Codes, enrolled},
    refusal::{FAILED_LOG_IN, found},
    session::{Outcome, answer},
};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::{NewPasskey, PasskeyLogIn, PasskeyName},
    },
};

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrolment: MfaEnrolment<User>,
    Json(asked): Json<NewPasskey>,
) -> Result<Json<Codes>> {
    enrolled(accounts.add_passkey(&session, &enrolment, &asked.name, asked.credential.as_ref()).await?)
}

pub async fn update(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
    Json(asked): Json<PasskeyName>,
) -> Result<StatusCode> {
    Ok(found(accounts.sigra().passkeys().rename(&scope.user().id, id, &asked.name).await?))
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(found(accounts.remove_passkey(&session, &sudo, id).await?))
}

pub async fn log_in(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<PasskeyLogIn>,
) -> Result<Json<Outcome>> {
    match accounts.log_in_with_passkey(&session, asked.credential.as_ref(), asked.remember_me).await? {
        Checked::Valid(log_in) => answer(log_in),
        Checked::Invalid => Err(FAILED_LOG_IN.into()),
    }
}
