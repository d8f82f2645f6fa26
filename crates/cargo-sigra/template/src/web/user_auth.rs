//! Logging in and out, and who can call which route.
//!
//! First come the settings that you can change here (how long a session lasts is in `config.rs`), then what happens at
//! a login and at a logout, then the checks that the router puts before routes. Handlers check too: one that takes a
//! `Scope<User>` or a `Sudo<User>` is only called for such a user. All of it is yours. What must be right and is hard
//! to get right is in the crate `sigra`: tokens, cookies, the second factor, and who sends a request.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
// <mfa>
use sigra::mfa::MfaEnrollment;
// </mfa>
use sigra::{
    Config, CookieSession, Scope,
    config::{CookieOptions, SameSite},
};
// <pages>
use axum::response::{IntoResponse, Redirect};
use sigra::{Flash, LoginMethod, RememberMe, session::ReturnTo};
// </pages>

use super::error::Result;
// <api>
// <mfa>
use super::error::UNCONFIRMED;
// </mfa>
// </api>
use crate::accounts::{Accounts, User};
// <api_tokens>
use crate::accounts::permissions;
// </api_tokens>
// <pages>
use crate::accounts::{CompletedLogin, NextStep};
// <mfa>
use crate::accounts::FEW_BACKUP_CODES;
// </mfa>
// </pages>
// <pages>
// <languages>
use crate::languages;
// </languages>
// </pages>

/// The cookie that holds the session token. It ends when the browser is closed.
///
/// With `SameSite::Strict`, users who follow a link from another site or from an email arrive logged out. With
/// `SameSite::None`, other sites can send requests with it. `Secure` and `Domain` depend on `APP_ENV` and
/// `COOKIE_DOMAIN`. The cookie is always signed, and hidden from scripts. A new name logs out everyone who
/// didn't ask to stay logged in.
const SESSION_COOKIE: CookieOptions = CookieOptions::named("_my_app_key").same_site(SameSite::Lax);

/// The cookie that keeps users logged in after the browser was closed, if they ask for it. It lasts as long as the
/// session, and a new name logs them out when they close the browser.
const REMEMBER_ME_COOKIE: CookieOptions = CookieOptions::named("_my_app_web_user_remember_me").same_site(SameSite::Lax);

// <pages>
/// Where a login leads, unless it was for another page. Also where pages for visitors send users who are logged in.
pub const AFTER_LOGIN_PATH: &str = "/";

/// Where a logout leads: a page for everybody. A page for users would ask for a login.
pub const AFTER_LOGOUT_PATH: &str = "/";

pub const LOGIN_PATH: &str = "/users/log-in";
pub const CONFIRM_PATH: &str = "/users/confirm";
pub const SUDO_PATH: &str = "/users/sudo";
// <mfa>
pub const MFA_CHALLENGE_PATH: &str = "/users/mfa-challenge";
pub const MFA_ENROLLMENT_PATH: &str = "/users/settings/mfa";
// </mfa>
// </pages>

/// What the browser deletes at a logout, for the next person at a shared computer: cached pages, which the back button
/// could show, and what scripts stored, such as in `localStorage`.
///
/// Cookies aren't in the list. The library expires those of the session, and others must stay, such as the one that
/// makes this browser known.
pub const CLEAR_SITE_DATA: (HeaderName, HeaderValue) =
    (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\", \"storage\""));

/// Passes these settings to the library: the cookies, and where to send users who can't call a route yet.
pub fn configure(config: Config) -> Config {
    config
        // <pages>
        .login_page(LOGIN_PATH, || t!("You must log in to access this page."))
        .sudo_page(SUDO_PATH, || t!("Confirm it's you to continue."))
        .sudo_form_message(|| t!("Confirm it's you to continue, then send the form again."))
        // <mfa>
        .mfa_challenge_page(MFA_CHALLENGE_PATH, || t!("Present your second factor to continue."))
        .mfa_enrollment_page(MFA_ENROLLMENT_PATH, || {
            t!("Your account requires a second factor. Set one up to continue.")
        })
        // </mfa>
        // </pages>
        // <api_tokens>
        .permissions(permissions::all())
        // </api_tokens>
        .session_cookie(SESSION_COOKIE)
        .remember_me_cookie(REMEMBER_ME_COOKIE)
}

