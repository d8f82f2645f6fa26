//! Logging in by a link. Opening it logs nobody in, for mail scanners open it too: its page has a button, which
//! also asks before somebody else's link logs this browser in.

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use sigra::{CookieSession, Flash, LogInMethod, Scope};

use super::mail_link::{Ask, LINK_ON_ITS_WAY, LinkPage, bad_link};
use crate::{
    accounts::{Accounts, User},
    web::{
        Result,
        layout::{Layout, Page},
        user_auth,
    },
};

#[derive(Deserialize)]
pub struct Use {
    #[serde(rename = "user[remember_me]", default)]
    remember_me: String,
}

const PASSWORD_REMOVED: &str = "Your email address is confirmed. We removed the password that this account was registered \
    with, because someone else may have chosen it. You can set a new one in your settings.";

/// The same answer for every address.
pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    Form(form): Form<Ask>,
) -> Result<Response> {
    accounts.deliver_log_in_link(&form.email, session.client()).await?;
    session.put_flash(Flash::Info, LINK_ON_ITS_WAY)?;
    Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
}

pub async fn edit(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some(user) = accounts.get_user_by_log_in_token(&token).await? else {
        return bad_link(&session, user_auth::LOG_IN_PATH);
    };
    let page = LinkPage {
        layout: Layout::new("Log in", &session, scope.as_ref()),
        action: format!("/users/log-in/{token}"),
        explanation: format!("Log in on this device as {}?", user.email),
        label: "Log in",
        remember_me: true,
    };
    Ok(Page(page).into_response())
}

pub async fn update(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Path(token): Path<String>,
    Form(form): Form<Use>,
) -> Result<Response> {
    let Some(link) = accounts.take_log_in_link(&session, scope.as_ref(), &token).await? else {
        return bad_link(&session, user_auth::LOG_IN_PATH);
    };
    let remember_me = form.remember_me == "true";
    let elsewhere = user_auth::log_in_user(&accounts, &session, &link.owner, LogInMethod::Link, remember_me).await?;
    if link.password_removed {
        session.put_flash(Flash::Info, PASSWORD_REMOVED)?;
    }
    Ok(elsewhere.into_response())
}
