//! Deleting the account, on a page that asks the user to type their email address.

use askama::Template;
use axum::{extract::State, response::Response};
use sigra::{CookieSession, Scope, Sudo};
use time::OffsetDateTime;

use super::form::Form;
use crate::{
    accounts::{AccountError, Accounts, User},
    dates::day,
    web::{
        error::Result,
        forms::EmailForm,
        layout::{Layout, Page},
        user_auth,
    },
};

pub const PATH: &str = "/users/settings/delete";

#[derive(Template)]
#[template(path = "delete_account.html")]
struct DeletePage {
    layout: Layout,
    email: String,
    /// The day until which logging in keeps the account.
    keep_until: Option<String>,
    problem: Option<&'static str>,
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
    form: Result<Form<EmailForm>, Response>,
) -> Result<Response> {
    // Without a form, nothing was typed.
    let typed = form.map(|Form(form)| form.email).unwrap_or_default();
    match accounts.delete_user(&scope, &typed, &session.client()).await {
        Ok(delete_after) => user_auth::log_out_user(&accounts, &session, || goodbye(delete_after)).await,
        Err(AccountError::Invalid(problems)) => Ok(page(&accounts, &session, &scope, problems.email).unprocessable()),
        Err(error) => Err(error.into()),
    }
}

fn goodbye(delete_after: Option<OffsetDateTime>) -> String {
    match delete_after.map(day) {
        Some(day) => t!("Your account will be deleted on {day}. To keep your account, log in before {day}.", day),
        None => t!("Your account was deleted.").to_owned(),
    }
}

fn page(
    accounts: &Accounts,
    session: &CookieSession,
    scope: &Scope<User>,
    problem: Option<&'static str>,
) -> Page<DeletePage> {
    Page(DeletePage {
        layout: Layout::new(t!("Delete your account"), session, Some(scope))
            .active_path(PATH)
            .with_problems(problem.is_some()),
        email: scope.user().email.clone(),
        keep_until: accounts.policy().deletion_grace.map(|grace| day(accounts.sigra().now() + grace)),
        problem,
    })
}
