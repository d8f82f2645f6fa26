//! Resetting a password with a link.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use sigra::CookieSession;

use super::email_link::{Link, link_response};
use crate::{
    accounts::Accounts,
    web::{
        error::Result,
        forms::{EmailForm, NewPassword},
    },
};

/// Responds in the same way for every email address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(body): Json<EmailForm>,
) -> Result<StatusCode> {
    accounts.deliver_user_reset_password_instructions(&body.email, session.client()).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Json<Link>> {
    link_response(accounts.get_user_by_reset_password_token(&token).await?.map(|user| user.email))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode> {
    accounts.reset_user_password(&session, &token, &body.password, body.confirmation()).await?;
    Ok(StatusCode::NO_CONTENT)
}
