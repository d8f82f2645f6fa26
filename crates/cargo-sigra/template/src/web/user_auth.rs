//! Logging in and out, and who may pass.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
// <mfa>
use sigra::mfa::MfaEnrolment;
// </mfa>
use sigra::{
    Config, CookieSession, Scope, Sigra,
    config::{CookieOptions, SameSite},
    scope::FetchCurrentScopeLayer,
};
// <pages>
use axum::response::{IntoResponse, Redirect};
// <passkeys>
use sigra::mfa::PasskeyLogIn;
// </passkeys>
use sigra::{Flash, LogInMethod, LogInOutcome, session::ReturnTo};
// </pages>

use super::Result;
use crate::accounts::{Accounts, User};
// <pages>
use crate::accounts::LogIn;
// </pages>

/// The cookie session. It ends with the browser. `HttpOnly` and the signature are not open to choice;
/// `Secure` and `Domain` are decided at start, from `APP_ENV` and `COOKIE_DOMAIN`.
const SESSION_COOKIE: CookieOptions = CookieOptions::named("_my_app_key").same_site(SameSite::Lax);

/// The cookie that outlives the browser, for those who ask to be remembered.
const REMEMBER_ME_COOKIE: CookieOptions = CookieOptions::named("_my_app_web_user_remember_me").same_site(SameSite::Lax);

// <pages>
pub const LOG_IN_PATH: &str = "/users/log-in";
pub const LOG_IN_MESSAGE: &str = "You must log in to access this page.";
const CONFIRM_MESSAGE: &str = "You must confirm your email address first: open the link that we sent you.";
pub const SUDO_PATH: &str = "/users/sudo";
pub const SUDO_MESSAGE: &str = "Confirm it's you to continue.";
// <mfa>
pub const MFA_CHALLENGE_PATH: &str = "/users/mfa-challenge";
pub const MFA_CHALLENGE_MESSAGE: &str = "Present your second factor to continue.";
pub const MFA_ENROLMENT_PATH: &str = "/users/settings/mfa";
pub const MFA_ENROLMENT_MESSAGE: &str = "Your account requires a second factor. Set one up to continue.";
// </mfa>

pub const LOG_OUT_MESSAGE: &str = "Logged out successfully.";

const SIGNED_IN_PATH: &str = "/";
// </pages>

/// What the browser forgets when its user logs out.
pub const CLEAR_SITE_DATA: (HeaderName, HeaderValue) =
    (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\", \"storage\""));

/// The names of the cookies, and where visitors are led who may not pass.
pub fn configure(config: Config) -> Config {
    config
        // <pages>
        .log_in_at(LOG_IN_PATH, LOG_IN_MESSAGE)
        .sudo_at(SUDO_PATH, SUDO_MESSAGE)
        // <mfa>
        .mfa_challenge_at(MFA_CHALLENGE_PATH, MFA_CHALLENGE_MESSAGE)
        .mfa_enrolment_at(MFA_ENROLMENT_PATH, MFA_ENROLMENT_MESSAGE)
        // </mfa>
        // </pages>
        .session_cookie(SESSION_COOKIE)
        .remember_me_cookie(REMEMBER_ME_COOKIE)
}

// <pages>
/// Logs the user in: a fresh session token and a fresh cookie session, so that nothing of what was in the
/// browser before can be used against them. Leads to the page that asked for the login, or home; who has a second
/// factor is asked for it before.
pub async fn log_in_user(
    accounts: &Accounts,
    session: &CookieSession,
    user: &User,
    method: LogInMethod,
    remember_me: bool,
) -> Result<Redirect> {
    after_log_in(session, accounts.log_in(session, user, method, remember_me).await?)
}

// <passkeys>
/// Logs the user in who has shown a passkey: no other factor is asked for.
pub async fn log_in_user_with_passkey(
    accounts: &Accounts,
    session: &CookieSession,
    log_in: &PasskeyLogIn<User>,
    remember_me: bool,
) -> Result<Redirect> {
    after_log_in(session, accounts.log_in_with_passkey(session, log_in, remember_me).await?)
}
// </passkeys>

