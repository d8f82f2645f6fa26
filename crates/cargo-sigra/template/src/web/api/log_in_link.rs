//! Logging in by a link.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sigra::{CookieSession, LogInMethod, Scope};

use super::{
    mail_link::{Ask, link_of},
    refusal::bad_link,
    session::{self, Notice},
};
use crate::{
    accounts::{Accounts, User},
    web::Result,
};

#[derive(Deserialize)]
pub struct Use {
    #[serde(default)]
    remember_me: bool,
}

/// The same answer for every address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(asked): Json<Ask>,
) -> Result<StatusCode> {
    accounts.deliver_log_in_link(&asked.email, session.client()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Logs nobody in: the frontend asks first, for it may be somebody else's link.
pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Response> {
    Ok(link_of(accounts.get_user_by_log_in_token(&token).await?.map(|user| user.email)))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Json(asked): Json<Use>,
) -> Result<Response> {
    let Some(link) = accounts.take_log_in_link(&session, scope.as_ref(), &token).await? else {
        return Ok(bad_link().into_response());
    };
    let log_in = accounts.log_in(&session, &link.owner, LogInMethod::Link, asked.remember_me).await?;
    let notices = link.password_removed.then_some(Notice::PasswordRemoved).into_iter().collect();
    session::answer(&link.owner, log_in, notices)
}
