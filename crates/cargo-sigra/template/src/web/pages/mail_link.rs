//! Links in emails: the page that requests one, and the page that one opens.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use sigra::{CookieSession, Flash};

use crate::web::{error::Result, layout::Layout};

/// The same message for every address. It doesn't promise an email that a rate limit may have suppressed.
pub const LINK_ON_ITS_WAY: &str = "If your email address is in our system, you'll receive a link shortly. We send at most \
     three links in 15 minutes; earlier ones still work.";

/// Asks for the email address to send a link to.
#[derive(Template)]
#[template(path = "ask_for_mail.html")]
pub struct AskPage {
    pub layout: Layout,
    pub action: &'static str,
    pub explanation: &'static str,
}

/// The page that a link opens. Opening it changes nothing. Its button does.
#[derive(Template)]
#[template(path = "link.html")]
pub struct LinkPage {
    pub layout: Layout,
    pub action: String,
    pub explanation: String,
    pub label: &'static str,
    pub remember_me: bool,
}

/// Redirects to the page where the user can request another link.
pub fn bad_link(session: &CookieSession, ask_path: &str) -> Result<Response> {
    session.put_flash(Flash::Error, "This link has expired or was already used. You can request a new one.")?;
    Ok(Redirect::to(ask_path).into_response())
}
