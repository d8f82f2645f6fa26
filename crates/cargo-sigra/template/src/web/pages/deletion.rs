//! Deleting the account: a page of its own, which asks for its address to be typed.

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::{IntoResponse, Response},
};
use sigra::{CookieSession, Scope, Sudo};
use time::OffsetDateTime;

use super::mail_link::Ask;
use crate::{
    accounts::{Accounts, DeleteError, User, day},
    web::{
        Result,
        layout::{Layout, Page},
        user_auth,
    },
};

#[derive(Template)]
#[template(path = "delete_account.html")]
struct DeletePage {
    layout: Layout,
    email: String,
    /// Until when a log-in keeps the account.
    keep_until: Option<String>,
    problem: Option<String>,
}

pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
) -> Page<impl Template> {
    page(&accounts, &session, &scope, None)
}

pub async fn delete(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    form: Result<Form<Ask>, FormRejection>,
) -> Result<Response> {
    // Without the form nothing was typed.
    let typed = form.map(|Form(form)| form.email).unwrap_or_default();
    match accounts.delete_user(&scope, &typed, &session.client()).await {
        Ok(delete_after) => user_auth::log_out_user(accounts.sigra(), &session, &goodbye(delete_after)).await,
        Err(DeleteError::Sigra(error)) => Err(error.into()),
        Err(problem) => Ok(page(&accounts, &session, &scope, Some(problem.to_string())).refused().into_response()),
    }
}

fn goodbye(delete_after: Option<OffsetDateTime>) -> String {
    match delete_after.map(day) {
        Some(day) => format!("Your account will be deleted on {day}. Log in before {day} to keep your account."),
        None => "Your account was deleted.".to_owned(),
    }
}

fn page(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    problem: Option<String>,
) -> Page<DeletePage> {
    Page(DeletePage {
        layout: Layout::new("Delete your account", session, Some(scope)),
        email: scope.user().email.clone(),
        keep_until: accounts.policy().deletion_grace.map(|grace| day(accounts.sigra().now() + grace)),
        problem,
    })
}
