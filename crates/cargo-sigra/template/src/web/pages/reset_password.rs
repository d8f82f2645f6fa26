//! Resetting a password with a link.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use sigra::{CookieSession, Scope};

use super::{
    check_email::{self, Link},
    email_link::{RequestLinkPage, invalid_link, prefilled_email},
    form::Form,
    new_password::{self, NewPasswordPage, Responses},
};
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::{EmailForm, NewPassword},
        layout::{Layout, Page},
    },
};

const REQUEST_PATH: &str = "/users/reset-password";

pub async fn new(session: CookieSession, scope: Option<Scope<User>>) -> Page<impl Template> {
    Page(RequestLinkPage {
        layout: Layout::new(t!("Forgot your password?"), &session, scope.as_ref()),
        action: REQUEST_PATH,
        email: prefilled_email(scope.as_ref()),
        explanation: t!("We'll email you a link to set a new one."),
    })
}

/// Responds in the same way for every email address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Form(form): Form<EmailForm>,
) -> Result<Response> {
    accounts.deliver_user_reset_password_instructions(&form.email, session.client()).await?;
    check_email::redirect(&session, Link::ResetPassword, &form.email)
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    match accounts.get_user_by_reset_password_token(&token).await? {
        Some(user) => Ok(Page(page(&session, scope.as_ref(), &token, user)).into_response()),
        None => invalid_link(&session, REQUEST_PATH),
    }
}

/// Ends all sessions of the user, also in this browser.
pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Form(form): Form<NewPassword>,
) -> Result<Response> {
    let changed = accounts.reset_user_password(&session, &token, &form.password, form.confirmation()).await;
    let form_again = async {
        let user = accounts.get_user_by_reset_password_token(&token).await?;
        Ok(user.map(|user| page(&session, scope.as_ref(), &token, user)))
    };
    let done = t!("Your password was changed. You can log in with it now.");
    new_password::respond(&session, changed, Responses { done, request_path: REQUEST_PATH }, form_again).await
}

fn page(session: &CookieSession, scope: Option<&Scope<User>>, token: &str, user: User) -> NewPasswordPage {
    NewPasswordPage::new(session, scope, format!("{REQUEST_PATH}/{token}"), user.email, "")
}
