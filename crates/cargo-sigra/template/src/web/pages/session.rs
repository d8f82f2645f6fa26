//! Logging in and out.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use sigra::{CookieSession, Flash, LoginMethod, RememberMe, Scope, session::FlashMessage};

use super::{form::Form, last_login_method::LastLoginMethod};
// <oauth>
use super::oauth::{self, ProviderButton};
// </oauth>
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

#[derive(Template)]
#[template(path = "log_in.html")]
struct LoginPage {
    layout: Layout,
    email: String,
    remember_me: bool,
    /// How somebody last logged in with this browser.
    last_login_method: String,
    // <passkeys>
    passkey_domain: Option<String>,
    // </passkeys>
    // <oauth>
    providers: Vec<ProviderButton>,
    // </oauth>
}

impl LoginPage {
    fn new(
        accounts: &Accounts,
        session: &CookieSession,
        scope: Option<&Scope<User>>,
        last_login_method: &LastLoginMethod,
    ) -> Self {
        // <!passkeys>
        // <!oauth>
        // let _ = accounts;
        // </!oauth>
        // </!passkeys>
        Self {
            layout: Layout::new(t!("Log in"), session, scope).active_path(user_auth::LOGIN_PATH),
            email: String::new(),
            remember_me: false,
            last_login_method: last_login_method.name.clone(),
            // <passkeys>
            passkey_domain: accounts.policy().passkey_domain.clone(),
            // </passkeys>
            // <oauth>
            providers: oauth::buttons(accounts, &last_login_method.name),
            // </oauth>
        }
    }
}

pub async fn new(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    last_login_method: LastLoginMethod,
) -> Result<Page<impl Template>> {
    session.probe_cookies()?;
    let page = LoginPage::new(&accounts, &session, scope.as_ref(), &last_login_method);
    Ok(Page(LoginPage { email: session.take(EMAIL).unwrap_or_default(), ..page }))
}

pub async fn create(
    State(accounts): State<Accounts>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    last_login_method: LastLoginMethod,
    Form(form): Form<Credentials>,
) -> Result<Response> {
    match attempt(&accounts, &session, scope.as_ref(), &last_login_method, &form).await? {
        Attempt::Valid(user) => {
            let method = LoginMethod::Password;
            let next = user_auth::log_in_user(&accounts, &session, &user, method, form.remember_me).await?;
            Ok((last_login_method.remember(method), next).into_response())
        }
        Attempt::Invalid => {
            session.put_flash(Flash::Error, t!("Invalid email or password"))?;
            session.put(EMAIL, &form.email.chars().take(254).collect::<String>())?;
            Ok(Redirect::to(user_auth::LOGIN_PATH).into_response())
        }
        Attempt::NotMade(form_again) => Ok(form_again),
    }
}

/// Redirects to the login page with the user's email address filled in, and a message.
pub fn redirect_to_log_in(session: &CookieSession, user: &User, message: &str) -> Result<Response> {
    session.put_flash(Flash::Info, message)?;
    session.put(EMAIL, &user.email)?;
    Ok(Redirect::to(user_auth::LOGIN_PATH).into_response())
}

enum Attempt {
    /// The password is that of this user.
    Valid(User),
    Invalid,
    /// The password wasn't checked, and this shows the form again.
    NotMade(Response),
}

/// Checks the password, unless there were too many attempts, or the browser keeps no cookies and would stay logged out
/// without an explanation.
async fn attempt(
    accounts: &Accounts,
    session: &CookieSession,
    scope: Option<&Scope<User>>,
    last_login_method: &LastLoginMethod,
    form: &Credentials,
) -> Result<Attempt> {
    let page = || LoginPage {
        email: form.email.clone(),
        remember_me: form.remember_me == RememberMe::Yes,
        ..LoginPage::new(accounts, session, scope, last_login_method)
    };
    if form.cookies == "tried" && !session.has_cookies() {
        session.probe_cookies()?;
        let lost = FlashMessage::new(
            Flash::Error,
            t!("Your browser didn't keep the cookie. Allow cookies for this site, then log in again."),
        );
        let mut page = page();
        page.layout.flash = vec![lost];
        return Ok(Attempt::NotMade(Page(page).unprocessable()));
    }
    match accounts.attempt_log_in(session, &form.email, &form.password).await {
        Ok(Some(user)) => Ok(Attempt::Valid(user)),
        Ok(None) => Ok(Attempt::Invalid),
        Err(error) => {
            let problem = too_many_attempts(error)?;
            let page = page();
            let page = LoginPage { layout: page.layout.alert(&problem), ..page };
            Ok(Attempt::NotMade(Page(page).retry_later(problem)))
        }
    }
}

pub async fn delete(State(accounts): State<Accounts>, session: CookieSession) -> Result<Response> {
    user_auth::log_out_user(&accounts, &session, user_auth::log_out_message).await
}
