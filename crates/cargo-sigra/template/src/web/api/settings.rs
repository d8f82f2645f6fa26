//! The user's email address and password. Each change requires sudo mode.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use sigra::{CookieSession, Scope, Sudo};

use super::email_link::{Link, link_response};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::{EmailForm, PasswordChange},
    },
};

pub async fn update_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Json(body): Json<EmailForm>,
) -> Result<StatusCode> {
    accounts.deliver_user_update_email_instructions(scope.user(), &body.email, &session.client()).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn confirm_email(
    State(accounts): State<Accounts>,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Json<Link>> {
    link_response(accounts.get_new_email_by_token(scope.user(), &token).await?)
}

pub async fn change_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<StatusCode> {
    accounts.update_user_email(&session, &scope, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Logs out all other devices.
pub async fn update_password(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode> {
    let PasswordChange { current_password, new } = &body;
    let current = current_password.as_ref();
    accounts.update_user_password(&session, &scope, current, &new.password, new.confirmation()).await?;
    Ok(StatusCode::NO_CONTENT)
}
