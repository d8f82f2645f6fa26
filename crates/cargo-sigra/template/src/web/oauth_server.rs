//! The endpoints of the OAuth server that programs call. They use no cookies, so pages of every origin can call them.

use axum::{
    extract::{OriginalUri, Request, State},
    response::{IntoResponse, Response},
};
use sigra::Sigra;

use super::error::{NOT_FOUND, Result};
use crate::accounts::{Accounts, User};

/// The path of the metadata of resources. The path of a resource follows.
const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

/// Exchanges codes and refresh tokens for access tokens. A user whose program gets access receives an email.
pub async fn token(State(accounts): State<Accounts>, request: Request) -> Response {
    let server = accounts.sigra().oauth_server();
    let notifier = accounts.clone();
    server
        .token_with(request, move |tx, new| Box::pin(async move { notifier.notify_program_access(tx, new).await }))
        .await
}

/// Revokes the tokens of a program that logs out.
pub async fn revoke(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().revoke(request).await
}

/// Introspects a token, for an API on another server.
pub async fn introspect(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().introspect(request).await
}

/// Begins the login of a program without a browser. Its user enters a code at `/device`.
pub async fn device_authorization(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().device_authorization(request).await
}

/// Registers a program, if the settings allow it.
pub async fn register(State(sigra): State<Sigra<User>>, request: Request) -> Response {
    sigra.oauth_server().register(request).await
}

/// Lets pages of other origins send requests.
pub async fn preflight(State(sigra): State<Sigra<User>>) -> Response {
    sigra.oauth_server().preflight()
}

/// Where the endpoints are (RFC 8414).
pub async fn metadata(State(sigra): State<Sigra<User>>) -> Result<Response> {
    Ok(sigra.oauth_server().metadata()?)
}

/// Where to get tokens for a resource (RFC 9728).
pub async fn resource_metadata(State(sigra): State<Sigra<User>>, OriginalUri(uri): OriginalUri) -> Result<Response> {
    let resource = uri.path().strip_prefix(RESOURCE_PATH).unwrap_or_default();
    Ok(sigra.oauth_server().resource_metadata(resource)?.ok_or(NOT_FOUND)?.into_response())
}
