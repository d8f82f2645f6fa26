//! Confirming an email address. Opening the link changes nothing, because mail scanners open links too: its page has a
//! button. In a browser that didn't register the account, the page asks for the account's password or a new one.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Scope};

use super::{
    check_email::{self, Link},
    email_link::{LinkPage, RequestLinkPage, invalid_link, prefilled_email},
    form::Form,
    new_password::{self, NewPasswordPage, Responses},
    session::redirect_to_log_in,
};
use crate::{
    accounts::{AccountError, Accounts, User},
    web::{
        error::Result,
        forms::{Confirmation, EmailForm, NewPassword},
        layout::{Layout, Page},
        user_auth::CONFIRM_PATH,
    },
};

fn title() -> &'static str {
    t!("Confirm your email address")
}

fn confirmed() -> &'static str {
    t!("Your email address is confirmed.")
}

/// Asks for the account's password.
#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    layout: Layout,
    token: String,
    email: String,
    problem: Option<String>,
}

pub async fn new(session: CookieSession, scope: Option<Scope<User>>) -> Page<impl Template> {
    Page(RequestLinkPage {
        layout: Layout::new(title(), &session, scope.as_ref()),
        action: CONFIRM_PATH,
        email: prefilled_email(scope.as_ref()),
        explanation: t!("We'll send you a new link if your email address isn't confirmed yet."),
    })
}

/// Responds in the same way for every email address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Form(form): Form<EmailForm>,
) -> Result<Response> {
    accounts.deliver_user_confirmation_instructions(&form.email).await?;
    check_email::redirect(&session, Link::Confirm, &form.email)
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(user) = accounts.get_user_by_confirmation_token(&token).await? else {
        return invalid_link(&session, CONFIRM_PATH);
    };
    if user.confirmed_at.is_some() {
        return redirect_to_log_in(&session, &user, confirmed());
    }
    if accounts.is_registrant(&session, scope.as_ref(), &user) {
        let page = LinkPage {
            layout: Layout::new(title(), &session, scope.as_ref()),
            action: format!("{CONFIRM_PATH}/{token}"),
            explanation: t!("Is {email} your email address?", email = user.email),
            label: t!("Confirm my email address"),
            remember_me: None,
        };
        return Ok(Page(page).into_response());
    }
    if user.hashed_password.is_none() {
        return Ok(Redirect::to(&format!("{CONFIRM_PATH}/{token}/new-password")).into_response());
    }
    Ok(password_page(&session, scope.as_ref(), token, user.email, None).into_response())
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    form: Result<Form<Confirmation>, Response>,
) -> Result<Response> {
    let password = form.ok().and_then(|Form(form)| form.password);
    let problem = match accounts.confirm_user(&session, scope.as_ref(), &token, password.as_ref()).await {
        // The button may have been pressed before.
        Ok(user) => return redirect_to_log_in(&session, &user, confirmed()),
        Err(AccountError::InvalidLink) => return invalid_link(&session, CONFIRM_PATH),
        // The browser was still logged in when the page was shown. It must ask for the password now.
        Err(AccountError::PasswordRequired) => {
            return Ok(Redirect::to(&format!("{CONFIRM_PATH}/{token}")).into_response());
        }
        Err(error @ AccountError::WrongPassword) => error.message(),
        Err(error) => return Err(error.into()),
    };
    match accounts.get_user_by_confirmation_token(&token).await? {
        Some(user) => Ok(password_page(&session, scope.as_ref(), token, user.email, Some(problem)).unprocessable()),
        None => invalid_link(&session, CONFIRM_PATH),
    }
}

/// For an owner of the mailbox who doesn't know the password.
pub async fn new_password(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.get_user_by_confirmation_token(&token).await? {
        Some(user) if user.confirmed_at.is_some() => redirect_to_log_in(&session, &user, confirmed()),
        Some(user) => Ok(Page(new_password_page(&session, scope.as_ref(), &token, user)).into_response()),
        None => invalid_link(&session, CONFIRM_PATH),
    }
}

pub async fn take_over(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Form(form): Form<NewPassword>,
) -> Result<Response> {
    let changed = accounts.take_over_by_confirmation(&session, &token, &form.password, form.confirmation()).await;
    let form_again = async {
        let user = accounts.get_user_by_confirmation_token(&token).await?;
        Ok(user.map(|user| new_password_page(&session, scope.as_ref(), &token, user)))
    };
    let taken_over = t!("Your email address is confirmed and your password is set. You can log in now.");
    new_password::respond(&session, changed, Responses { done: taken_over, request_path: CONFIRM_PATH }, form_again)
        .await
}

fn password_page(
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    token: String,
    email: String,
    problem: Option<String>,
) -> Page<ConfirmPage> {
    let layout = Layout::new(title(), session, scope).with_problems(problem.is_some());
    Page(ConfirmPage { layout, token, email, problem })
}

fn new_password_page(session: &CookieSession, scope: Option<&Scope<User>>, token: &str, user: User) -> NewPasswordPage {
    let explanation = t!(
        "Set a new password to make this account only yours. The person who created it is logged out, and their password no longer works."
    );
    NewPasswordPage::new(session, scope, format!("{CONFIRM_PATH}/{token}"), user.email, explanation)
}
