//! Links in emails.

use axum::Json;
use serde::Serialize;

use crate::{accounts::Refusal, web::error::Result};

#[derive(Serialize)]
pub struct Link {
    email: String,
}

/// Whose address a link is about, to be asked before it is used. That changes nothing: mail scanners open links too.
pub fn link_of(email: Option<String>) -> Result<Json<Link>> {
    let email = email.ok_or(Refusal::Link)?;
    Ok(Json(Link { email }))
}
