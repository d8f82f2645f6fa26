//! Why a request was refused before its handler was called: the responses of the extractors.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Redirect, Response},
};
use http::{StatusCode, Uri, header, request::Parts};

use crate::{
    base::{
        error::Error,
        origin::own_authority,
        problem::{ClientKind, Problem, code},
        telemetry,
    },
    browser::{flash::Flash, return_to::ReturnTo, visit::Visit},
    config::pages::Page,
    model::{
        scope::{Clearance, Scope},
        user::AuthUser,
    },
    web::{
        current::{Current, session_of},
        original_uri::original_uri,
    },
};
#[cfg(feature = "oauth-server")]
use crate::{browser::return_to::MAX_LEN, model::authorization_server::AUTHORIZE_PATH};

/// Why a handler that takes a [`Scope`](crate::scope::Scope) wasn't called.
///
/// Extracting it also leaves the message of the login page and the path to return to. To ask without that, take an
/// `Option<Scope>`, not a `Result`.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::scope::ScopeRejection;
///
/// let response = ScopeRejection::Unauthenticated.into_response();
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeRejection {
    /// The session can't be read, or the request must not use it.
    #[error(transparent)]
    Session(#[from] SessionRejection),
    /// A browser that opens a page without a login: redirects to the login page, and back after the login.
    #[error("not logged in: redirect to {0}")]
    LogIn(String),
    /// Any other request without a login: 401.
    #[error("not logged in")]
    Unauthenticated,
    /// A browser that opens a page while the second factor is pending: redirects to the challenge, and back afterwards.
    #[error("the second factor is pending: redirect to {0}")]
    Challenge(String),
    /// Any other request while the second factor is pending: 401.
    #[error("the second factor is pending")]
    SecondFactorPending,
    /// A browser that opens a page and whose user must set up a second factor: redirects to where that is done, and
    /// back afterwards.
    #[error("a second factor must be set up: redirect to {0}")]
    Enroll(String),
    /// Any other request of a user who must set up a second factor: 403.
    #[error("a second factor must be set up")]
    EnrollmentRequired,
    /// A browser that a program sent to `/oauth/authorize` with a URL so long that it can't be redirected back after
    /// the login: 414. The body names the length.
    #[cfg(feature = "oauth-server")]
    #[error("the URL is too long to return to after the login: at most {MAX_LEN} bytes")]
    UriTooLong,
}

impl ScopeRejection {
    /// Returns why this session doesn't give access, and logs it.
    pub(crate) fn of<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        #[cfg(feature = "oauth-server")]
        if let Some(rejection) =
            Self::too_long(current, parts, ClientKind::of(&parts.headers).is_navigation(&parts.method))
        {
            return rejection;
        }
        let pages = &current.sigra.parts.config.pages;
        let rejection = match current.found.as_ref().map(Scope::clearance) {
            Some(Clearance::ChallengePending) => {
                lead(parts, &pages.mfa_challenge).map_or(Self::SecondFactorPending, Self::Challenge)
            }
            Some(Clearance::EnrollmentRequired) => {
                lead(parts, &pages.mfa_enrollment).map_or(Self::EnrollmentRequired, Self::Enroll)
            }
            Some(Clearance::Full) | None => return Self::log_in(current, parts),
        };
        log_refusal(current, parts, rejection.code());
        rejection
    }

    /// Returns the rejection that asks for a login, or for another one.
    pub(crate) fn log_in<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        #[cfg(feature = "oauth-server")]
        if let Some(rejection) =
            Self::too_long(current, parts, ClientKind::of(&parts.headers).is_navigation(&parts.method))
        {
            return rejection;
        }
        log_refusal(current, parts, code::AUTHENTICATION_REQUIRED);
        lead(parts, &current.sigra.parts.config.pages.login).map_or(Self::Unauthenticated, Self::LogIn)
    }

    /// Returns the rejection of a request for access that couldn't be returned to after a redirect. A program waits for
    /// it to go on, so it must not get lost without a word.
    #[cfg(feature = "oauth-server")]
    fn too_long<U: AuthUser>(current: &Current<U>, parts: &Parts, would_redirect: bool) -> Option<Self> {
        let uri = original_uri(&parts.uri, &parts.extensions);
        let has_server = current.sigra.parts.config.oauth_server.is_some();
        let is_too_long = uri.path_and_query().is_some_and(|path| path.as_str().len() > MAX_LEN);
        if !would_redirect || !has_server || uri.path() != AUTHORIZE_PATH || !is_too_long {
            return None;
        }
        log_refusal(current, parts, code::URI_TOO_LONG);
        Some(Self::UriTooLong)
    }

    /// Returns the code, for clients that aren't browsers and for the log.
    fn code(&self) -> &'static str {
        match self {
            Self::Session(_) => code::CROSS_ORIGIN,
            Self::LogIn(_) | Self::Unauthenticated => code::AUTHENTICATION_REQUIRED,
            Self::Challenge(_) | Self::SecondFactorPending => code::SECOND_FACTOR_REQUIRED,
            Self::Enroll(_) | Self::EnrollmentRequired => code::SECOND_FACTOR_ENROLLMENT_REQUIRED,
            #[cfg(feature = "oauth-server")]
            Self::UriTooLong => code::URI_TOO_LONG,
        }
    }
}

