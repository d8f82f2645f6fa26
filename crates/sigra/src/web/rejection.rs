//! Why a request was refused before its handler was called: what the extractors answer with.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{MatchedPath, OriginalUri},
    response::{IntoResponse, Redirect, Response},
};
use http::{StatusCode, Uri, header, request::Parts, uri::Authority};

use crate::{
    base::{
        error::Error,
        problem::{Audience, Problem, code},
        telemetry,
    },
    browser::{cookie_session::CookieSession, flash::Flash, return_to::ReturnTo, visit::Visit},
    model::{
        scope::{Clearance, Scope},
        user::AuthUser,
    },
    web::current::Current,
};

/// Why a handler that asks for a [`Scope`](crate::scope::Scope) was not called.
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
    /// It can't be known who it is, or must not be used.
    #[error(transparent)]
    Session(#[from] SessionRejection),
    /// A person who is not logged in: they are led to the log-in page, and back afterwards.
    #[error("not logged in: redirect to {0}")]
    LogIn(String),
    /// A program that is not logged in: 401.
    #[error("not logged in")]
    Unauthenticated,
    /// A person whose second factor is pending: they are led to the challenge, and back afterwards.
    #[error("the second factor is pending: redirect to {0}")]
    Challenge(String),
    /// A program whose second factor is pending: 401.
    #[error("the second factor is pending")]
    SecondFactorPending,
    /// A person who must set up a second factor: they are led to where they can, and back afterwards.
    #[error("a second factor must be set up: redirect to {0}")]
    Enrol(String),
    /// A program of a user who must set up a second factor: 403.
    #[error("a second factor must be set up")]
    EnrolmentRequired,
}

impl ScopeRejection {
    /// Why this session does not go so far as to be anybody's.
    pub(crate) fn of<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        let config = &current.sigra.parts.config;
        let rejection = match current.found.as_ref().map(Scope::clearance) {
            Some(Clearance::ChallengePending) => lead(parts, &config.mfa_challenge_path, &config.mfa_challenge_message)
                .map_or(Self::SecondFactorPending, Self::Challenge),
            Some(Clearance::EnrolmentRequired) => {
                lead(parts, &config.mfa_enrolment_path, &config.mfa_enrolment_message)
                    .map_or(Self::EnrolmentRequired, Self::Enrol)
            }
            Some(Clearance::Full) | None => return Self::log_in(current, parts),
        };
        tell(current, parts, rejection.code());
        rejection
    }

    /// To log in, once more if need be.
    pub(crate) fn log_in<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        let config = &current.sigra.parts.config;
        tell(current, parts, code::AUTHENTICATION_REQUIRED);
        lead(parts, &config.log_in_path, &config.log_in_message).map_or(Self::Unauthenticated, Self::LogIn)
    }

    /// The word for programs, and for the log.
    fn code(&self) -> &'static str {
        match self {
            Self::Session(_) => code::CROSS_ORIGIN,
            Self::LogIn(_) | Self::Unauthenticated => code::AUTHENTICATION_REQUIRED,
            Self::Challenge(_) | Self::SecondFactorPending => code::SECOND_FACTOR_REQUIRED,
            Self::Enrol(_) | Self::EnrolmentRequired => code::SECOND_FACTOR_ENROLMENT_REQUIRED,
        }
    }
}

/// Tells of a request that is refused for what its sender has not shown (OWASP ASVS 16.3.2). Not its path, which may
/// hold the token of a link.
pub(crate) fn tell<U: AuthUser>(current: &Current<U>, parts: &Parts, reason: &'static str) {
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
            Self::LogIn(path) | Self::Challenge(path) | Self::Enrol(path) => Redirect::to(&path).into_response(),
            Self::Unauthenticated | Self::SecondFactorPending => {
                Problem::new(StatusCode::UNAUTHORIZED).code(code).into_response()
            }
            Self::EnrolmentRequired => Problem::new(StatusCode::FORBIDDEN).code(code).into_response(),
        }
    }
}

/// Why a handler that asks for [`Sudo`](crate::scope::Sudo) was not called.
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
    /// Nobody is logged in at all.
    #[error(transparent)]
    Scope(#[from] ScopeRejection),
    /// A person whose authentication is not recent: they are led to the sudo page, and back afterwards.
    #[error("not recently authenticated: redirect to {0}")]
    Confirm(String),
    /// A program whose authentication is not recent: 403.
    #[error("not recently authenticated")]
    Stale,
}

impl SudoRejection {
    pub(crate) fn stale<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Self {
        let config = &current.sigra.parts.config;
        tell(current, parts, code::SUDO_REQUIRED);
        let audience = Audience::of(&parts.headers);
        if audience == Audience::Program {
            return Self::Stale;
        }
        if audience.is_navigation(&parts.method) {
            remember_where(parts, &config.sudo_message);
        } else {
            remember(parts, page_of_form(parts), &config.sudo_form_message);
        }
        Self::Confirm(config.sudo_path.clone().into_owned())
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
        }
    }
}

