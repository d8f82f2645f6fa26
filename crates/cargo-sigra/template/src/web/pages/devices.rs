//! The user's devices: where they are logged in, and logging them out.

use std::net::IpAddr;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope, SessionId, SessionRow};
// <mfa>
use sigra::mfa::TrustedBrowser;
use uuid::Uuid;
// </mfa>

// <oauth_server>
use sigra::oauth_server::Grant;

use crate::accounts::permissions;
// </oauth_server>
// <api_tokens>
use super::form::Form;
use crate::web::forms::LogOutEverywhere;
// </api_tokens>
use crate::{
    accounts::{Accounts, User},
    dates::{Timestamp, timestamp},
    devices,
    web::{
        error::{NOT_FOUND, Result},
        layout::{Layout, Page},
        user_auth,
    },
};

pub const PATH: &str = "/users/sessions";

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    layout: Layout,
    devices: Vec<Device>,
    /// Whether there are more than these.
    has_more: bool,
    // <api_tokens>
    has_api_tokens: bool,
    // </api_tokens>
    // <oauth_server>
    programs: Vec<Program>,
    // </oauth_server>
    // <mfa>
    trusted: Vec<Trusted>,
    // </mfa>
}

impl DevicesPage {
    fn summary(&self) -> String {
        let count = self.devices.len();
        if self.has_more {
            return t!(
                "You are logged in on more than {count} devices. Here are the ones used most recently; “Log out of all other devices” includes the rest.",
                count
            );
        }
        match count {
            1 => t!("You are logged in on this device only.").to_owned(),
            _ => t!("You are logged in on this {count} device.", "You are logged in on these {count} devices.", count),
        }
    }
}

/// One row of the page. It contains no token and no hash.
struct Device {
    id: SessionId,
    name: String,
    ip: String,
    logged_in: Timestamp,
    last_used: Timestamp,
    is_phone: bool,
    is_remembered: bool,
    is_this_one: bool,
    // <device_bound>
    is_bound: bool,
    // </device_bound>
}

// <oauth_server>
/// A program that the user gave access.
struct Program {
    id: uuid::Uuid,
    name: String,
    ip: String,
    permissions: Vec<&'static str>,
    /// The part of the application that it can use, unless it can use all of it.
    resource: Option<String>,
    is_phone: bool,
    last_used: Timestamp,
    since: Timestamp,
}

impl From<&Grant> for Program {
    fn from(grant: &Grant) -> Self {
        Self {
            id: grant.id,
            name: devices::describe_program(grant),
            ip: address(grant.ip),
            permissions: permissions::describe_all(&grant.permissions),
            resource: grant.resource.clone(),
            is_phone: devices::is_phone(grant.user_agent.as_deref()),
            last_used: timestamp(grant.last_used_at),
            since: timestamp(grant.inserted_at),
        }
    }
}
// </oauth_server>

// <mfa>
/// A trusted browser, which skips the second factor.
struct Trusted {
    id: Uuid,
    name: String,
    ip: String,
    since: Timestamp,
    is_this_one: bool,
}

impl Trusted {
    fn new(browser: &TrustedBrowser, this_one: Option<Uuid>) -> Self {
        Self {
            id: browser.id,
            name: devices::describe(browser.user_agent.as_deref()),
            ip: address(browser.ip),
            since: timestamp(browser.inserted_at),
            is_this_one: Some(browser.id) == this_one,
        }
    }
}
// </mfa>

fn address(ip: Option<IpAddr>) -> String {
    ip.map_or_else(|| t!("Unknown").to_owned(), |ip| ip.to_string())
}

impl Device {
    fn new(session: &SessionRow, this_one: SessionId) -> Self {
        let user_agent = session.user_agent.as_deref();
        Self {
            id: session.id,
            name: devices::describe(user_agent),
            is_phone: devices::is_phone(user_agent),
            ip: address(session.ip),
            logged_in: timestamp(session.inserted_at),
            last_used: timestamp(session.last_used_at),
            is_remembered: session.remembered,
            is_this_one: session.id == this_one,
            // <device_bound>
            is_bound: session.binding.is_some(),
            // </device_bound>
        }
    }
}

pub async fn index(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Page<impl Template>> {
    let this_one = scope.session().id;
    let mut sessions = accounts.sigra().sessions().list(&scope.user().id).await?;
    sessions.sort_by_key(|session| session.id != this_one);
    let devices = sessions.iter().map(|session| Device::new(session, this_one)).collect();
    // <mfa>
    let browsers = accounts.sigra().trusted_browsers().list(&scope.user().id).await?;
    let this_browser =
        accounts.sigra().trusted_browsers().current(&session, &scope.user().id).await?.map(|browser| browser.id);
    // </mfa>
    // <api_tokens>
    let has_api_tokens = !accounts.sigra().api_tokens().list(&scope).await?.is_empty();
    // <oauth_server>
    let programs = accounts.sigra().oauth_server().grants(&scope.user().id).await?;
    let has_api_tokens = has_api_tokens || !programs.is_empty();
    // </oauth_server>
    // </api_tokens>
    Ok(Page(DevicesPage {
        layout: Layout::new(t!("Your devices"), &session, Some(&scope)).active_path(PATH),
        devices,
        has_more: sessions.has_more,
        // <api_tokens>
        has_api_tokens,
        // </api_tokens>
        // <oauth_server>
        programs: programs.iter().map(Program::from).collect(),
        // </oauth_server>
        // <mfa>
        trusted: browsers.iter().map(|browser| Trusted::new(browser, this_browser)).collect(),
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
        return user_auth::log_out_user(&accounts, &session, user_auth::log_out_message).await;
    }
    if !accounts.delete_user_session(scope.user(), id, &session.client()).await? {
        return Err(NOT_FOUND.into());
    }
    session.put_flash(Flash::Info, t!("Logged out of that device."))?;
    Ok(Redirect::to(PATH).into_response())
}

pub async fn delete_others(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
) -> Result<Response> {
    let text = match accounts.delete_other_user_sessions(&scope, &session.client()).await? {
        0 => t!("You are logged in on this device only."),
        _ => t!("Logged out of all other devices."),
    };
    session.put_flash(Flash::Info, text)?;
    Ok(Redirect::to(PATH).into_response())
}

pub async fn delete_all(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    // <api_tokens>
    form: std::result::Result<Form<LogOutEverywhere>, Response>,
    // </api_tokens>
) -> Result<Response> {
    // <api_tokens>
    let revoke_api_tokens = form.is_ok_and(|Form(form)| form.revoke_api_tokens);
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
    user_auth::log_out_user(&accounts, &session, || t!("Logged out of all devices.").to_owned()).await
}

// <mfa>
/// Stops trusting a browser, which must present the second factor again.
pub async fn distrust(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    if !accounts.sigra().trusted_browsers().delete(&scope.user().id, id, &session.client()).await? {
        return Err(NOT_FOUND.into());
    }
    session.put_flash(Flash::Info, t!("That browser is no longer trusted."))?;
    Ok(Redirect::to(PATH).into_response())
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
    if !accounts.sigra().oauth_server().revoke_grant(&scope.user().id, id, &session.client()).await? {
        return Err(NOT_FOUND.into());
    }
    session.put_flash(Flash::Info, t!("The program no longer has access."))?;
    Ok(Redirect::to(PATH).into_response())
}
// </oauth_server>
