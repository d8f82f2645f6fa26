//! Links in mails: the page that asks for one, and the page that one leads to.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use sigra::{CookieSession, Flash};

use crate::web::{error::Result, layout::Layout};

/// The same for every address, and for every mail that is one too many: it promises none that does not come.
pub const LINK_ON_ITS_WAY: &str = "If your email address is in our system, you'll receive a link shortly. We send at most \
     three links in 15 minutes; earlier ones still work.";

/// Asks for the address to send a link to.
#[derive(Template)]
#[template(path = "ask_for_mail.html")]
pub struct AskPage {
    pub layout: Layout,
    pub action: &'static str,
    pub explanation: &'static str,
}

/// Where a link leads. Opening it changes nothing; its button does.
#[derive(Template)]
#[template(path = "link.html")]
pub struct LinkPage {
    pub layout: Layout,
    pub action: String,
    pub explanation: String,
    pub label: &'static str,
    pub remember_me: bool,
}

/// Says that a link is not good, where another can be asked for.
pub fn bad_link(session: &CookieSession, ask_path: &str) -> Result<Response> {
    session.put_flash(Flash::Error, "This link has expired or was already used. You can request a new one.")?;
    Ok(Redirect::to(ask_path).into_response())
}
