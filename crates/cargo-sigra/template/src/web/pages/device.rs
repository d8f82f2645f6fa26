//! A program without a browser, such as a command line on a server, shows a code. The user enters it here, and decides.
//!
//! They must have logged in recently. Somebody who is talked into entering a code has a moment to think about it.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sigra::{
    CookieSession, Flash, Scope, Sudo,
    oauth_server::{DeviceRequest, UserCode},
};

use super::{
    authorize::{DAY, too_many_programs},
    devices,
    form::Form,
};
use crate::{
    accounts::{Accounts, User, permissions},
    dates::{Timestamp, timestamp},
    web::{
        error::Result,
        forms::{DeviceDecision, UserCodeForm},
        layout::{Layout, Page, too_many_attempts},
    },
};

pub const DEVICE_PATH: &str = "/device";

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    layout: Layout,
    user_code: String,
    problem: Option<&'static str>,
}

impl DevicePage {
    fn new(session: &CookieSession, scope: &Scope<User>, user_code: String) -> Self {
        Self { layout: Layout::new(t!("Connect a device"), session, Some(scope)), user_code, problem: None }
    }

    fn with_problem(self, problem: &'static str) -> Self {
        Self { layout: self.layout.with_problems(true), problem: Some(problem), ..self }
    }
}

#[derive(Template)]
#[template(path = "authorize_device.html")]
struct AuthorizeDevicePage {
    layout: Layout,
    client: String,
    permissions: Vec<&'static str>,
    /// The part of the application that it can use, unless it can use all of it.
    resource: Option<String>,
    ip: Option<String>,
    system: Option<&'static str>,
    begun: Timestamp,
    /// How long it will have access.
    days: u64,
    email: String,
    user_code: String,
}

impl AuthorizeDevicePage {
    fn new(session: &CookieSession, scope: &Scope<User>, request: &DeviceRequest, user_code: &UserCode) -> Self {
        Self {
            layout: Layout::new(t!("Give access"), session, Some(scope)),
            client: request.client.name().to_owned(),
            permissions: request.permissions.iter().map(permissions::describe).collect(),
            resource: request.resource.clone(),
            ip: request.ip.map(|ip| ip.to_string()),
            system: request.system,
            begun: timestamp(request.inserted_at),
            days: request.lifetime.as_secs() / DAY,
            email: scope.user().email.clone(),
            user_code: user_code.to_string(),
        }
    }
}

#[derive(Deserialize)]
pub struct DeviceQuery {
    #[serde(default)]
    user_code: String,
}

/// Asks for the code. A program can put it into the link, but the user must send the form.
pub async fn new(
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Query(query): Query<DeviceQuery>,
) -> Page<impl Template> {
    let code = UserCode::parse(&query.user_code).map(|code| code.to_string()).unwrap_or_default();
    Page(DevicePage::new(&session, &scope, code))
}

/// Names the program that waits with the code, and asks whether it gets access.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Form(form): Form<UserCodeForm>,
) -> Result<Response> {
    let again = || DevicePage::new(&session, &scope, form.user_code.chars().take(20).collect());
    let unknown = || {
        Page(again().with_problem(t!("No program is waiting with that code. Check it, or start again.")))
            .unprocessable()
    };
    let Some(code) = UserCode::parse(&form.user_code) else { return Ok(unknown()) };
    match accounts.sigra().oauth_server().enter_user_code(&scope, &code).await {
        Ok(Some(request)) => Ok(Page(AuthorizeDevicePage::new(&session, &scope, &request, &code)).into_response()),
        Ok(None) => Ok(unknown()),
        Err(error) => {
            let problem = too_many_attempts(error)?;
            let page = again();
            Ok(Page(DevicePage { layout: page.layout.alert(&problem), ..page }).retry_later(problem))
        }
    }
}

/// Gives or refuses the program access. Only the session that entered the code can.
pub async fn decide(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Form(form): Form<DeviceDecision>,
) -> Result<Response> {
    let server = accounts.sigra().oauth_server();
    let decided = match UserCode::parse(&form.user_code) {
        Some(code) if form.decision.is_allowed() => match server.approve_device(&sudo, &code).await {
            Err(sigra::Error::TooManyPrograms { max }) => return too_many_programs(&session, max),
            approved => approved?,
        },
        Some(code) => server.deny_device(sudo.scope(), &code).await?,
        None => None,
    };
    let (kind, text) = match (decided, form.decision.is_allowed()) {
        // The program gets access, and a row in the list, when it asks for its tokens.
        (Some(request), true) => (
            Flash::Info,
            t!(
                "{program} can now access your account. Go back to it. Once it has logged in, it's listed here.",
                program = request.client.name()
            ),
        ),
        (Some(request), false) => (Flash::Info, t!("{program} has no access.", program = request.client.name())),
        (None, _) => (Flash::Error, t!("No program is waiting with that code. Check it, or start again.").to_owned()),
    };
    let next = if kind == Flash::Info { devices::PATH } else { DEVICE_PATH };
    session.put_flash(kind, text)?;
    Ok(Redirect::to(next).into_response())
}
