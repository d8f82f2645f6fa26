//! Problems (RFC 9457) besides those of an [`AccountError`](crate::accounts::AccountError).

use axum::http::StatusCode;
use sigra::Problem;

/// A wrong password, code or passkey.
pub const WRONG_CREDENTIALS: Problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY).code("wrong_credentials");

/// A failed login. The response doesn't say why.
pub const FAILED_LOGIN: Problem = Problem::new(StatusCode::UNAUTHORIZED).code("wrong_credentials");

/// 204, or 404 if there was nothing to change.
pub fn no_content_or_404(is_found: bool) -> StatusCode {
    if is_found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}
