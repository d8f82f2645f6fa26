//! Setting a new password by a link: the page that asks for it, and what follows.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;
use sigra::{CookieSession, Password, Scope};

use super::{mail_link::bad_link, session::lead_to_log_in};
use crate::{
    accounts::{ChangePasswordError, User},
    web::{
        Result,
        layout::{Layout, Page},
    },
};

/// What a form sends that sets a password.
#[derive(Deserialize)]
pub struct NewPassword {
    #[serde(rename = "user[password]")]
    pub password: Password,
    #[serde(rename = "user[password_confirmation]")]
    pub password_confirmation: Password,
}

#[derive(Template)]
#[template(path = "new_password.html")]
pub struct NewPasswordPage {
    layout: Layout,
    action: String,
    email: String,
    explanation: &'static str,
    password_problem: Option<String>,
    confirmation_problem: Option<String>,
}

impl NewPasswordPage {
    /// For the account with this address; the form is sent to `action`.
    pub fn new(
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        action: String,
        email: String,
        explanation: &'static str,
    ) -> Self {
        let layout = Layout::new("Set a new password", session, scope);
        Self { layout, action, email, explanation, password_problem: None, confirmation_problem: None }
    }

    /// With what is wrong beside its field.
    fn with_problem(mut self, problem: &ChangePasswordError) -> Self {
        let text = Some(problem.to_string());
        match problem {
            ChangePasswordError::Confirmation => self.confirmation_problem = text,
            _ => self.password_problem = text,
        }
        self
    }
}

/// What a link is answered with.
pub struct Answers {
    /// To who can log in now.
    pub done: &'static str,
    /// Where to ask for another link.
    pub ask_path: &'static str,
}

/// Leads to the log-in page, or shows the form again with what is wrong: `form_again`, if the link is still good.
pub async fn answer(
    session: &CookieSession,
    changed: Result<User, ChangePasswordError>,
    answers: Answers,
    form_again: impl Future<Output = sigra::Result<Option<NewPasswordPage>>>,
) -> Result<Response> {
    let problem = match changed {
        Ok(owner) => return lead_to_log_in(session, &owner, answers.done),
        Err(ChangePasswordError::Link) => return bad_link(session, answers.ask_path),
        Err(ChangePasswordError::Sigra(error)) => return Err(error.into()),
        Err(problem) => problem,
    };
    match form_again.await? {
        Some(form) => Ok(Page(form.with_problem(&problem)).refused()),
        None => bad_link(session, answers.ask_path),
    }
}
