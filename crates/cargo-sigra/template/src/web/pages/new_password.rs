//! Setting a new password with a link: the page that asks for it, and what follows.

use askama::Template;
use axum::response::Response;
use sigra::{CookieSession, Scope};

use super::{email_link::invalid_link, session::redirect_to_log_in};
use crate::{
    accounts::{AccountError, User},
    web::{
        error::Result,
        layout::{Layout, Page},
    },
};

#[derive(Template)]
#[template(path = "new_password.html")]
pub struct NewPasswordPage {
    layout: Layout,
    action: String,
    email: String,
    explanation: &'static str,
    password_problem: Option<String>,
    confirmation_problem: Option<&'static str>,
}

impl NewPasswordPage {
    /// A page for the account with this email address. The form is sent to `action`.
    pub fn new(
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        action: String,
        email: String,
        explanation: &'static str,
    ) -> Self {
        let layout = Layout::new(t!("Set a new password"), session, scope);
        Self { layout, action, email, explanation, password_problem: None, confirmation_problem: None }
    }

    /// Adds an error beside its field.
    fn with_problem(mut self, error: &AccountError) -> Self {
        match error {
            AccountError::Invalid(problems) => {
                self.password_problem = problems.password();
                self.confirmation_problem = problems.password_confirmation;
            }
            error => self.password_problem = Some(error.message()),
        }
        self.layout = self.layout.with_problems(true);
        self
    }
}

/// What to respond after a link was used.
pub struct Responses {
    /// The message for a user who can log in now.
    pub done: &'static str,
    /// The page to request another link.
    pub request_path: &'static str,
}

/// Redirects to the login page, or shows the form again with its errors: `form_again`, if the link is still valid.
pub async fn respond(
    session: &CookieSession,
    changed: Result<User, AccountError>,
    responses: Responses,
    form_again: impl Future<Output = sigra::Result<Option<NewPasswordPage>>>,
) -> Result<Response> {
    let error = match changed {
        Ok(owner) => return redirect_to_log_in(session, &owner, responses.done),
        Err(AccountError::InvalidLink) => return invalid_link(session, responses.request_path),
        Err(error @ (AccountError::Invalid(_) | AccountError::AddressTaken)) => error,
        Err(error) => return Err(error.into()),
    };
    match form_again.await? {
        Some(form) => Ok(Page(form.with_problem(&error)).unprocessable()),
        None => invalid_link(session, responses.request_path),
    }
}
