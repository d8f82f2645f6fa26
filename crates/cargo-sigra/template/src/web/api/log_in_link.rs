//! Logging in by a link.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{LogInMethod, Session};

use super::{
    mail_link::{Ask, link_of},
    refusal::bad_link,
    session,
};
use crate::{accounts::Accounts, web::Result};

#[derive(Deserialize)]
pub struct Use {
    #[serde(default)]
    remember_me: bool,
}

/// The same answer for every address.
pub async fn create(State(accounts): State<Accounts>, session: Session, Json(asked): Json<Ask>) -> Result<StatusCode> {
    accounts.deliver_log_in_link(&asked.email, session.client()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Logs nobody in: the frontend asks first, for it may be somebody else's link.
pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(link_of(accounts.get_user_by_log_in_token(&token).await?.map(|user| user.email)))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: Session,
    Path(token): Path<String>,
    Json(asked): Json<Use>,
) -> Result<Response> {
    let Some(user) = accounts.take_log_in_link(&token, &session.client()).await? else {
        return Ok(bad_link().into_response());
    };
    let outcome = accounts.sigra().log_in_user(&session, &user, LogInMethod::Link, asked.remember_me).await?;
    session::answer(&accounts, &session, &user, outcome).await
}
