use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Redirect, Response},
};
use http::{StatusCode, request::Parts};

use crate::{
    Config,
    problem::{Audience, Problem},
    session::{Flash, MissingLayer, ReturnTo, Session},
};

/// Why a handler that asks for a [`Scope`](super::Scope) was not called.
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
    /// The route has no layer to fetch the scope.
    #[error(transparent)]
    MissingLayer(#[from] MissingLayer),
    /// A person who is not logged in: they are led to the log-in page, and back afterwards.
    #[error("not logged in: redirect to {0}")]
    LogIn(String),
    /// A program that is not logged in: 401.
    #[error("not logged in")]
    Unauthenticated,
}

impl ScopeRejection {
    pub(crate) fn unauthenticated(parts: &Parts, config: &Config) -> Self {
        if Audience::of(&parts.headers).is_navigation(&parts.method) {
            remember_where(parts, &config.log_in_message);
            Self::LogIn(config.log_in_path.clone().into_owned())
        } else {
            Self::Unauthenticated
        }
    }
}

impl IntoResponse for ScopeRejection {
    fn into_response(self) -> Response {
        match self {
            Self::MissingLayer(missing) => missing.into_response(),
            Self::LogIn(path) => Redirect::to(&path).into_response(),
            Self::Unauthenticated => {
                Problem::new(StatusCode::UNAUTHORIZED).code("authentication_required").into_response()
            }
        }
    }
}

/// Why a handler that asks for [`Sudo`](super::Sudo) was not called.
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
    pub(crate) fn stale(parts: &Parts, config: &Config) -> Self {
        let audience = Audience::of(&parts.headers);
        if audience == Audience::Program {
            return Self::Stale;
        }
        if audience.is_navigation(&parts.method) {
            remember_where(parts, &config.sudo_message);
        }
        Self::Confirm(config.sudo_path.clone().into_owned())
    }
}

impl From<MissingLayer> for SudoRejection {
    fn from(missing: MissingLayer) -> Self {
        Self::Scope(missing.into())
    }
}

impl IntoResponse for SudoRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Scope(rejection) => rejection.into_response(),
            Self::Confirm(path) => Redirect::to(&path).into_response(),
            Self::Stale => Problem::new(StatusCode::FORBIDDEN).code("sudo_required").into_response(),
        }
    }
}

/// Keeps the way back, and says why the visitor is led away.
fn remember_where(parts: &Parts, message: &str) {
    let Some(session) = parts.extensions.get::<Session>() else { return };
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    if let Some(path) = ReturnTo::from_uri(uri) {
        session.put_return_to(&path);
    }
    if let Err(error) = session.put_flash(Flash::Error, message) {
        tracing::warn!(target: "sigra", %error, "the flash is not shown");
    }
}
