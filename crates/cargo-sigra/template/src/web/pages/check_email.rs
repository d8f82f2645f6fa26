//! "Check your email": what follows a form that sends a link. The page is the same for every email address.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};
use sigra::{CookieSession, Flash, Scope};

use crate::{
    accounts::{Accounts, User},
    config::{AppEnv, Settings},
    web::{
        error::Result,
        layout::{Layout, Page},
        user_auth,
    },
};

const PATH: &str = "/users/check-email";

/// The entry of the cookie session that says which link was sent.
const SENT: &str = "sent_link";

#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Link {
    /// Confirms the email address of a registration.
    Register,
    Confirm,
    ResetPassword,
    // <magic_link>
    LogIn,
    // </magic_link>
}

/// A link that was requested for an email address.
#[derive(Serialize, Deserialize)]
struct SentLink {
    link: Link,
    email: String,
}

#[derive(Template)]
#[template(path = "check_email.html")]
struct CheckEmailPage {
    layout: Layout,
    sent: SentLink,
    /// Whether emails can be read at `/dev/mailbox`.
    has_mailbox: bool,
}

/// Only a registration sends an email in every case. Any other text must not reveal whether there is an account.
impl SentLink {
    /// Returns what comes before and after the email address.
    fn sentence(&self) -> (&'static str, &'static str) {
        match self.link {
            Link::Register => (
                before!("Open the link in the email to {email} to confirm your email address."),
                after!("Open the link in the email to {email} to confirm your email address."),
            ),
            Link::Confirm => (
                before!("If there is an account for {email} that isn't confirmed yet, you'll receive a link shortly."),
                after!("If there is an account for {email} that isn't confirmed yet, you'll receive a link shortly."),
            ),
            Link::ResetPassword => (
                before!("If there is an account for {email}, you'll receive a link to set a new password shortly."),
                after!("If there is an account for {email}, you'll receive a link to set a new password shortly."),
            ),
            // <magic_link>
            Link::LogIn => (
                before!("If there is an account for {email}, you'll receive a link to log in shortly."),
                after!("If there is an account for {email}, you'll receive a link to log in shortly."),
            ),
            // </magic_link>
        }
    }

    /// The path that sends the link again.
    fn resend_path(&self) -> &'static str {
        match self.link {
            Link::Register | Link::Confirm => "/users/confirm",
            Link::ResetPassword => "/users/reset-password",
            // <magic_link>
            Link::LogIn => "/users/log-in/link",
            // </magic_link>
        }
    }

    /// The path of the form, to enter another email address.
    fn form_path(&self) -> &'static str {
        match self.link {
            Link::Register => "/users/register",
            Link::Confirm => "/users/confirm",
            Link::ResetPassword => "/users/reset-password",
            // <magic_link>
            Link::LogIn => user_auth::LOGIN_PATH,
            // </magic_link>
        }
    }
}

pub async fn show(
    State(accounts): State<Accounts>,
    State(settings): State<Arc<Settings>>,
    session: CookieSession,
    scope: Option<Scope<User>>,
) -> Response {
    let Some(sent) = session.get(SENT) else {
        return Redirect::to(user_auth::LOGIN_PATH).into_response();
    };
    let layout = Layout::new(t!("Check your email"), &session, scope.as_ref());
    let has_mailbox = settings.app_env != AppEnv::Prod && accounts.mailer().mailbox().is_some();
    Page(CheckEmailPage { layout, sent, has_mailbox }).into_response()
}

/// Redirects to the page. If it was open already, a message says that the form was sent again. The message must be true
/// for every email address, also for one that gets no email.
pub fn redirect(session: &CookieSession, link: Link, email: &str) -> Result<Response> {
    let sent = SentLink { link, email: email.trim().chars().take(254).collect() };
    let before: Option<SentLink> = session.get(SENT);
    if before.is_some_and(|before| before.email == sent.email && before.resend_path() == sent.resend_path()) {
        session.put_flash(Flash::Info, t!("We received your request again."))?;
    }
    session.put(SENT, &sent)?;
    Ok(Redirect::to(PATH).into_response())
}
