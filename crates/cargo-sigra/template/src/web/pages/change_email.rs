//! Changing the email address: the form, which requires sudo mode, and the link that it sends to the new address.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, Scope, Sudo};

use super::{
    email_link::{LinkPage, invalid_link},
    form::Form,
    settings,
};
use crate::{
    accounts::{AccountError, Accounts, User},
    web::{
        error::Result,
        forms::EmailForm,
        layout::{Layout, Page},
    },
};

pub const PATH: &str = "/users/settings/email";

#[derive(Template)]
#[template(path = "change_email.html")]
struct ChangeEmailPage {
    layout: Layout,
    email: String,
    new_email: String,
    is_confirmed: bool,
    problem: Option<&'static str>,
}

pub async fn edit(session: CookieSession, Sudo(scope): Sudo<User>) -> Page<impl Template> {
    page(&session, &scope, String::new(), None)
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Sudo(scope): Sudo<User>,
    Form(form): Form<EmailForm>,
) -> Result<Response> {
    let client = session.client();
    match accounts.deliver_user_update_email_instructions(scope.user(), &form.email, &client).await {
        Ok(()) => {
            session.put_flash(
                Flash::Info,
                t!("Open the link in the email that is on its way to your new address. We send at most three in 15 minutes."),
            )?;
            Ok(Redirect::to(settings::PATH).into_response())
        }
        Err(AccountError::Invalid(problems)) => Ok(page(&session, &scope, form.email, problems.email).unprocessable()),
        Err(error) => Err(error.into()),
    }
}

pub async fn confirm_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(email) = accounts.get_new_email_by_token(scope.user(), &token).await? else {
        return invalid_link(&session, settings::PATH);
    };
    let page = LinkPage {
        layout: Layout::new(t!("Change your email address"), &session, Some(&scope)),
        action: format!("/users/settings/confirm-email/{token}"),
        explanation: t!("Change your email address to {email}?", email),
        label: t!("Use this email address"),
        remember_me: None,
    };
    Ok(Page(page).into_response())
}

pub async fn change_email(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Scope<User>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.update_user_email(&session, &scope, &token).await {
        Ok(_) => {
            session.put_flash(Flash::Info, t!("Your email address was changed."))?;
            Ok(Redirect::to(settings::PATH).into_response())
        }
        Err(AccountError::InvalidLink) => invalid_link(&session, settings::PATH),
        Err(error) => Err(error.into()),
    }
}

fn page(
    session: &CookieSession,
    scope: &Scope<User>,
    new_email: String,
    problem: Option<&'static str>,
) -> Page<ChangeEmailPage> {
    let user = scope.user();
    Page(ChangeEmailPage {
        layout: Layout::new(t!("Email address"), session, Some(scope))
            .active_path(PATH)
            .with_problems(problem.is_some()),
        email: user.email.clone(),
        new_email,
        is_confirmed: user.confirmed_at.is_some(),
        problem,
    })
}
