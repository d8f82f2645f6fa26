//! The user's devices: where they are logged in, and logging them out.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{CookieSession, Scope, SessionId, SessionRow};
use time::OffsetDateTime;
// <mfa>
use axum::http::StatusCode;
use sigra::mfa::TrustedBrowser;
use uuid::Uuid;
// </mfa>

use super::{problems::no_content_or_404, session::log_out};
// <api_tokens>
use crate::web::forms::LogOutEverywhere;
// </api_tokens>
use crate::{
    accounts::{Accounts, User},
    devices,
    web::error::Result,
};

#[derive(Serialize)]
pub struct Devices {
    sessions: Vec<Device>,
    /// Whether there are more sessions than these, the most recently used ones.
    has_more: bool,
    // <oauth_server>
    programs: Vec<Program>,
    // </oauth_server>
    // <mfa>
    trusted_browsers: Vec<Trusted>,
    // </mfa>
}

/// A session. It contains no token and no hash.
#[derive(Serialize)]
struct Device {
    id: SessionId,
    device: String,
    ip: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_used_at: OffsetDateTime,
    remembered: bool,
    current: bool,
    // <device_bound>
    /// Whether the session is bound to this device, so that stolen cookies soon stop working.
    device_bound: bool,
    // </device_bound>
}

impl Device {
    fn new(session: &SessionRow, current: SessionId) -> Self {
        Self {
            id: session.id,
            device: devices::describe(session.user_agent.as_deref()),
            ip: session.ip,
            inserted_at: session.inserted_at,
            last_used_at: session.last_used_at,
            remembered: session.remembered,
            current: session.id == current,
            // <device_bound>
            device_bound: session.binding.is_some(),
            // </device_bound>
        }
    }
}

// <oauth_server>
/// A program that the user gave access.
#[derive(Serialize)]
struct Program {
    id: uuid::Uuid,
    device: String,
    permissions: Vec<String>,
    /// The part of the application that it can use, unless it can use all of it.
    resource: Option<String>,
    ip: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_used_at: OffsetDateTime,
}

impl From<&sigra::oauth_server::Grant> for Program {
    fn from(grant: &sigra::oauth_server::Grant) -> Self {
        Self {
            id: grant.id,
            device: devices::describe_program(grant),
            permissions: grant.permissions.iter().map(str::to_owned).collect(),
            resource: grant.resource.clone(),
            ip: grant.ip,
            inserted_at: grant.inserted_at,
            last_used_at: grant.last_used_at,
        }
    }
}
// </oauth_server>

// <mfa>
/// A trusted browser, which skips the second factor.
#[derive(Serialize)]
struct Trusted {
    id: Uuid,
    device: String,
    ip: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    inserted_at: OffsetDateTime,
}

impl From<TrustedBrowser> for Trusted {
    fn from(browser: TrustedBrowser) -> Self {
        Self {
            id: browser.id,
            device: devices::describe(browser.user_agent.as_deref()),
            ip: browser.ip,
            inserted_at: browser.inserted_at,
        }
    }
}
// </mfa>

pub async fn index(State(accounts): State<Accounts>, scope: Scope<User>) -> Result<Json<Devices>> {
    let current = scope.session().id;
    let sessions = accounts.sigra().sessions().list(&scope.user().id).await?;
    // <mfa>
    let trusted_browsers = accounts.sigra().trusted_browsers().list(&scope.user().id).await?;
    // </mfa>
    // <oauth_server>
    let programs = accounts.sigra().oauth_server().grants(&scope.user().id).await?;
    // </oauth_server>
    Ok(Json(Devices {
        sessions: sessions.iter().map(|session| Device::new(session, current)).collect(),
        has_more: sessions.has_more,
        // <oauth_server>
        programs: programs.iter().map(Program::from).collect(),
        // </oauth_server>
        // <mfa>
        trusted_browsers: trusted_browsers.into_iter().map(Trusted::from).collect(),
        // </mfa>
    }))
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<SessionId>,
) -> Result<Response> {
    if id == scope.session().id {
        return log_out(&accounts, &session).await;
    }
    Ok(no_content_or_404(accounts.delete_user_session(scope.user(), id, &session.client()).await?).into_response())
}

/// How many sessions ended.
#[derive(Serialize)]
pub struct Ended {
    ended: usize,
}

pub async fn delete_others(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Json<Ended>> {
    let ended = accounts.delete_other_user_sessions(&scope, &session.client()).await?;
    Ok(Json(Ended { ended }))
}

pub async fn delete_all(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    // <api_tokens>
    body: Option<Json<LogOutEverywhere>>,
    // </api_tokens>
) -> Result<Response> {
    // <api_tokens>
    let revoke_api_tokens = body.is_some_and(|Json(body)| body.revoke_api_tokens);
    // </api_tokens>
    accounts
        .delete_all_user_session_tokens(
            scope.user(),
            // <api_tokens>
            revoke_api_tokens,
            // </api_tokens>
            &session.client(),
        )
        .await?;
    log_out(&accounts, &session).await
}

// <mfa>
/// Stops trusting a browser, which must present the second factor again.
pub async fn distrust(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(no_content_or_404(accounts.sigra().trusted_browsers().delete(&scope.user().id, id, &session.client()).await?))
}
// </mfa>

// <oauth_server>
/// Ends the access of a program.
pub async fn end_access(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<uuid::Uuid>,
) -> Result<Response> {
    let was_theirs = accounts.sigra().oauth_server().revoke_grant(&scope.user().id, id, &session.client()).await?;
    Ok(no_content_or_404(was_theirs).into_response())
}
// </oauth_server>
