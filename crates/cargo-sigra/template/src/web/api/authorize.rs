//! A program asks for access, and the user decides.
//!
//! The program opens `/oauth/authorize`, which the frontend serves: it calls the same path and query here, shows what
//! the program asks for, and redirects the browser to the URL that it gets.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{
    CookieSession, Problem, Scope, Sudo,
    oauth_server::{AuthorizationError, AuthorizationRequest},
    scope::SudoRejection,
};

use super::api_tokens::Permission;
use crate::{
    accounts::{Accounts, User},
    web::{error::Result, forms::Decision},
};

/// The program is unknown, or wants to send the browser somewhere that isn't its own.
const UNKNOWN_PROGRAM: Problem = Problem::new(StatusCode::BAD_REQUEST).code("unknown_program");

/// The decision is about what was shown to another user.
const OTHER_USER: Problem = Problem::new(StatusCode::CONFLICT).code("other_user");

/// What the frontend does next.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Next {
    /// Show what the program asks for, then `POST` the user's decision.
    Ask(Asked),
    /// Redirect the browser to the program.
    Redirect { url: String },
}

#[derive(Serialize)]
pub struct Asked {
    client: Client,
    /// Send it with the decision, as `shown_to`.
    user: String,
    permissions: Vec<Permission>,
    /// The part of the application that it will be able to use, unless it will be able to use all of it.
    resource: Option<String>,
    /// Where the browser goes next: a host, or the scheme of an app.
    destination: String,
    /// Whether that is a program on the user's own computer.
    local: bool,
    /// How long it will have access, in seconds.
    lifetime: u64,
}

#[derive(Serialize)]
pub(super) struct Client {
    id: String,
    name: String,
    /// Whether it registered itself, so that nothing about it is proven.
    registered: bool,
}

impl From<&sigra::oauth_server::OauthClient> for Client {
    fn from(client: &sigra::oauth_server::OauthClient) -> Self {
        Self { id: client.id().to_owned(), name: client.name().to_owned(), registered: client.is_registered() }
    }
}

impl Asked {
    fn new(request: &AuthorizationRequest, user: &User) -> Self {
        Self {
            client: request.client().into(),
            user: user.id.to_string(),
            permissions: request.permissions().iter().map(Permission::from).collect(),
            resource: request.resource().map(str::to_owned),
            destination: request.destination(),
            local: request.is_local(),
            lifetime: request.lifetime().as_secs(),
        }
    }
}

pub async fn show(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Next>> {
    let server = accounts.sigra().oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    match server.skip_consent(&scope, &request, &session.client()).await? {
        Some(url) => Ok(Json(Next::Redirect { url })),
        None => Ok(Json(Next::Ask(Asked::new(&request, scope.user())))),
    }
}

/// Gives or refuses the program access. To give it, the user must have logged in recently: it outlives their session.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    sudo: std::result::Result<Sudo<User>, SudoRejection>,
    OriginalUri(uri): OriginalUri,
    Json(form): Json<Decision>,
) -> Result<Response> {
    let server = accounts.sigra().oauth_server();
    let request = match server.authorization_request(&uri).await {
        Ok(request) => request,
        Err(error) => return refuse(error).map(IntoResponse::into_response),
    };
    if form.is_for_another_user(scope.user()) {
        return Err(OTHER_USER.into());
    }
    let url = match (form.decision.is_allowed(), sudo) {
        (true, Ok(sudo)) => server.approve(&sudo, &request, &session.client()).await?,
        (true, Err(rejection)) => return Ok(rejection.into_response()),
        (false, _) => server.deny(&request)?,
    };
    Ok(Json(Next::Redirect { url }).into_response())
}

fn refuse(error: AuthorizationError) -> Result<Json<Next>> {
    match error {
        AuthorizationError::Redirect(url) => Ok(Json(Next::Redirect { url })),
        AuthorizationError::Library(error) => Err(error.into()),
        error => {
            tracing::info!(%error, "a program's request for access was refused");
            Err(UNKNOWN_PROGRAM.into())
        }
    }
}