/// Logs a request that is refused because its session doesn't give access (OWASP ASVS 16.3.2). Not its path, which can
/// have the token of a link.
pub(crate) fn log_refusal<U: AuthUser>(current: &Current<U>, parts: &Parts, reason: &'static str) {
    let scope = current.found.as_ref();
    tracing::info!(
        target: "sigra", event = telemetry::REQUEST_REFUSED, reason, method = %parts.method,
        route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str),
        user_id = scope.map(|scope| tracing::field::display(scope.user().id())),
        session_id = scope.map(|scope| tracing::field::display(scope.session().id)),
    );
}

impl IntoResponse for ScopeRejection {
    fn into_response(self) -> Response {
        let code = self.code();
        match self {
            Self::Session(rejection) => rejection.into_response(),
            Self::LogIn(path) | Self::Challenge(path) | Self::Enroll(path) => Redirect::to(&path).into_response(),
            Self::Unauthenticated | Self::SecondFactorPending => {
                Problem::new(StatusCode::UNAUTHORIZED).code(code).into_response()
            }
            Self::EnrollmentRequired => Problem::new(StatusCode::FORBIDDEN).code(code).into_response(),
            #[cfg(feature = "oauth-server")]
            Self::UriTooLong => {
                let mut response = Problem::new(StatusCode::URI_TOO_LONG).code(code).into_response();
                *response.body_mut() = self.to_string().into();
                response.headers_mut().remove(header::CONTENT_LENGTH);
                response
            }
        }
    }
}

/// Why a handler that takes [`Sudo`](crate::scope::Sudo) wasn't called.
///
/// Extracting it also leaves the message of the sudo page and the path to return to. To ask without that, take an
/// `Option<Sudo>`, not a `Result`.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::scope::SudoRejection;
///
/// let response = SudoRejection::Stale.into_response();
/// assert_eq!(response.status(), StatusCode::FORBIDDEN);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SudoRejection {
    /// The user isn't logged in.
    #[error(transparent)]
    Scope(#[from] ScopeRejection),
    /// A browser whose last authentication is too old: redirects to the sudo page, and back afterwards.
    #[error("not recently authenticated: redirect to {0}")]
    Confirm(String),
    /// A client that isn't a browser, and whose last authentication is too old: 403.
    #[error("not recently authenticated")]
    Stale,
    /// The session isn't bound to a device, or the request doesn't prove it: 403.
    #[cfg(feature = "device-bound")]
    #[error("the session is not bound to a device")]
    Unbound,
}

impl SudoRejection {
    pub(crate) fn stale<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        let pages = &current.sigra.parts.config.pages;
        let audience = ClientKind::of(&parts.headers);
        #[cfg(feature = "oauth-server")]
        if let Some(rejection) = ScopeRejection::too_long(current, parts, audience == ClientKind::Browser) {
            return rejection.into();
        }
        log_refusal(current, parts, code::SUDO_REQUIRED);
        if audience == ClientKind::Program {
            return Self::Stale;
        }
        if audience.is_navigation(&parts.method) {
            remember_where(parts, &pages.sudo.message.text());
        } else {
            remember(parts, page_of_form(parts), &pages.sudo_form_message.text());
        }
        Self::Confirm(pages.sudo.path.clone().into_owned())
    }
}

#[cfg(feature = "device-bound")]
impl SudoRejection {
    pub(crate) fn unbound<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        log_refusal(current, parts, code::BINDING_REQUIRED);
        Self::Unbound
    }
}

impl From<SessionRejection> for SudoRejection {
    fn from(rejection: SessionRejection) -> Self {
        Self::Scope(rejection.into())
    }
}

impl IntoResponse for SudoRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Scope(rejection) => rejection.into_response(),
            Self::Confirm(path) => Redirect::to(&path).into_response(),
            Self::Stale => Problem::new(StatusCode::FORBIDDEN).code(code::SUDO_REQUIRED).into_response(),
            #[cfg(feature = "device-bound")]
            Self::Unbound => Problem::new(StatusCode::FORBIDDEN).code(code::BINDING_REQUIRED).into_response(),
        }
    }
}

/// Returns where to redirect a browser that opens a page. `None` for other requests.
fn lead(parts: &Parts, page: &Page) -> Option<String> {
    if !ClientKind::of(&parts.headers).is_navigation(&parts.method) {
        return None;
    }
    remember_where(parts, &page.message.text());
    Some(page.path.clone().into_owned())
}

