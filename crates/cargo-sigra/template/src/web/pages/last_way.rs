//! The way that somebody last logged in with this browser, which the login page hints at.
//!
//! Its cookie says only the way, not who logged in, so it stays after a logout. Nothing is decided by it: it isn't
//! signed.

use axum::{
    http::{HeaderMap, HeaderName, header},
    response::AppendHeaders,
};
use sigra::LogInMethod;

use crate::{
    config::{AppEnv, Settings},
    web::user_auth::LOG_IN_PATH,
};

const COOKIE: &str = "_my_app_last_way";

/// 400 days, the most that browsers keep a cookie (RFC 6265bis section 5.5).
const MAX_AGE: u32 = 400 * 24 * 60 * 60;

/// Returns the header that sets the cookie. The browser sends it only to the login page.
pub fn remember(method: LogInMethod, settings: &Settings) -> AppendHeaders<[(HeaderName, String); 1]> {
    let secure = if settings.app_env == AppEnv::Prod { "; Secure" } else { "" };
    let way = method.name();
    let cookie = format!("{COOKIE}={way}; Path={LOG_IN_PATH}; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
    AppendHeaders([(header::SET_COOKIE, cookie)])
}

/// Returns the name of the way, such as `password`. It is empty if nobody has logged in with this browser.
pub fn of(headers: &HeaderMap) -> String {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, way)| way.to_owned()).unwrap_or_default()
}
