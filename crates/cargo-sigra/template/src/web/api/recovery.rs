//! Recovering an account with a link from an email.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use sigra::CookieSession;

use super::email_link::{Link, link_response};
use crate::{
    accounts::Accounts,
    web::{error::Result, forms::NewPassword},
};

pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Json<Link>> {
    link_response(accounts.get_email_by_recovery_token(&token).await?)
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode> {
    accounts.recover_account(&session, &token, &body.password, body.confirmation()).await?;
    Ok(StatusCode::NO_CONTENT)
}
