//! Setting a new password by a link.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use sigra::CookieSession;

use super::{
    mail_link::{Ask, link_of},
    settings::{NewPassword, new_password},
};
use crate::{accounts::Accounts, web::Result};

/// The same answer for every address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<Ask>,
) -> Result<StatusCode> {
    accounts.deliver_user_reset_password_instructions(&asked.email, session.client()).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(link_of(accounts.get_user_by_reset_password_token(&token).await?.map(|user| user.email)))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(token): Path<String>,
    Json(asked): Json<NewPassword>,
) -> Result<Response> {
    let NewPassword { password } = &asked;
    new_password(accounts.reset_user_password(&session, &token, password, password).await)
}
