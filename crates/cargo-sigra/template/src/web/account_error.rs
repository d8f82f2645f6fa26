//! The response for an [`AccountError`]: a problem (RFC 9457). Most pages show the error themselves, beside a field or
//! as a message on another page.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sigra::Problem;
// <api>
use axum::{
    Json,
    http::{HeaderValue, header},
};
use serde::Serialize;

use crate::accounts::FieldErrors;
// </api>
use crate::accounts::AccountError;

impl IntoResponse for AccountError {
    fn into_response(self) -> Response {
        let problem = match self {
            // <api>
            Self::Invalid(problems) => return Invalid::new(&problems).into_response(),
            // </api>
            // <!api>
            // Self::Invalid(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY).code("invalid"),
            // </!api>
            Self::RegistrationClosed => Problem::new(StatusCode::FORBIDDEN).code("registration_closed"),
            Self::InvalidLink => Problem::new(StatusCode::NOT_FOUND).code("bad_link"),
            Self::AddressTaken => Problem::new(StatusCode::CONFLICT).code("address_taken"),
            Self::PasswordRequired => Problem::new(StatusCode::FORBIDDEN).code("password_required"),
            Self::WrongPassword => Problem::new(StatusCode::UNPROCESSABLE_ENTITY).code("wrong_credentials"),
            Self::Sigra(error) => return error.into_response(),
        };
        problem.into_response()
    }
}

// <api>
/// A problem that lists what is wrong with each field.
#[derive(Serialize)]
struct Invalid {
    title: &'static str,
    status: u16,
    code: &'static str,
    errors: Fields,
}

#[derive(Serialize)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_confirmation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_password: Option<&'static str>,
    // <api_tokens>
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_days: Option<&'static str>,
    // </api_tokens>
}

impl Invalid {
    fn new(problems: &FieldErrors) -> Self {
        let errors = Fields {
            email: problems.email,
            password: problems.password(),
            password_confirmation: problems.password_confirmation,
            current_password: problems.current_password,
            // <api_tokens>
            name: problems.name.clone(),
            permissions: problems.permissions,
            expires_in_days: problems.expires_in_days,
            // </api_tokens>
        };
        let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
        Self { title: t!("Unprocessable Entity"), status, code: "invalid", errors }
    }
}

impl IntoResponse for Invalid {
    fn into_response(self) -> Response {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (StatusCode::UNPROCESSABLE_ENTITY, [content_type], Json(self)).into_response()
    }
}
// </api>
