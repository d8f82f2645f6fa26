//! What programs look for at fixed paths: password managers, and people who found a vulnerability.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
// <pages>
use axum::response::Redirect;
// </pages>
// <pages>
// <passkeys>
use axum::Json;
use serde_json::json;
// </passkeys>
// </pages>

use super::error::{NOT_FOUND, Result};
// <pages>
// <passkeys>
use super::user_auth::MFA_ENROLLMENT_PATH;
// </passkeys>
use super::pages::change_password;
// </pages>
use crate::config::Settings;

// <pages>
/// Where users change their password, for password managers (W3C, "A Well-Known URL for Changing Passwords").
pub async fn change_password() -> Redirect {
    Redirect::to(change_password::PATH)
}
// </pages>

// <pages>
// <passkeys>
/// Where users add and manage passkeys, for password managers (W3C, "A Well-Known URL for Relying Party Passkey
/// Endpoints").
pub async fn passkey_endpoints(State(settings): State<Arc<Settings>>) -> Result<Response> {
    if settings.passkey_domain.is_none() {
        return Err(NOT_FOUND.into());
    }
    let mut url = settings.public_url.clone();
    url.set_path(MFA_ENROLLMENT_PATH);
    Ok(Json(json!({ "enroll": url, "manage": url })).into_response())
}
// </passkeys>
// </pages>

/// Where people report vulnerabilities (RFC 9116), if the settings have a contact.
pub async fn security_txt(State(settings): State<Arc<Settings>>) -> Result<Response> {
    let text = settings.security_txt.clone().ok_or(NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