// <pages>
fn confirm_message() -> &'static str {
    t!("You must confirm your email address first: open the link that we sent you.")
}

pub fn log_out_message() -> String {
    t!("Logged out successfully.").to_owned()
}

/// Logs the user in, and redirects to the next step.
///
/// The user must have proven who they are: with a password, a link, or whatever you check before you call this. The
/// browser gets a new session token and a new cookie session. Whatever someone planted in the browser before the login
/// is gone (session fixation). To keep an entry, such as a shopping cart, list it in `Config::survives_renewal`.
pub async fn log_in_user(
    accounts: &Accounts,
    session: &CookieSession,
    user: &User,
    method: LoginMethod,
    remember_me: RememberMe,
) -> Result<Redirect> {
    redirect_after_log_in(session, accounts.log_in(session, user, method, remember_me).await?)
}

/// Redirects to the next step of a login.
///
/// A user who is logged in goes to the page that required the login, or to [`AFTER_LOGIN_PATH`]. A user with a second
/// factor goes to the challenge, and isn't logged in before they pass it. A user who must confirm their email address
/// isn't logged in either: they go to the page that sends another link.
pub fn redirect_after_log_in(session: &CookieSession, next_step: NextStep) -> Result<Redirect> {
    match next_step {
        NextStep::LoggedIn(login) => welcome_user(session, &login),
        // <mfa>
        NextStep::SecondFactor => Ok(Redirect::to(MFA_CHALLENGE_PATH)),
        // </mfa>
        NextStep::ConfirmEmail => {
            session.put_flash(Flash::Error, confirm_message())?;
            Ok(Redirect::to(CONFIRM_PATH))
        }
    }
}

/// Redirects a user who is logged in now, with the messages that come with the login.
///
/// If this fails, the user stays logged in and gets an error page. It fails only if the messages together have more
/// than about 3 KB, the size of a cookie.
pub fn welcome_user(session: &CookieSession, login: &CompletedLogin) -> Result<Redirect> {
    // <languages>
    // The next page is in the language of the user.
    let CompletedLogin { user, .. } = login;
    if let Some(language) = user.language() {
        languages::switch_to(language);
    }
    // </languages>
    // To send some users elsewhere, such as administrators, choose the path by `login.user`.
    let redirect = redirect_back(session, AFTER_LOGIN_PATH);
    session.put_flash(Flash::Info, t!("Welcome back!"))?;
    if login.deletion_canceled {
        let text = t!("Your account was scheduled for deletion. You logged in, so we kept it.");
        session.put_flash(Flash::Info, text)?;
    }
    // <magic_link>
    if login.password_removed {
        let text = t!(
            "Your email address is confirmed. We removed the password that this account was registered with, because someone else may have chosen it. You can set a new one in your settings."
        );
        session.put_flash(Flash::Info, text)?;
    }
    // </magic_link>
    // <mfa>
    if let Some(left) = login.backup_codes_left.filter(|left| *left <= FEW_BACKUP_CODES) {
        let text = t!(
            "You have {left} backup code left. Generate new codes in your settings.",
            "You have {left} backup codes left. Generate new codes in your settings.",
            left
        );
        session.put_flash(Flash::Error, text)?;
    }
    // </mfa>
    Ok(redirect)
}

/// Redirects to the page that the user wanted before they were sent elsewhere, or else to this path.
pub fn redirect_back(session: &CookieSession, or_else: &str) -> Redirect {
    let return_to = session.take_return_to();
    Redirect::to(return_to.as_ref().map_or(or_else, ReturnTo::as_str))
}

