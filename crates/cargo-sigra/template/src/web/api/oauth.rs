//! Logging in with an account at a provider, such as Google, and linking and unlinking them.
//!
//! The frontend redirects the browser to the URL that it gets here. The provider sends the browser back to
//! `/users/auth/{provider}/callback`, which the frontend serves: it passes the query on to `complete`.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{
    CookieSession, Problem, Scope, Sudo,
    oauth::{Callback, FlowError, FlowPurpose, Linked, OauthError},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{problems::no_content_or_404, session};
use crate::{
    accounts::{AccountError, Accounts, ProviderOutcome, User},
    web::{
        error::{NOT_FOUND, Result},
        forms::{Pending, PendingRegistration, ProviderLogin},
    },
};

const BAD_REQUEST: Problem = Problem::new(StatusCode::BAD_REQUEST);

/// Where to redirect the browser.
#[derive(Serialize)]
pub struct ProviderRedirect {
    url: String,
}

/// The outcomes of a login at a provider, besides those of every login.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Outcome {
    /// The owner of the account must log in, then `POST /users/settings/log-in-methods/link`.
    LogInToLink,
    /// The visitor must enter an email address at `POST /users/register/provider`, or log in to link the identity.
    EmailRequired,
    /// The identity is linked to the user.
    Linked,
    /// The user is in sudo mode.
    Confirmed,
}

/// The identity that waits for this browser's next step.
#[derive(Serialize)]
pub struct PendingIdentity {
    pending: String,
    provider: String,
    email: Option<String>,
    has_account: bool,
}

/// An account at a provider that the user has linked.
#[derive(Serialize)]
pub struct LinkedAccount {
    id: Uuid,
    provider: String,
    email: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    last_used_at: OffsetDateTime,
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Path(provider): Path<String>,
    Json(body): Json<ProviderLogin>,
) -> Result<Json<ProviderRedirect>> {
    begin(&accounts, &session, &provider, FlowPurpose::LogIn(body.remember_me)).await
}

pub async fn sudo(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(provider): Path<String>,
) -> Result<Json<ProviderRedirect>> {
    begin(&accounts, &session, &provider, FlowPurpose::Reauthenticate(&scope)).await
}

pub async fn link(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(provider): Path<String>,
) -> Result<Json<ProviderRedirect>> {
    begin(&accounts, &session, &provider, FlowPurpose::Link(&sudo)).await
}

async fn begin(
    accounts: &Accounts,
    session: &CookieSession,
    provider: &str,
    purpose: FlowPurpose<'_, User>,
) -> Result<Json<ProviderRedirect>> {
    let url = accounts.begin_provider_flow(session, provider, purpose).await.map_err(flow_problem)?;
    Ok(Json(ProviderRedirect { url }))
}

pub async fn complete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(provider): Path<String>,
    Json(callback): Json<Callback>,
) -> Result<Response> {
    let outcome = accounts.complete_provider_flow(&session, scope.as_ref(), &provider, &callback).await;
    let outcome = match outcome.map_err(flow_problem)? {
        ProviderOutcome::LogIn { next_step, took_over } => {
            return Ok(session::respond_to_provider(next_step, took_over)?.into_response());
        }
        ProviderOutcome::LogInToLink => Outcome::LogInToLink,
        ProviderOutcome::AskForEmail => Outcome::EmailRequired,
        ProviderOutcome::Link(linked) => return linked_response(linked),
        ProviderOutcome::Sudo => Outcome::Confirmed,
        ProviderOutcome::SudoRefused => return Err(BAD_REQUEST.code("not_your_identity").into()),
        ProviderOutcome::RegistrationClosed => return Err(AccountError::RegistrationClosed.into()),
        ProviderOutcome::Inactive => return Err(Problem::new(StatusCode::FORBIDDEN).code("account_inactive").into()),
    };
    Ok(Json(outcome).into_response())
}

fn linked_response(linked: Linked) -> Result<Response> {
    match linked {
        Linked::Now | Linked::Before => Ok(Json(Outcome::Linked).into_response()),
        Linked::ByAnother => Err(Problem::new(StatusCode::CONFLICT).code("linked_to_another_account").into()),
        Linked::TooMany { .. } => Err(Problem::new(StatusCode::CONFLICT).code("too_many_linked_accounts").into()),
    }
}

pub async fn pending(State(accounts): State<Accounts>, session: CookieSession) -> Result<Json<PendingIdentity>> {
    let pending = accounts.sigra().identities().pending(&session).await?.ok_or(NOT_FOUND)?;
    let identity = pending.identity;
    Ok(Json(PendingIdentity {
        pending: pending.id,
        provider: identity.provider,
        email: identity.email,
        has_account: identity.email_proven,
    }))
}

pub async fn register(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Json(body): Json<PendingRegistration>,
) -> Result<StatusCode> {
    accounts.register_pending_identity(&session, &body.pending, &body.email).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn link_pending(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Json(body): Json<Pending>,
) -> Result<Response> {
    let (_, linked) = accounts.link_pending_identity(&session, &sudo, &body.pending).await?.ok_or(NOT_FOUND)?;
    linked_response(linked)
}

pub async fn index(State(accounts): State<Accounts>, scope: Scope<User>) -> Result<Json<Vec<LinkedAccount>>> {
    let identities = accounts.sigra().identities().list(&scope.user().id).await?;
    let linked = identities.into_iter().map(|identity| LinkedAccount {
        id: identity.id,
        provider: identity.provider,
        email: identity.email,
        last_used_at: identity.last_used_at,
    });
    Ok(Json(linked.collect()))
}

pub async fn unlink(
    State(accounts): State<Accounts>,
    session: CookieSession,
    sudo: Sudo<User>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Ok(no_content_or_404(accounts.unlink_identity(&session, &sudo, id).await?.is_some()))
}

/// Only an error of ours is a 5xx. A provider's error is a 400 whose code says what happened.
fn flow_problem(error: FlowError) -> crate::web::error::Error {
    match error {
        FlowError::Library(error) => error.into(),
        FlowError::Provider(OauthError::UnknownProvider) => NOT_FOUND.into(),
        FlowError::Provider(error) if error.is_unreachable() => BAD_REQUEST.code("provider_unreachable").into(),
        FlowError::Incomplete => BAD_REQUEST.code("incomplete").into(),
        FlowError::UnknownFlow => BAD_REQUEST.code("unknown_flow").into(),
        FlowError::OtherSession => BAD_REQUEST.code("other_session").into(),
        FlowError::Denied => BAD_REQUEST.code("access_denied").into(),
        _ => BAD_REQUEST.code("provider_error").into(),
    }
}
