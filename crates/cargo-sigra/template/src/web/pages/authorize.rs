//! A program asks for access, and the user decides.

use askama::Template;
use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{
    CookieSession, Scope,
    oauth_server::{AuthorizationError, AuthorizationRequest},
};

use super::form::Form;
use crate::{
    accounts::{Accounts, User, UserId, permissions},
    web::{
        error::Result,
        forms::Decision,
        layout::{Layout, Page},
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

/// Asks the user. A program of your own can be set to skip that.
pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response> {
    let server = accounts.sigra().oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error, &session, &scope, &headers),
    };
    if request.skips_consent() {
        let url = server.approve(&scope, &request, &session.client()).await?;
        let client = request.client().name().to_owned();
        return Ok(lead_back(&session, &scope, &headers, client, url));
    }
    Ok((policy(&request), Page(page(&session, &scope, &uri, &request))).into_response())
}

/// Gives or refuses the program access. Browsers send this form only from our own page.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Form(form): Form<Decision>,
) -> Result<Response> {
    let server = accounts.sigra().oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error, &session, &scope, &headers),
    };
    if form.is_of_another(scope.user()) {
        return Ok((policy(&request), Page(page(&session, &scope, &uri, &request)).refused()).into_response());
    }
    let url = match form.decision.is_allowed() {
        true => server.approve(&scope, &request, &session.client()).await?,
        false => server.deny(&request)?,
    };
    Ok(Redirect::to(&url).into_response())
}

fn page(session: &CookieSession, scope: &Scope<User>, uri: &Uri, request: &AuthorizationRequest) -> AuthorizePage {
    AuthorizePage {
        layout: Layout::new(t!("Give access"), session, Some(scope)),
        client: request.client().name().to_owned(),
        is_registered: request.client().is_registered(),
        destination: request.destination(),
        is_local: request.is_local(),
        permissions: request.permissions().iter().map(permissions::in_words).collect(),
        days: request.lifetime().as_secs() / DAY,
        email: scope.user().email.clone(),
        user: scope.user().id,
        action: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The policy of all pages, except that the form may lead to the program: browsers apply `form-action` to the redirect
/// that follows a form.
fn policy(request: &AuthorizationRequest) -> [(header::HeaderName, String); 1] {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        request.form_action()
    );
    [(header::CONTENT_SECURITY_POLICY, policy)]
}

fn refuse(
    error: AuthorizationError,
    session: &CookieSession,
    scope: &Scope<User>,
    headers: &HeaderMap,
) -> Result<Response> {
    match error {
        AuthorizationError::Redirect(url) => Ok(lead_back(session, scope, headers, String::new(), url)),
        AuthorizationError::Library(error) => Err(error.into()),
        // The program is unknown, so the browser must not go to where it says.
        error => {
            tracing::info!(%error, "a program's request for access was refused");
            let layout = Layout::new(t!("This program can't be given access"), session, Some(scope));
            Ok((StatusCode::BAD_REQUEST, Page(ProblemPage { layout })).into_response())
        }
    }
}

/// Sends the browser back to the program. After a login, it came here from a form of ours, whose policy doesn't let it
/// go on to another site. So that a page does.
fn lead_back(
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