/// Where to lead a person who opens a page; a program is led nowhere.
fn lead(parts: &Parts, path: &str, message: &str) -> Option<String> {
    if !Audience::of(&parts.headers).is_navigation(&parts.method) {
        return None;
    }
    remember_where(parts, message);
    Some(path.to_owned())
}

/// The page with the forms that lead to some routes. A form that is sent when [sudo mode](crate::scope::Sudo) is over can't be
/// sent again by itself: its user is led back to this page. Without one they are led to the page that the browser names
/// as the one that they came from.
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

/// Where a form can be sent again.
fn page_of_form(parts: &Parts) -> Option<ReturnTo> {
    match parts.extensions.get::<FormPage>() {
        Some(FormPage(path)) => ReturnTo::parse(path),
        None => referring_page(parts),
    }
}

/// The page of ours that the request came from. A form that was refused is shown at the address that it was sent to,
/// where there is nothing to open.
fn referring_page(parts: &Parts) -> Option<ReturnTo> {
    let referer: Uri = parts.headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let host = parts.uri.authority().map(Authority::as_str).or(parts.headers.get(header::HOST)?.to_str().ok());
    let is_ours = referer.authority().map(Authority::as_str) == host;
    ReturnTo::from_uri(&referer).filter(|_| is_ours && referer.path() != original_uri(parts).path())
}

fn original_uri(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0)
}

/// Keeps the way back, and says why the visitor is led away. Nobody returns to a picture, a stream or a fragment, and
/// nobody asked for what is fetched in advance.
fn remember_where(parts: &Parts, message: &str) {
    if !Visit::is_page_opened(parts) {
        return;
    }
    remember(parts, ReturnTo::from_uri(original_uri(parts)), message);
}

fn remember(parts: &Parts, path: Option<ReturnTo>, message: &str) {
    let Some(session) = parts.extensions.get::<CookieSession>() else { return };
    if let Some(path) = path {
        session.put_return_to(&path);
    }
    if let Err(error) = session.put_flash(Flash::Error, message) {
        tracing::warn!(target: "sigra", %error, "the flash is not shown");
    }
}

/// Why a handler that asks for a [`CookieSession`], or who is there, was not called.
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
    /// The route has no layer to fetch the scope: 500.
    #[error(transparent)]
    MissingLayer(#[from] MissingLayer),
    /// An unsafe request, or a live connection, of [another origin](crate::Config::trusted_origins): 403.
    #[error("the request comes from another origin")]
    CrossOrigin,
    /// The database can't say whose session it is: 503 with `Retry-After`, if that may pass.
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

/// A handler asked for a session or a scope on a route that has no
/// [`fetch_current_scope`](crate::Sigra::fetch_current_scope) layer.
///
/// The log says so in full; the browser sees a plain 500.
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

/// Why a handler that asks for an [`MfaChallenge`](crate::mfa::MfaChallenge) was not called.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::{Audience, mfa::MfaChallengeRejection};
///
/// let response = MfaChallengeRejection::NotPending(Audience::Program).into_response();
/// assert_eq!(response.status(), StatusCode::CONFLICT);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MfaChallengeRejection {
    /// Nobody is logged in at all.
    #[error(transparent)]
    Scope(#[from] ScopeRejection),
    /// The second factor was shown already, or none is asked for: people are led to the home page, programs get 409.
    #[error("no second factor is pending")]
    NotPending(Audience),
}

impl IntoResponse for MfaChallengeRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Scope(rejection) => rejection.into_response(),
            Self::NotPending(Audience::Browser) => Redirect::to("/").into_response(),
            Self::NotPending(Audience::Program) => {
                Problem::new(StatusCode::CONFLICT).code(code::NO_SECOND_FACTOR_PENDING).into_response()
            }
        }
    }
}

/// Why a handler that asks for an [`MfaEnrolment`](crate::mfa::MfaEnrolment) was not called.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::{mfa::MfaEnrolmentRejection, scope::ScopeRejection};
///
/// let response = MfaEnrolmentRejection::from(ScopeRejection::Unauthenticated).into_response();
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct MfaEnrolmentRejection(SudoRejection);

impl From<SudoRejection> for MfaEnrolmentRejection {
    fn from(rejection: SudoRejection) -> Self {
        Self(rejection)
    }
}

impl From<ScopeRejection> for MfaEnrolmentRejection {
    fn from(rejection: ScopeRejection) -> Self {
        Self(rejection.into())
    }
}

impl IntoResponse for MfaEnrolmentRejection {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
