//! The extractors of bearer tokens, and their rejections (RFC 6750).

use std::{fmt, net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    base::{
        authorization::Authorization,
        error::Error,
        problem::{Problem, code},
        telemetry,
    },
    config::Config,
    model::{
        bearer::{Bearer, BearerToken, Caller},
        permission::Required,
        scope::Scope,
        user::AuthUser,
    },
    sigra::Sigra,
    web::{
        deferred::unasked,
        original_uri::original_uri,
        rejection::{MissingLayer, ScopeRejection},
    },
};

impl<S: Sync, U: AuthUser, P: Required> FromRequestParts<S> for Bearer<U, P> {
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, BearerRejection> {
        let (sigra, session) = unasked::<U>(parts, "Bearer")?;
        match find(&sigra, parts, session.ip()).await {
            Ok(Some(bearer)) => {
                session.keep_private();
                require(&sigra, parts, bearer)
            }
            Ok(None) => {
                log_refusal(parts, code::AUTHENTICATION_REQUIRED, None::<&Bearer<U>>);
                Err(BearerRejection::Missing(Challenge::of(&sigra, parts)))
            }
            Err(rejection) => Err(rejection),
        }
    }
}

/// `None` without a bearer token. One that is invalid, or lacks a permission, is refused.
impl<S: Sync, U: AuthUser, P: Required> OptionalFromRequestParts<S> for Bearer<U, P> {
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, BearerRejection> {
        if !Authorization::of(&parts.headers).is_bearer() {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

impl<S: Sync, U: AuthUser, P: Required> FromRequestParts<S> for Caller<U, P> {
    type Rejection = CallerRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, CallerRejection> {
        let bearer = <Bearer<U, P> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        if let Some(bearer) = bearer {
            return Ok(Self::Bearer(bearer));
        }
        let challenge = Challenge::of(&unasked::<U>(parts, "Caller").map_err(BearerRejection::from)?.0, parts);
        match <Scope<U> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(scope) => Ok(Self::Session(scope)),
            Err(rejection) => Err(CallerRejection::Scope(rejection, challenge)),
        }
    }
}

/// `None` for a visitor without a token.
impl<S: Sync, U: AuthUser, P: Required> OptionalFromRequestParts<S> for Caller<U, P> {
    type Rejection = CallerRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, CallerRejection> {
        let bearer = <Bearer<U, P> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        if let Some(bearer) = bearer {
            return Ok(Some(Self::Bearer(bearer)));
        }
        let challenge = Challenge::of(&unasked::<U>(parts, "Option<Caller>").map_err(BearerRejection::from)?.0, parts);
        match <Scope<U> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(scope) => Ok(scope.map(Self::Session)),
            Err(rejection) => Err(CallerRejection::Scope(rejection.into(), challenge)),
        }
    }
}

/// Returns the bearer of the presented token, whatever its permissions. `None` if no token is presented.
async fn find<U: AuthUser>(
    sigra: &Sigra<U>,
    parts: &Parts,
    ip: Option<IpAddr>,
) -> Result<Option<Bearer<U>>, BearerRejection> {
    let token = match Authorization::of(&parts.headers) {
        Authorization::Other => return Ok(None),
        Authorization::Bearer(token) if !is_in_query(parts) => token,
        Authorization::Bearer(_) | Authorization::Malformed => {
            log_refusal(parts, code::INVALID_REQUEST, None::<&Bearer<U>>);
            return Err(BearerRejection::Malformed(Challenge::of(sigra, parts)));
        }
    };
    match sigra.fetch_bearer(token, ip).await {
        Ok(Some(bearer)) if is_meant_for(sigra, parts, &bearer) => Ok(Some(bearer)),
        Ok(_) => {
            log_refusal(parts, code::INVALID_TOKEN, None::<&Bearer<U>>);
            Err(BearerRejection::Invalid(Challenge::of(sigra, parts)))
        }
        Err(error) => Err(BearerRejection::Failed(Arc::new(error))),
    }
}

/// Returns whether a token is in the query too, where logs and histories keep it. It never counts there (RFC 9700
/// section 4.3.2), and a request must not present two (RFC 6750 section 2).
fn is_in_query(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair.split('=').next() == Some("access_token"))
}

/// Returns whether a token is for the resource that the request is sent to (RFC 8707 section 2.2). It may be for
/// another API, or for a part of this one.
#[cfg_attr(not(feature = "oauth-server"), expect(unused_variables, reason = "other tokens are for every resource"))]
fn is_meant_for<U: AuthUser>(sigra: &Sigra<U>, parts: &Parts, bearer: &Bearer<U>) -> bool {
    match bearer.token() {
        BearerToken::Personal { .. } => true,
        #[cfg(feature = "oauth-server")]
        BearerToken::Client { resource, .. } => {
            let server = sigra.parts.config.oauth_server.as_ref();
            server.is_some_and(|server| server.covers(resource, original_uri(&parts.uri, &parts.extensions).path()))
        }
    }
}

fn require<U: AuthUser, P: Required>(
    sigra: &Sigra<U>,
    parts: &Parts,
    bearer: Bearer<U>,
) -> Result<Bearer<U, P>, BearerRejection> {
    if P::are_in(bearer.permissions()) {
        return Ok(bearer.with());
    }
    let names = P::names();
    if let Some(name) = names.iter().find(|name| !sigra.parts.config.bearer_tokens.permissions.contains(name)) {
        tracing::error!(
            target: "sigra", permission = name,
            "a route requires a permission that is not registered, so no token opens it: add it to Config::permissions"
        );
    }
    log_refusal(parts, code::INSUFFICIENT_SCOPE, Some(&bearer));
    Err(BearerRejection::Insufficient(Challenge::of(sigra, parts).requiring(&names.join(" "))))
}

