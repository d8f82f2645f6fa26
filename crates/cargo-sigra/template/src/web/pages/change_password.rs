//! Changing the password, which requires sudo mode.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope, Sudo};

use super::{form::Form, settings};
use crate::{
    accounts::{AccountError, Accounts, FieldErrors, User},
    web::{
        error::Result,
        forms::PasswordChange,
        layout::{Layout, Page},
    },
};

pub const PATH: &str = "/users/settings/password";

#[derive(Template)]
#[template(path = "change_password.html")]
struct ChangePasswordPage {
    layout: Layout,
    email: String,
    has_password: bool,
    requires_current_password: bool,
    problems: FieldErrors,
}

impl ChangePasswordPage {
    /// Returns whether a field has the focus: the first one with an error, or the first one.
    fn focuses(&self, field: &str) -> bool {
        let FieldErrors { current_password, password, password_confirmation, .. } = &self.problems;
        let focused = match (current_password, password, password_confirmation) {
            (None, Some(_), _) => "new",
            (None, None, Some(_)) => "confirmation",
            _ if self.requires_current_password => "current",
            _ => "new",
        };
        field == focused
    }
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
) -> Page<impl Template> {
    page(&accounts, &session, &scope, FieldErrors::default())
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Form(form): Form<PasswordChange>,
) -> Result<Response> {
    let PasswordChange { current_password, new } = &form;
    let current = current_password.as_ref();
    match accounts.update_user_password(&session, &scope, current, &new.password, new.confirmation()).await {
        Ok(()) => {
            session.put_flash(Flash::Info, t!("Your password was changed. All other devices were logged out."))?;
            Ok(Redirect::to(settings::PATH).into_response())
        }
        Err(AccountError::Invalid(problems)) => Ok(page(&accounts, &session, &scope, problems).unprocessable()),
        Err(error) => Err(error.into()),
    }
}

fn page(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    problems: FieldErrors,
) -> Page<ChangePasswordPage> {
    let user = scope.user();
    Page(ChangePasswordPage {
        layout: Layout::new(t!("Password"), session, Some(scope)).active_path(PATH).with_problems(!problems.is_empty()),
        email: user.email.clone(),
        has_password: user.hashed_password.is_some(),
        requires_current_password: accounts.requires_current_password(scope),
        problems,
    })
}
