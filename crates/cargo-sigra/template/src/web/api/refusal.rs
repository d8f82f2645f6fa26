//! Why a request is not followed: a problem (RFC 9457) that says so of each field.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::Problem;

/// What is wrong, by the name of the field.
#[derive(Debug, Default, Serialize)]
pub struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_password: Option<String>,
}

#[derive(Serialize)]
struct Body {
    title: &'static str,
    status: u16,
    code: &'static str,
    errors: Fields,
}

impl IntoResponse for Fields {
    fn into_response(self) -> Response {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let body = Body { title: "Unprocessable Entity", status: status.as_u16(), code: "invalid", errors: self };
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (status, [content_type], Json(body)).into_response()
    }
}

/// A link that was used already, is too old, or never was one.
pub fn bad_link() -> Problem {
    Problem::new(StatusCode::NOT_FOUND).code("bad_link")
}

/// Another account has the address that an account is to be given back to.
pub fn address_taken() -> Problem {
    Problem::new(StatusCode::CONFLICT).code("address_taken")
}

/// The address must be confirmed first.
pub fn unconfirmed() -> Problem {
    Problem::new(StatusCode::FORBIDDEN).code("confirmation_required")
}

/// The link alone does not confirm in this browser: the account's password is asked for, or a new one.
pub fn password_required() -> Problem {
    Problem::new(StatusCode::FORBIDDEN).code("password_required")
}

/// A password, code or passkey that is not right. It does not say which.
pub fn wrong_credentials() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY).code("wrong_credentials")
}

/// A log-in that failed. It does not say why.
pub fn failed_log_in() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED).code("wrong_credentials")
}

/// Done, or there was none of that name.
pub fn found(is_found: bool) -> StatusCode {
    if is_found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}
