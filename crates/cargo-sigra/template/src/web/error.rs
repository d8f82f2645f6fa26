//! The errors of handlers.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sigra::Problem;

use crate::accounts::Refusal;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Nothing has that name or id.
pub const NOT_FOUND: Problem = Problem::new(StatusCode::NOT_FOUND);

// <api>
/// The user must confirm their email address first.
pub const UNCONFIRMED: Problem = Problem::new(StatusCode::FORBIDDEN).code("confirmation_required");
// </api>

/// Why a request failed. The cause goes to the log, never to the browser.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A response with a status and a code.
    #[error("{}", .0.title())]
    Problem(Problem),
    /// The request was refused for a reason that the user can fix.
    #[error(transparent)]
    Refused(Refusal),
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
    // <pages>
    #[error("can't render a page: {0}")]
    Template(#[from] askama::Error),
    // </pages>
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Sigra(error) => Self::Sigra(error),
            refusal => Self::Refused(refusal),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Refused(refusal) => refusal.into_response(),
            // <pages>
            Self::Template(error) => {
                tracing::error!(%error, "can't render a page");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
            }
            // </pages>
            Self::Sigra(error) => error.into_response(),
        }
    }
}

pub async fn not_found() -> Problem {
    NOT_FOUND
}

pub async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
}
