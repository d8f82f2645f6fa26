//! Links in mails: asking for one, and whose it is.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::refusal::bad_link;

/// Asks for a mail.
#[derive(Deserialize)]
pub struct Ask {
    pub email: String,
}

#[derive(Serialize)]
struct Link {
    email: String,
}

/// Whose address a link is about, to be asked before it is used. That changes nothing: mail scanners open links too.
pub fn link_of(email: Option<String>) -> Response {
    match email {
        Some(email) => Json(Link { email }).into_response(),
        None => bad_link().into_response(),
    }
}