/// The page with the forms that are sent to these routes. A form that is sent after [sudo mode](crate::scope::Sudo) has
/// ended can't be sent again automatically, so its user is redirected to this page after they reauthenticate. Without a
/// `FormPage`, they are redirected to the page in the `Referer` header.
///
/// ```
/// use axum::{Extension, Router, routing::put};
/// use sigra::scope::FormPage;
///
/// let app: Router = Router::new()
///     .route("/settings/email", put("Changed"))
///     .route_layer(Extension(FormPage("/settings")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "it is a value for the extensions of a request")]
pub struct FormPage(pub &'static str);

/// Returns the page where the form can be sent again.
fn page_of_form(parts: &Parts) -> Option<ReturnTo> {
    match parts.extensions.get::<FormPage>() {
        Some(FormPage(path)) => ReturnTo::parse(path),
        None => referring_page(parts),
    }
}

/// Returns the page of this application that the request came from. Not the request's own path: the page of a refused
/// form has the path that the form was sent to, where there is often nothing to open.
fn referring_page(parts: &Parts) -> Option<ReturnTo> {
    let referer: Uri = parts.headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let host = own_authority(&parts.uri, &parts.headers)?;
    let is_ours = referer.authority().is_some_and(|of_page| of_page.as_str().as_bytes().eq_ignore_ascii_case(host));
    ReturnTo::from_uri(&referer)
        .filter(|_| is_ours && referer.path() != original_uri(&parts.uri, &parts.extensions).path())
}

/// Remembers the page to return to, and why the visitor was redirected. Nobody returns to an image, a stream or a
/// fragment, and nobody asked for what the browser fetched in advance.
fn remember_where(parts: &Parts, message: &str) {
    if !Visit::is_page_opened(parts) {
        return;
    }
    remember(parts, ReturnTo::from_uri(original_uri(&parts.uri, &parts.extensions)), message);
}

fn remember(parts: &Parts, path: Option<ReturnTo>, message: &str) {
    let Some(session) = session_of(&parts.extensions) else { return };
    if let Some(path) = path {
        session.put_return_to(&path);
    }
    if let Err(error) = session.put_flash(Flash::Error, message) {
        tracing::warn!(target: "sigra", %error, "a flash message can't be kept");
    }
}

/// Why a handler that takes a [`CookieSession`](crate::CookieSession) or an `Option<Scope>` wasn't called.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::session::SessionRejection;
///
/// assert_eq!(SessionRejection::CrossOrigin.into_response().status(), StatusCode::FORBIDDEN);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionRejection {
    /// The route lacks the layer that fetches the scope: 500.
    #[error(transparent)]
    MissingLayer(#[from] MissingLayer),
    /// An unsafe request or a live connection from [another origin](crate::Config::trusted_origins): 403.
    #[error("the request comes from another origin")]
    CrossOrigin,
    /// The database failed to look up the session: 503 with `Retry-After` if the failure is temporary.
    #[error(transparent)]
    Failed(Arc<Error>),
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::MissingLayer(missing) => missing.into_response(),
            Self::CrossOrigin => Problem::new(StatusCode::FORBIDDEN).code(code::CROSS_ORIGIN).into_response(),
            Self::Failed(error) => error.to_response(),
        }
    }
}

impl From<Infallible> for SessionRejection {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A handler takes a session or a scope, but its route lacks the layer
/// [`fetch_current_scope`](crate::Sigra::fetch_current_scope).
///
/// The log has the whole message. The client gets a plain 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` was extracted on a route without the layer that provides it: add `.layer(sigra.fetch_current_scope())` to the router after this route, for the same user type"
)]
pub struct MissingLayer(pub(crate) &'static str);

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        tracing::error!(target: "sigra", "{self}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
    }
}

/// Why a handler that takes an [`MfaChallenge`](crate::mfa::MfaChallenge) wasn't called.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::{ClientKind, scope::MfaChallengeRejection};
///
/// let response = MfaChallengeRejection::NotPending(ClientKind::Program).into_response();
/// assert_eq!(response.status(), StatusCode::CONFLICT);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MfaChallengeRejection {
    /// The user isn't logged in.
    #[error(transparent)]
    Scope(#[from] ScopeRejection),
    /// The second factor was already presented, or none is required: browsers are redirected to the home page, other
    /// clients get 409.
    #[error("no second factor is pending")]
    NotPending(ClientKind),
}

impl IntoResponse for MfaChallengeRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Scope(rejection) => rejection.into_response(),
            Self::NotPending(ClientKind::Browser) => Redirect::to("/").into_response(),
            Self::NotPending(ClientKind::Program) => {
                Problem::new(StatusCode::CONFLICT).code(code::NO_SECOND_FACTOR_PENDING).into_response()
            }
        }
    }
}

/// Why a handler that takes an [`MfaEnrollment`](crate::mfa::MfaEnrollment) wasn't called.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::scope::{MfaEnrollmentRejection, ScopeRejection};
///
/// let response = MfaEnrollmentRejection::from(ScopeRejection::Unauthenticated).into_response();
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct MfaEnrollmentRejection(SudoRejection);

impl From<SudoRejection> for MfaEnrollmentRejection {
    fn from(rejection: SudoRejection) -> Self {
        Self(rejection)
    }
}

impl From<ScopeRejection> for MfaEnrollmentRejection {
    fn from(rejection: ScopeRejection) -> Self {
        Self(rejection.into())
    }
}

impl IntoResponse for MfaEnrollmentRejection {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
