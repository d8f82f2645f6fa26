//! The pages and the endpoints of the OAuth server. A generated application has all of them, and better pages.

use axum::{
    Form, Router,
    extract::{OriginalUri, Request, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use sigra::{
    CookieSession, Scope, Sigra, Sudo,
    oauth_server::{AuthorizationError, AuthorizationRequest},
};

use crate::User;

/// What programs call. These routes are outside of the layer, because pages of every origin can call them.
pub fn endpoints() -> Router<Sigra<User>> {
    Router::new()
        .route("/oauth/token", post(token).options(preflight))
        .route("/oauth/revoke", post(revoke).options(preflight))
        .route("/oauth/register", post(register).options(preflight))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/oauth-protected-resource/{*path}", get(resource_metadata))
}

async fn token(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().token(request).await
}

async fn revoke(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().revoke(request).await
}

async fn register(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().register(request).await
}

async fn preflight(State(sigra): State<Sigra<User>>) -> Response {
    sigra.oauth_server().preflight()
}

async fn metadata(State(sigra): State<Sigra<User>>) -> sigra::Result<Response> {
    sigra.oauth_server().metadata()
}

async fn resource_metadata(State(sigra): State<Sigra<User>>, OriginalUri(uri): OriginalUri) -> sigra::Result<Response> {
    let path = uri.path().trim_start_matches("/.well-known/oauth-protected-resource");
    let found = sigra.oauth_server().resource_metadata(path)?;
    Ok(found.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response()))
}

/// Asks the user, who must have logged in recently: what they give outlives their session.
pub async fn ask(State(sigra): State<Sigra<User>>, Sudo(scope): Sudo<User>, OriginalUri(uri): OriginalUri) -> Response {
    match sigra.oauth_server().authorization_request(&uri).await {
        Ok(request) => page(&request, &scope).into_response(),
        Err(error) => refuse(error),
    }
}

#[derive(serde::Deserialize)]
pub struct Decision {
    decision: String,
}

/// Gives or refuses the program access.
pub async fn decide(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    sudo: Sudo<User>,
    OriginalUri(uri): OriginalUri,
    Form(form): Form<Decision>,
) -> Response {
    let server = sigra.oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    let url = match form.decision.as_str() {
        "allow" => server.approve(&sudo, &request, &session.client()).await,
        _ => server.deny(&request),
    };
    url.map_or_else(IntoResponse::into_response, |url| Redirect::to(&url).into_response())
}

/// The form is sent to this page's own path and query. No other site can show the page in a frame.
fn page(request: &AuthorizationRequest, scope: &Scope<User>) -> impl IntoResponse + use<> {
    let permissions: String = request.permissions().iter().map(|one| format!("<li>{}", one.description)).collect();
    let page = format!(
        "<!doctype html><title>Give access</title>
         <h1>Give <b>{client}</b> access?</h1>
         <p>You are logged in as {user}. Nobody has checked who made this program. It will be able to:
         <ul>{permissions}</ul>
         <p>Its access is limited to {resource}.
         <p>You will be sent to {destination}.
         <form method=post><button name=decision value=allow>Give access</button>
         <button name=decision value=deny>Cancel</button></form>",
        client = escape(request.client().name()),
        user = escape(&scope.user().email),
        resource = request.resource().unwrap_or("this site"),
        destination = escape(&request.destination()),
    );
    let policy = format!(
        "default-src 'none'; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        request.form_action()
    );
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page))
}

fn refuse(error: AuthorizationError) -> Response {
    match error {
        AuthorizationError::Redirect(url) => Redirect::to(&url).into_response(),
        AuthorizationError::Library(error) => error.into_response(),
        // The program is unknown, so the browser must not go to where it says.
        error => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// A program chooses its own name.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
