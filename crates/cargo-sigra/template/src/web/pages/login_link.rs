//! Logging in with a link. Opening it logs nobody in, because mail scanners open links too: its page has a button. It
//! also keeps an attacker's link from logging this browser in without asking.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, LoginMethod, RememberMe, Scope};

use super::{
    check_email::{self, Link},
    email_link::{LinkPage, invalid_link},
    form::Form,
    last_login_method::LastLoginMethod,
};
use crate::{
    accounts::{AccountError, Accounts, User},
    web::{
        error::Result,
        forms::{LinkRequest, RememberMeForm},
        layout::{Layout, Page},
        user_auth,
    },
};

/// The entry of the cookie session that keeps the checkbox "Keep me logged in" of the login page.
const REMEMBER_ME: &str = "remember_me";

/// Responds in the same way for every email address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Form(form): Form<LinkRequest>,
) -> Result<Response> {
    if form.email.trim().is_empty() {
        session.put_flash(Flash::Error, t!("Enter your email address, and we'll email you a link."))?;
        return Ok(Redirect::to(user_auth::LOGIN_PATH).into_response());
    }
    accounts.deliver_login_link(&form.email, session.client()).await?;
    session.put(REMEMBER_ME, &(form.remember.remember_me == RememberMe::Yes))?;
    check_email::redirect(&session, Link::LogIn, &form.email)
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(user) = accounts.get_user_by_login_token(&token).await? else {
        return invalid_link(&session, user_auth::LOGIN_PATH);
    };
    let page = LinkPage {
        layout: Layout::new(t!("Log in"), &session, scope.as_ref()),
        action: format!("/users/log-in/{token}"),
        explanation: t!("Log in on this device as {email}?", email = user.email),
        label: t!("Log in"),
        remember_me: Some(session.get(REMEMBER_ME).unwrap_or_default()),
    };
    Ok(Page(page).into_response())
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    last_login_method: LastLoginMethod,
    Form(form): Form<RememberMeForm>,
) -> Result<Response> {
    match accounts.log_in_with_link(&session, scope.as_ref(), &token, form.remember_me).await {
        Ok(next_step) => {
            let next = user_auth::redirect_after_log_in(&session, next_step)?;
            Ok((last_login_method.remember(LoginMethod::Link), next).into_response())
        }
        Err(AccountError::InvalidLink) => invalid_link(&session, user_auth::LOGIN_PATH),
        Err(error) => Err(error.into()),
    }
}
