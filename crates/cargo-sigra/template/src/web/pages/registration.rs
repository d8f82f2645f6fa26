//! Registration.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use sigra::{CookieSession, Scope};

use super::{
    check_email::{self, Link},
    form::Form,
};
// <oauth>
use super::oauth::{self, ProviderButton};
// </oauth>
use crate::{
    accounts::{AccountError, Accounts, FieldErrors, User},
    web::{
        error::Result,
        forms::Registration,
        layout::{Layout, Page},
        user_auth,
    },
};

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    layout: Layout,
    email: String,
    problems: FieldErrors,
    // <oauth>
    providers: Vec<ProviderButton>,
    // </oauth>
}

pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
) -> Result<Response> {
    if !accounts.policy().registration_open {
        return Ok(user_auth::refuse_registration(&session)?.into_response());
    }
    let page = page(&session, scope.as_ref(), String::new(), FieldErrors::default());
    // <oauth>
    let page = with_providers(page, &accounts);
    // </oauth>
    Ok(Page(page).into_response())
}

/// Responds in the same way for a taken email address, unless `REVEAL_TAKEN_ADDRESSES` is set.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Form(form): Form<Registration>,
) -> Result<Response> {
    match accounts.register_visitor(&session, &form.email, &form.password).await {
        Ok(()) => check_email::redirect(&session, Link::Register, &form.email),
        Err(AccountError::Invalid(problems)) => {
            let page = page(&session, scope.as_ref(), form.email, problems);
            // <oauth>
            let page = with_providers(page, &accounts);
            // </oauth>
            Ok(Page(page).unprocessable())
        }
        Err(AccountError::RegistrationClosed) => Ok(user_auth::refuse_registration(&session)?.into_response()),
        Err(error) => Err(error.into()),
    }
}

fn page(session: &CookieSession, scope: Option<&Scope<User>>, email: String, problems: FieldErrors) -> RegisterPage {
    let layout =
        Layout::new(t!("Register"), session, scope).active_path("/users/register").with_problems(!problems.is_empty());
    RegisterPage {
        layout,
        email,
        problems,
        // <oauth>
        providers: Vec::new(),
        // </oauth>
    }
}

// <oauth>
fn with_providers(page: RegisterPage, accounts: &Accounts) -> RegisterPage {
    RegisterPage { providers: oauth::buttons(accounts, ""), ..page }
}
// </oauth>
