//! Passkeys: adding, naming and removing them, and logging in with one.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{
    CookieSession, Scope, Sudo,
    mfa::{Checked, MfaEnrolment, PublicKeyCredential, RegisterPublicKeyCredential},
};
use uuid::Uuid;

use super::{
    mfa::enrolled,
    refusal::{failed_log_in, found, unconfirmed},
    session,
};
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

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
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
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(found(accounts.remove_passkey(&session, &sudo, id).await?))
}

pub async fn log_in(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<LogIn>,
) -> Result<Response> {
    let Checked::Valid(log_in) = accounts.get_user_by_passkey(&session, &asked.credential).await? else {
        return Ok(failed_log_in().into_response());
    };
    if accounts.must_confirm(log_in.user()) {
        return Ok(unconfirmed().into_response());
    }
    let complete = accounts.log_in_with_passkey(&session, &log_in, asked.remember_me).await?;
    session::answer(log_in.user(), complete, Vec::new())
}
