//! Registration.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope};

use super::form::Form;
use crate::{
    accounts::{Accounts, Problems, Refusal, User},
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
    problems: Problems,
}

pub async fn new(session: CookieSession, scope: Option<Scope<User>>) -> Page<impl Template> {
    page(&session, scope.as_ref(), String::new(), Problems::default())
}

/// Responds in the same way for a taken email address, unless `REVEAL_TAKEN_ADDRESSES` is set.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Form(form): Form<Registration>,
) -> Result<Response> {
    match accounts.register_user_here(&session, &form.email, &form.password).await {
        Ok(()) => {
            session.put_flash(
                Flash::Info,
                "Almost done: open the link in the email that is on its way to you. We send at most three in 15 minutes.",
            )?;
            Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
        }
        Err(Refusal::Invalid(problems)) => Ok(page(&session, scope.as_ref(), form.email, problems).refused()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn page(session: &CookieSession, scope: Option<&Scope<User>>, email: String, problems: Problems) -> Page<RegisterPage> {
    Page(RegisterPage { layout: Layout::new("Register", session, scope), email, problems })
}
