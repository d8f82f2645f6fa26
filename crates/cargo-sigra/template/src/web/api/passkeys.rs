//! Passkeys: adding, naming and removing them, and logging in with one.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{
    Problem, Scope, Session, Sudo,
    mfa::{
        CreationChallengeResponse, MfaEnrolment, PublicKeyCredential, RegisterPublicKeyCredential,
        RequestChallengeResponse,
    },
};
use uuid::Uuid;

use super::{mfa::enrolled, refusal::unconfirmed, session};
use crate::{
    accounts::{Accounts, User},
    web::Result,
};

#[derive(Deserialize)]
pub struct NewPasskey {
    #[serde(default)]
    name: String,
    credential: RegisterPublicKeyCredential,
}

#[derive(Deserialize)]
pub struct NewName {
    name: String,
}

#[derive(Deserialize)]
pub struct LogIn {
    credential: PublicKeyCredential,
    #[serde(default)]
    remember_me: bool,
}

/// What the browser is to make a passkey for.
pub async fn options(
    State(accounts): State<Accounts>,
    session: Session,
    enrolment: MfaEnrolment<User>,
) -> Result<Json<CreationChallengeResponse>> {
    let email = &enrolment.scope().user().email;
    Ok(Json(accounts.sigra().begin_passkey_registration(&session, &enrolment, email).await?))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: Session,
    enrolment: MfaEnrolment<User>,
    Json(asked): Json<NewPasskey>,
) -> Result<Response> {
    Ok(enrolled(accounts.add_passkey(&session, &enrolment, &asked.name, &asked.credential).await?))
}

pub async fn update(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
    Json(asked): Json<NewName>,
) -> Result<StatusCode> {
    Ok(found(accounts.rename_passkey(scope.user(), id, &asked.name).await?))
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: Session,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(found(accounts.remove_passkey(&session, &sudo, id).await?))
}

fn found(is_found: bool) -> StatusCode {
    if is_found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

/// What the browser is to sign, whoever it is.
pub async fn log_in_options(
    State(accounts): State<Accounts>,
    session: Session,
) -> Result<Json<RequestChallengeResponse>> {
    Ok(Json(accounts.sigra().begin_passkey_log_in(&session).await?))
}

pub async fn log_in(State(accounts): State<Accounts>, session: Session, Json(asked): Json<LogIn>) -> Result<Response> {
    let Some(log_in) = accounts.get_user_by_passkey(&session, &asked.credential).await? else {
        return Ok(Problem::new(StatusCode::UNAUTHORIZED).code("wrong_credentials").into_response());
    };
    if session::must_confirm(&accounts, log_in.user()) {
        return Ok(unconfirmed().into_response());
    }
    let outcome = accounts.sigra().log_in_user_with_passkey(&session, &log_in, asked.remember_me).await?;
    session::answer(&accounts, &session, log_in.user(), outcome).await
}
