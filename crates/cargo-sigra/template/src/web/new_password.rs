//! The page that sets a new password by a link.

use askama::Template;
use serde::Deserialize;
use sigra::{Password, Scope, Session};

use super::layout::{Layout, Page};
use crate::accounts::{ChangePasswordError, User};

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
        session: &Session,
        scope: Option<&Scope<User>>,
        action: String,
        email: String,
        explanation: &'static str,
    ) -> Self {
        let layout = Layout::new("Set a new password", session, scope);
        Self { layout, action, email, explanation, password_problem: None, confirmation_problem: None }
    }

    /// With what is wrong beside its field, if something is.
    pub fn with_problem(mut self, problem: Option<&ChangePasswordError>) -> Page<Self> {
        let text = problem.map(ToString::to_string);
        match problem {
            Some(ChangePasswordError::Confirmation) => self.confirmation_problem = text,
            _ => self.password_problem = text,
        }
        Page(self)
    }
}
