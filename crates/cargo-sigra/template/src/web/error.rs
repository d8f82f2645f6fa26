//! The errors of handlers.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sigra::Problem;

use crate::accounts::AccountError;

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
    Account(AccountError),
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
    // <pages>
    #[error("can't render a page: {0}")]
    Template(#[from] askama::Error),
    // </pages>
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sigra(error.into())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<AccountError> for Error {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Sigra(error) => Self::Sigra(error),
            error => Self::Account(error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Account(error) => error.into_response(),
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

/// Returns what a client can do, in a sentence or two, if there is more to say than the status does.
pub fn detail_of(problem: &Problem) -> Option<String> {
    if let Some(detail) = problem.detail_text() {
        return Some(detail.to_owned());
    }
    // <languages>
    match (problem.status(), problem.retry_after()) {
        (StatusCode::TOO_MANY_REQUESTS, Some(wait)) => Some(too_many_attempts(wait.as_secs())),
        _ => None,
    }
    // </languages>
    // <!languages>
    // problem.retry_advice()
    // </!languages>
}

// <languages>
/// The largest unit that fits, rounded up.
fn too_many_attempts(seconds: u64) -> String {
    match seconds {
        0..120 => t!(
            "Too many attempts. Try again in {count} second.",
            "Too many attempts. Try again in {count} seconds.",
            count = seconds.max(1)
        ),
        120..7200 => t!(
            "Too many attempts. Try again in {count} minute.",
            "Too many attempts. Try again in {count} minutes.",
            count = seconds.div_ceil(60)
        ),
        _ => t!(
            "Too many attempts. Try again in {count} hour.",
            "Too many attempts. Try again in {count} hours.",
            count = seconds.div_ceil(60 * 60)
        ),
    }
}
// </languages>

/// Returns the title of a problem, for programs: the name of the status.
pub fn title_of(problem: &Problem) -> &'static str {
    // <languages>
    match problem.status() {
        StatusCode::BAD_REQUEST => t!("Bad Request"),
        StatusCode::UNAUTHORIZED => t!("Unauthorized"),
        StatusCode::FORBIDDEN => t!("Forbidden"),
        StatusCode::NOT_FOUND => t!("Not Found"),
        StatusCode::METHOD_NOT_ALLOWED => t!("Method Not Allowed"),
        StatusCode::CONFLICT => t!("Conflict"),
        StatusCode::PAYLOAD_TOO_LARGE => t!("Payload Too Large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => t!("Unsupported Media Type"),
        StatusCode::MISDIRECTED_REQUEST => t!("Misdirected Request"),
        StatusCode::UNPROCESSABLE_ENTITY => t!("Unprocessable Entity"),
        StatusCode::TOO_MANY_REQUESTS => t!("Too Many Requests"),
        StatusCode::INTERNAL_SERVER_ERROR => t!("Internal Server Error"),
        StatusCode::SERVICE_UNAVAILABLE => t!("Service Unavailable"),
        _ => problem.title(),
    }
    // </languages>
    // <!languages>
    // problem.title()
    // </!languages>
}

pub async fn not_found() -> Problem {
    NOT_FOUND
}

pub async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
}

// <languages>
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_the_same_in_english_as_the_library() {
        for status in 400..600 {
            let problem = Problem::new(StatusCode::from_u16(status).expect("a status"));
            assert_eq!(title_of(&problem), problem.title());
        }
        for millis in [0, 1, 1000, 1001, 119_000, 119_001, 120_000, 7_199_000, 7_199_001, 7_200_000, 90_000_000] {
            let problem = Problem::too_many_requests(std::time::Duration::from_millis(millis));
            assert_eq!(detail_of(&problem), problem.retry_advice(), "{millis}");
            assert_eq!(detail_of(&problem.detail("Try tomorrow.")).as_deref(), Some("Try tomorrow."));
        }
    }
}
// </languages>
