//! Confirming an email address.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sigra::Session;

use super::{
    mail_link::{Ask, link_of},
    refusal::bad_link,
};
use crate::{accounts::Accounts, web::Result};

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, Json(asked): Json<Ask>) -> Result<StatusCode> {
    accounts.deliver_user_confirmation_instructions(&asked.email).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(link_of(accounts.get_user_by_confirmation_token(&token).await?.map(|user| user.email)))
}

pub async fn update(State(accounts): State<Accounts>, session: Session, Path(token): Path<String>) -> Result<Response> {
    Ok(match accounts.confirm_user(&token, &session.client()).await? {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => bad_link().into_response(),
    })
}
