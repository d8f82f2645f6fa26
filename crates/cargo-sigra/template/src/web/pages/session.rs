//! Logging in and out.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, LogInMethod, RememberMe, Scope, session::FlashMessage};

use super::form::Form;
use crate::{
    accounts::{Accounts, User},
    web::{
        error::Result,
        forms::Credentials,
        layout::{Layout, Page, too_many_attempts},
        user_auth,
    },
};

/// The entry of the cookie session that fills in the email address on the next login page.
const EMAIL: &str = "email";

const COOKIE_LOST: &str = "Your browser didn't keep the cookie. Allow cookies for this site, then log in again.";

#[derive(Template)]
#[template(path = "log_in.html")]
struct LogInPage {
    layout: Layout,
    email: String,
    remember_me: bool,
    // <passkeys>
    passkey_domain: Option<String>,
    // </passkeys>
}

pub async fn new(
    // <passkeys>
    State(accounts): State<Accounts>,
    // </passkeys>
    session: CookieSession,
    scope: Option<Scope<User>>,
) -> Result<Page<impl Template>> {
    session.try_cookies()?;
    Ok(Page(LogInPage {
        email: session.take(EMAIL).unwrap_or_default(),
        remember_me: false,
        layout: Layout::new("Log in", &session, scope.as_ref()),
        // <passkeys>
        passkey_domain: accounts.policy().passkey_domain.clone(),
        // </passkeys>
    }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Form(form): Form<Credentials>,
) -> Result<Response> {
    if let Some(form_again) = not_tried(&accounts, &session, scope.as_ref(), &form).await? {
        return Ok(form_again);
    }
    match accounts.get_user_by_email_and_password(&form.email, &form.password, &session.client()).await? {
        Some(user) => {
            let method = LogInMethod::Password;
            Ok(user_auth::log_in_user(&accounts, &session, &user, method, form.remember_me).await?.into_response())
        }
        None => {
            session.put_flash(Flash::Error, "Invalid email or password")?;
            session.put(EMAIL, &form.email.chars().take(254).collect::<String>())?;
            Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
        }
    }
}

/// Redirects to the login page with the user's email address filled in, and a message.
pub fn lead_to_log_in(session: &CookieSession, user: &User, message: &str) -> Result<Response> {
    session.put_flash(Flash::Info, message)?;
    session.put(EMAIL, &user.email)?;
    Ok(Redirect::to(user_auth::LOG_IN_PATH).into_response())
}

/// Returns the form again if the password must not be checked: after too many attempts, or in a browser without
/// cookies, which would stay logged out without an explanation.
async fn not_tried(
    accounts: &Accounts,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    form: &Credentials,
) -> Result<Option<Response>> {
    let page = |alert: &dyn Fn(Layout) -> Layout| LogInPage {
        layout: alert(Layout::new("Log in", session, scope)),
        email: form.email.clone(),
        remember_me: form.remember_me == RememberMe::Yes,
        // <passkeys>
        passkey_domain: accounts.policy().passkey_domain.clone(),
        // </passkeys>
    };
    if form.cookies == "tried" && !session.has_cookies() {
        session.try_cookies()?;
        let lost = FlashMessage::new(Flash::Error, COOKIE_LOST);
        return Ok(Some(Page(page(&|layout| Layout { flash: vec![lost.clone()], ..layout })).refused()));
    }
    match accounts.limit_log_in(session, &form.email).await {
        Ok(()) => Ok(None),
        Err(error) => {
            let problem = too_many_attempts(error)?;
            Ok(Some(Page(page(&|layout| layout.alert(&problem))).later(problem)))
        }
    }
}

pub async fn delete(State(accounts): State<Accounts>, session: CookieSession) -> Result<Response> {
    user_auth::log_out_user(&accounts, &session, user_auth::LOG_OUT_MESSAGE).await
}
