//! Passkeys: adding, renaming and removing them, and logging in with one.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use sigra::{Checked, CookieSession, Scope, Sudo, mfa::MfaEnrollment};
use uuid::Uuid;

use super::{
    mfa::{Codes, enrolled},
    problems::{FAILED_LOGIN, no_content_or_404},
    session::{Outcome, respond},
};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::{NewPasskey, PasskeyLogin, PasskeyName},
    },
};

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    Json(body): Json<NewPasskey>,
) -> Result<Json<Codes>> {
    enrolled(accounts.add_passkey(&session, &enrollment, &body.name, body.credential.as_ref()).await?)
}

pub async fn update(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
    Json(body): Json<PasskeyName>,
) -> Result<StatusCode> {
    Ok(no_content_or_404(accounts.sigra().passkeys().rename(&scope.user().id, id, &body.name).await?))
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(no_content_or_404(accounts.remove_passkey(&session, &sudo, id).await?))
}

pub async fn log_in(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(body): Json<PasskeyLogin>,
) -> Result<Json<Outcome>> {
    match accounts.log_in_with_passkey(&session, body.credential.as_ref(), body.remember_me).await? {
        Checked::Valid(next_step) => respond(next_step),
        Checked::Invalid => Err(FAILED_LOGIN.into()),
    }
}
