//! Links in emails: the page that requests one, and the page that one opens.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use sigra::{CookieSession, Flash, Scope};

use crate::{
    accounts::User,
    web::{error::Result, layout::Layout},
};

/// Asks for the email address to send a link to.
#[derive(Template)]
#[template(path = "request_link.html")]
pub struct RequestLinkPage {
    pub layout: Layout,
    pub action: &'static str,
    pub email: String,
    pub explanation: &'static str,
}

/// Returns what to fill in for a user who is logged in.
pub fn prefilled_email(scope: Option<&Scope<User>>) -> String {
    scope.map(|scope| scope.user().email.clone()).unwrap_or_default()
}

/// The page that a link opens. Opening it changes nothing. Its button does.
#[derive(Template)]
#[template(path = "link.html")]
pub struct LinkPage {
    pub layout: Layout,
    pub action: String,
    pub explanation: String,
    pub label: &'static str,
    /// Whether the checkbox "Keep me logged in" is checked. `None` without a checkbox.
    pub remember_me: Option<bool>,
}

/// Redirects to the page where the user can request another link.
pub fn invalid_link(session: &CookieSession, request_path: &str) -> Result<Response> {
    session.put_flash(Flash::Error, t!("This link has expired or was already used. You can request a new one."))?;
    Ok(Redirect::to(request_path).into_response())
}
