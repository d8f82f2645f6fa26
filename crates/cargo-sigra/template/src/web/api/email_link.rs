//! Links in emails.

use axum::Json;
use serde::Serialize;

use crate::{accounts::AccountError, web::error::Result};

#[derive(Serialize)]
pub struct Link {
    email: String,
}

/// Returns the email address of a link, for the frontend to show before it uses the link. Changes nothing, because mail
/// scanners open links too.
pub fn link_response(email: Option<String>) -> Result<Json<Link>> {
    let email = email.ok_or(AccountError::InvalidLink)?;
    Ok(Json(Link { email }))
}
