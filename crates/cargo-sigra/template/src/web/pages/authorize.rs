//! A program asks for access, and the user decides.

use askama::Template;
use axum::{
    extract::{FromRequestParts as _, OriginalUri, State},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{
    CookieSession, Flash, Scope, Sudo,
    oauth_server::{AuthorizationError, AuthorizationRequest},
    session::ReturnTo,
};

use super::{devices, form::Form};
use crate::{
    accounts::{Accounts, User, UserId, permissions},
    web::{
        error::Result,
        forms::Decision,
        layout::{Layout, Page},
        security_headers,
    },
};

/// In seconds.
pub const DAY: u64 = 24 * 60 * 60;

#[derive(Template)]
#[template(path = "authorize.html")]
struct AuthorizePage {
    layout: Layout,
    client: String,
    /// Whether the program registered itself, so that nothing about it is proven.
    is_registered: bool,
    /// Where the browser goes next.
    destination: String,
    /// Whether that is a program on the user's own computer.
    is_local: bool,
    permissions: Vec<&'static str>,
    /// The part of the application that it can use, unless it can use all of it.
    resource: Option<String>,
    /// How long it will have access.
    days: u64,
    email: String,
    user: UserId,
    /// Where the form is sent: to this page, with what the program asks for.
    action: String,
}

#[derive(Template)]
#[template(path = "authorize_problem.html")]
struct ProblemPage {
    layout: Layout,
}

#[derive(Template)]
#[template(path = "authorized.html")]
struct AuthorizedPage {
    layout: Layout,
    client: String,
    url: String,
}

/// Asks the user, who must have logged in recently: what they give outlives their session. A program of your own can be
/// set to skip that.
pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    OriginalUri(uri): OriginalUri,
    mut parts: Parts,
) -> Result<Response> {
    let server = accounts.sigra().oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error, &session, &scope, &parts.headers),
    };
    if let Some(url) = server.skip_consent(&scope, &request, &session.client()).await? {
        let client = request.client().name().to_owned();
        return Ok(redirect_to_program(&session, &scope, &parts.headers, client, url));
    }
    if let Err(rejection) = Sudo::<User>::from_request_parts(&mut parts, &()).await {
        return Ok(rejection.into_response());
    }
    Ok((policy(&request), Page(page(&session, &scope, &uri, &request))).into_response())
}

/// Gives or refuses the program access. Browsers send this form only from our own page.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    OriginalUri(uri): OriginalUri,
    mut parts: Parts,
    Form(form): Form<Decision>,
) -> Result<Response> {
    let server = accounts.sigra().oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error, &session, &scope, &parts.headers),
    };
    if form.is_for_another_user(scope.user()) {
        return Ok((policy(&request), Page(page(&session, &scope, &uri, &request)).unprocessable()).into_response());
    }
    if !form.decision.is_allowed() {
        return Ok(Redirect::to(&server.deny(&request)?).into_response());
    }
    let sudo = match Sudo::<User>::from_request_parts(&mut parts, &()).await {
        Ok(sudo) => sudo,
        Err(rejection) => {
            // The page has this form's own path.
            if let Some(page) = ReturnTo::from_uri(&uri) {
                session.put_return_to(&page);
            }
            return Ok(rejection.into_response());
        }
    };
    match server.approve(&sudo, &request, &session.client()).await {
        Err(sigra::Error::TooManyPrograms { max }) => too_many_programs(&session, max),
        approved => Ok(Redirect::to(&approved?).into_response()),
    }
}

/// Redirects to the programs that have access, because the user must end the access of one first.
pub fn too_many_programs(session: &CookieSession, max: usize) -> Result<Response> {
    let why =
        t!("You can give access to at most {max} programs. End the access of one that you no longer use first.", max);
    session.put_flash(Flash::Error, why)?;
    Ok(Redirect::to(devices::PATH).into_response())
}

fn page(session: &CookieSession, scope: &Scope<User>, uri: &Uri, request: &AuthorizationRequest) -> AuthorizePage {
    AuthorizePage {
        layout: Layout::new(t!("Give access"), session, Some(scope)),
        client: request.client().name().to_owned(),
        is_registered: request.client().is_registered(),
        destination: request.destination(),
        is_local: request.is_local(),
        permissions: request.permissions().iter().map(permissions::describe).collect(),
        resource: request.resource().map(str::to_owned),
        days: request.lifetime().as_secs() / DAY,
        email: scope.user().email.clone(),
        user: scope.user().id,
        action: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The policy of all pages, except that the form may lead to the program: browsers apply `form-action` to the redirect
/// that follows a form.
fn policy(request: &AuthorizationRequest) -> [(header::HeaderName, String); 1] {
    let form_action = format!("'self' {}", request.form_action());
    [(header::CONTENT_SECURITY_POLICY, security_headers::policy(&form_action))]
}

fn refuse(
    error: AuthorizationError,
    session: &CookieSession,
    scope: &Scope<User>,
    headers: &HeaderMap,
) -> Result<Response> {
    match error {
        AuthorizationError::Redirect(url) => Ok(redirect_to_program(session, scope, headers, String::new(), url)),
        AuthorizationError::Library(error) => Err(error.into()),
        // The program is unknown, so the browser must not go to where it says.
        error => {
            tracing::info!(%error, "a program's request for access was refused");
            let layout = Layout::new(t!("This program can't be given access"), session, Some(scope));
            Ok((StatusCode::BAD_REQUEST, Page(ProblemPage { layout })).into_response())
        }
    }
}

/// Sends the browser back to the program. After a login, the browser comes from one of our forms, whose policy forbids
/// redirects to other sites. So a page redirects it.
fn redirect_to_program(
    session: &CookieSession,
    scope: &Scope<User>,
    headers: &HeaderMap,
    client: String,
    url: String,
) -> Response {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin") {
        return Redirect::to(&url).into_response();
    }
    let refresh = [(header::REFRESH, format!("0; url={url}"))];
    let layout = Layout::new(t!("Back to the program"), session, Some(scope));
    (refresh, Page(AuthorizedPage { layout, client, url })).into_response()
}
