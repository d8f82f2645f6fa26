//! The user's devices: where they are logged in, and logging out there.

use super::{
    Result, error,
    layout::{Layout, Page, minute},
    user_auth,
};
use crate::accounts::{Accounts, User};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{Flash, Scope, Session, SessionId, SessionRow};

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    layout: Layout,
    devices: Vec<Device>,
}

/// One row of the page. It shows no token and no hash.
struct Device {
    id: SessionId,
    name: String,
    ip: String,
    signed_in: String,
    last_used: String,
    is_remembered: bool,
    is_this_one: bool,
}

impl Device {
    fn new(session: &SessionRow, this_one: SessionId) -> Self {
        Self {
            id: session.id,
            name: session.device(),
            ip: session.ip.map_or_else(|| "Unknown address".to_owned(), |ip| ip.to_string()),
            signed_in: minute(session.inserted_at),
            last_used: minute(session.last_used_at),
            is_remembered: session.remembered,
            is_this_one: session.id == this_one,
        }
    }
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Scope<User>,
) -> Result<Page<impl Template>> {
    let this_one = scope.session().id;
    let mut sessions = accounts.list_user_sessions(scope.user()).await?;
    sessions.sort_by_key(|session| session.id != this_one);
    let devices = sessions.iter().map(|session| Device::new(session, this_one)).collect();
    Ok(Page(DevicesPage { layout: Layout::new("Your devices", &session, Some(&scope)), devices }))
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: Session,
    scope: Scope<User>,
    Path(id): Path<SessionId>,
) -> Result<Response> {
    if id == scope.session().id {
        session.put_flash(Flash::Info, "Logged out successfully.")?;
        return user_auth::log_out_user(accounts.sigra(), &session).await;
    }
    if !accounts.delete_user_session(scope.user(), id, &session.client()).await? {
        return Ok(error::not_found().await.into_response());
    }
    session.put_flash(Flash::Info, "Logged out of that device.")?;
    Ok(Redirect::to("/users/sessions").into_response())
}

pub async fn delete_all(State(accounts): State<Accounts>, session: Session, scope: Scope<User>) -> Result<Response> {
    accounts.delete_all_user_session_tokens(scope.user(), &session.client()).await?;
    session.put_flash(Flash::Info, "Logged out of all devices.")?;
    user_auth::log_out_user(accounts.sigra(), &session).await
}
