//! Confirming an email address.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sigra::Session;

use super::refusal::bad_link;
use crate::{accounts::Accounts, web::Result};

/// Asks for a mail.
#[derive(Deserialize)]
pub struct Ask {
    pub email: String,
}

/// Whose link it is, to be asked about before it is used.
#[derive(Serialize)]
pub struct Link {
    pub email: String,
}

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, Json(asked): Json<Ask>) -> Result<StatusCode> {
    accounts.deliver_user_confirmation_instructions(&asked.email).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Changes nothing: mail scanners open links too.
pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(match accounts.get_user_by_confirmation_token(&token).await? {
        Some(user) => Json(Link { email: user.email }).into_response(),
        None => bad_link().into_response(),
    })
}

pub async fn update(State(accounts): State<Accounts>, session: Session, Path(token): Path<String>) -> Result<Response> {
    Ok(match accounts.confirm_user(&token, &session.client()).await? {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => bad_link().into_response(),
    })
}
