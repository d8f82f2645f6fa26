//! Logging in with a link.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use sigra::{CookieSession, Scope};

use super::{
    email_link::{Link, link_response},
    session::{Outcome, respond},
};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::{EmailForm, RememberMeForm},
    },
};

/// Responds in the same way for every email address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(body): Json<EmailForm>,
) -> Result<StatusCode> {
    accounts.deliver_login_link(&body.email, session.client()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Logs nobody in. The frontend must ask first, because the link may be an attacker's.
pub async fn show(State(accounts): State<Accounts>, Path(token): Path<String>) -> Result<Json<Link>> {
    link_response(accounts.get_user_by_login_token(&token).await?.map(|user| user.email))
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Json(body): Json<RememberMeForm>,
) -> Result<Json<Outcome>> {
    respond(accounts.log_in_with_link(&session, scope.as_ref(), &token, body.remember_me).await?)
}