fn after_log_in(session: &CookieSession, log_in: LogIn) -> Result<Redirect> {
    match log_in.outcome {
        LogInOutcome::Complete => welcome_user(session, log_in.deletion_cancelled),
        // <mfa>
        LogInOutcome::SecondFactorPending => Ok(Redirect::to(MFA_CHALLENGE_PATH)),
        // </mfa>
        // <!mfa>
        // // There is no way to set one up here, so nobody has one.
        // LogInOutcome::SecondFactorPending => Err(sigra::Error::SecondFactorRequired.into()),
        // </!mfa>
    }
}

/// Welcomes who is logged in by now, with all their factors.
pub fn welcome_user(session: &CookieSession, deletion_cancelled: bool) -> Result<Redirect> {
    let return_to = session.take_return_to();
    session.put_flash(Flash::Info, "Welcome back!")?;
    if deletion_cancelled {
        session.put_flash(Flash::Info, "Your account was scheduled for deletion. You logged in, so we kept it.")?;
    }
    Ok(Redirect::to(return_to.as_ref().map_or(SIGNED_IN_PATH, ReturnTo::as_str)))
}

/// Where to lead a user who may not log in before they have confirmed their address, if that is asked for.
pub fn must_confirm(accounts: &Accounts, session: &CookieSession, user: &User) -> Result<Option<Redirect>> {
    if !accounts.must_confirm(user) {
        return Ok(None);
    }
    session.put_flash(Flash::Error, CONFIRM_MESSAGE)?;
    Ok(Some(Redirect::to("/users/confirm")))
}

/// Logs the browser out, and says so when it is done. Its session's live connections end.
pub async fn log_out_user(sigra: &Sigra<User>, session: &CookieSession, message: &str) -> Result<Response> {
    sigra.log_out(session).await?;
    session.put_flash(Flash::Info, message)?;
    Ok(([CLEAR_SITE_DATA], Redirect::to("/")).into_response())
}
// </pages>

/// Finds out who sends each request: by the session token in the cookie session, or by the remember-me
/// cookie after the browser was closed.
pub fn fetch_current_scope(sigra: &Sigra<User>) -> FetchCurrentScopeLayer<User> {
    sigra.fetch_current_scope()
}

// <pages>
/// For pages that only make sense to visitors.
pub async fn redirect_if_user_is_authenticated(scope: Option<Scope<User>>, request: Request, next: Next) -> Response {
    match scope {
        Some(_) => Redirect::to(SIGNED_IN_PATH).into_response(),
        None => next.run(request).await,
    }
}
// </pages>

/// For all that accounts are changed or guessed at with: so many requests an address and minute.
pub async fn limit_address(
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

/// For pages that need a user: the argument is the requirement. Visitors are led to the log-in page and
/// back, programs get 401.
pub async fn require_authenticated_user(_: Scope<User>, request: Request, next: Next) -> Response {
    next.run(request).await
}

/// For pages that need a user who authenticated recently.
pub async fn require_sudo_mode(_: sigra::Sudo<User>, request: Request, next: Next) -> Response {
    next.run(request).await
}

// <mfa>
/// For pages that set up a second factor: also for users who can do nothing else until then.
pub async fn require_mfa_enrolment(_: MfaEnrolment<User>, request: Request, next: Next) -> Response {
    next.run(request).await
}

// <pages>
/// For setting up a second factor: an address that is not confirmed may be somebody else's, and whoever proves that it
/// is theirs takes the account over without it.
pub async fn require_confirmed_address(
    session: CookieSession,
    enrolment: MfaEnrolment<User>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if enrolment.scope().user().confirmed_at.is_some() {
        return Ok(next.run(request).await);
    }
    session.put_flash(Flash::Error, CONFIRM_MESSAGE)?;
    Ok(Redirect::to(MFA_ENROLMENT_PATH).into_response())
}
// </pages>
// </mfa>

/// Gives the browser a new token and a new cookie session, as after a change of what the user may do.
pub async fn renew_session(sigra: &Sigra<User>, session: &CookieSession, scope: &Scope<User>) -> Result<()> {
    Ok(sigra.renew_session(session, scope).await?)
}