/// Logs the browser out, and redirects to [`AFTER_LOGOUT_PATH`] with a message. Deletes the session, and closes its live
/// connections.
///
/// The logout drops every entry of the cookie session. A flash message that the same request puts is kept, because it
/// is for the next page, not for the user who was logged in.
pub async fn log_out_user(
    accounts: &Accounts,
    session: &CookieSession,
    message: impl FnOnce() -> String,
) -> Result<Response> {
    accounts.sigra().log_out(session).await?;
    // <languages>
    // The next page is in the language of the browser.
    super::languages::use_language_of_browser();
    // </languages>
    session.put_flash(Flash::Info, message())?;
    Ok(([CLEAR_SITE_DATA], Redirect::to(AFTER_LOGOUT_PATH)).into_response())
}

/// Sends a visitor to the login page, because the registration is closed.
pub fn refuse_registration(session: &CookieSession) -> Result<Redirect> {
    session.put_flash(Flash::Error, t!("Registration is closed."))?;
    Ok(Redirect::to(LOGIN_PATH))
}

/// Sends users who are logged in away from pages for visitors, such as the login page.
pub async fn redirect_if_user_is_authenticated(scope: Option<Scope<User>>, request: Request, next: Next) -> Response {
    match scope {
        Some(_) => Redirect::to(AFTER_LOGIN_PATH).into_response(),
        None => next.run(request).await,
    }
}
// </pages>

/// Limits how many requests a client's IP address can send to routes that change something or let someone guess. `GET`
/// and other safe methods pass, and aren't counted: they change nothing, unless a counted request began it.
pub async fn limit_ip_address(
    State(accounts): State<Accounts>,
    session: CookieSession,
    request: Request,
    next: Next,
) -> Result<Response> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    accounts.sigra().limits().check_address(&session.client())?;
    Ok(next.run(request).await)
}

/// Requires a login. The argument is the requirement: without a scope, this isn't called. Visitors go to the login page
/// and back; programs get 401.
///
/// A handler that takes a `Scope<User>` needs no such check. Put it before routes whose handlers don't.
pub async fn require_authenticated_user(_: Scope<User>, request: Request, next: Next) -> Response {
    next.run(request).await
}

/// Requires a user who proved who they are within the last minutes (`SUDO_TTL`). A stolen session alone doesn't pass.
///
/// It is for routes of your own. The generated router doesn't use it, because handlers there take a `Sudo<User>`.
pub async fn require_sudo_mode(_: sigra::Sudo<User>, request: Request, next: Next) -> Response {
    next.run(request).await
}

// <mfa>
/// Lets users set up a second factor. It requires a recent login, like [`require_sudo_mode`]. Unlike that, it also lets
/// users through who must set up a second factor before they can do anything else.
pub async fn allow_mfa_enrollment(_: MfaEnrollment<User>, request: Request, next: Next) -> Response {
    next.run(request).await
}

// <pages>
/// Requires a confirmed email address before users set up a second factor.
///
/// An unconfirmed email address may belong to someone else. With a link that is sent to it, that person can take the
/// account over, which removes the second factor.
pub async fn require_confirmed_email(
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if enrollment.scope().user().confirmed_at.is_some() {
        return Ok(next.run(request).await);
    }
    session.put_flash(Flash::Error, confirm_message())?;
    Ok(Redirect::to(MFA_ENROLLMENT_PATH).into_response())
}
// </pages>

// <api>
/// Requires a confirmed email address before users set up a second factor.
///
/// An unconfirmed email address may belong to someone else. With a link that is sent to it, that person can take the
/// account over, which removes the second factor.
pub async fn require_confirmed_email_json(
    enrollment: MfaEnrollment<User>,
    request: Request,
    next: Next,
) -> Result<Response> {
    match enrollment.scope().user().confirmed_at {
        Some(_) => Ok(next.run(request).await),
        None => Err(UNCONFIRMED.into()),
    }
}
// </api>
// </mfa>