/// Logs a request that is refused because of its token, or for lack of one (OWASP ASVS 16.3.2).
fn log_refusal<U: AuthUser>(parts: &Parts, reason: &'static str, bearer: Option<&Bearer<U>>) {
    let token_id = bearer.map(|bearer| match bearer.token() {
        BearerToken::Personal { id, .. } => tracing::field::display(*id),
        #[cfg(feature = "oauth-server")]
        BearerToken::Client { grant, .. } => tracing::field::display(*grant),
    });
    tracing::info!(
        target: "sigra", event = telemetry::REQUEST_REFUSED, reason, method = %parts.method,
        route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str),
        user_id = bearer.map(|bearer| tracing::field::display(bearer.user().id())),
        token_id,
    );
}

/// The value of a header `WWW-Authenticate`: how to authenticate. It displays as the value without an error.
///
/// If [`Config::resource_metadata`](crate::Config::resource_metadata) is set, or the host has an OAuth server, it has
/// the URL of the metadata that says where to get a token (RFC 9728 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Everything besides the error.
    text: String,
}

impl Challenge {
    pub(crate) fn of<U: AuthUser>(sigra: &Sigra<U>, parts: &Parts) -> Self {
        let config = &sigra.parts.config;
        let mut text = format!("Bearer realm=\"{}\"", config.bearer_tokens.prefix);
        if let Some(url) = metadata_of(config, original_uri(&parts.uri, &parts.extensions).path()) {
            text = format!("{text}, resource_metadata=\"{url}\"");
        }
        Self { text }
    }

    /// Adds the permissions that are required, whose names need no escaping.
    fn requiring(self, permissions: &str) -> Self {
        Self { text: format!("{}, scope=\"{permissions}\"", self.text) }
    }

    /// Returns a response with the challenge, in JSON, that nobody stores.
    fn respond(&self, status: StatusCode, error: Option<&'static str>, code: &'static str) -> Response {
        let text = match error {
            Some(error) => format!("{}, error=\"{error}\"", self.text),
            None => self.text.clone(),
        };
        let mut response = Problem::new(status).code(code).into_json_response();
        challenge(&mut response, &text);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Returns the URL of the metadata of the resource at a path.
fn metadata_of(config: &Config, path: &str) -> Option<String> {
    #[cfg(feature = "oauth-server")]
    if let (None, Some(server)) = (&config.bearer_tokens.resource_metadata, &config.oauth_server) {
        return Some(server.metadata_of(path));
    }
    let _ = path;
    config.bearer_tokens.resource_metadata.clone()
}

fn challenge(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a handler that takes a [`Bearer`] wasn't called. The responses have `WWW-Authenticate`, as RFC 6750 section 3
/// says, and a body in JSON.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BearerRejection {
    /// The route lacks the layer that fetches the scope: 500.
    #[error(transparent)]
    MissingLayer(#[from] MissingLayer),
    /// There is no token: 401. One in the query doesn't count.
    #[error("a bearer token is required")]
    Missing(Challenge),
    /// The token is revoked or expired, or was never issued: 401, `invalid_token`.
    #[error("the bearer token is invalid")]
    Invalid(Challenge),
    /// What is presented isn't one token: 400, `invalid_request`.
    #[error("the request must have one header `Authorization` with one bearer token, and none in the query")]
    Malformed(Challenge),
    /// The token lacks a permission: 403, `insufficient_scope`.
    #[error("the bearer token lacks a permission")]
    Insufficient(Challenge),
    /// The database failed to look up the token: 503 with `Retry-After` if the failure is temporary.
    #[error(transparent)]
    Failed(Arc<Error>),
}

impl IntoResponse for BearerRejection {
    fn into_response(self) -> Response {
        match self {
            Self::MissingLayer(missing) => missing.into_response(),
            // Without a token, there is no error to name (RFC 6750 section 3.1).
            Self::Missing(challenge) => {
                challenge.respond(StatusCode::UNAUTHORIZED, None, code::AUTHENTICATION_REQUIRED)
            }
            Self::Invalid(challenge) => {
                challenge.respond(StatusCode::UNAUTHORIZED, Some("invalid_token"), code::INVALID_TOKEN)
            }
            Self::Malformed(challenge) => {
                challenge.respond(StatusCode::BAD_REQUEST, Some("invalid_request"), code::INVALID_REQUEST)
            }
            Self::Insufficient(challenge) => {
                challenge.respond(StatusCode::FORBIDDEN, Some("insufficient_scope"), code::INSUFFICIENT_SCOPE)
            }
            Self::Failed(error) => error.to_response(),
        }
    }
}

/// Why a handler that takes a [`Caller`] wasn't called.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallerRejection {
    /// The token doesn't give access.
    #[error(transparent)]
    Bearer(#[from] BearerRejection),
    /// There is no token, and no session that gives access: as with [`Scope`], and with `WWW-Authenticate` if it is a
    /// 401.
    #[error("{0}")]
    Scope(ScopeRejection, Challenge),
}

impl IntoResponse for CallerRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Bearer(rejection) => rejection.into_response(),
            Self::Scope(rejection, Challenge { text }) => {
                let mut response = rejection.into_response();
                if response.status() == StatusCode::UNAUTHORIZED {
                    challenge(&mut response, &text);
                }
                response
            }
        }
    }
}
