//! The way that somebody last logged in with this browser, which the login page hints at.
//!
//! Its cookie says only the way, not who logged in, so it stays after a logout. Nothing is decided by it: it isn't
//! signed.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, HeaderName, header, request::Parts},
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

pub struct LastWay {
    /// Such as `password`. Empty if nobody has logged in with this browser.
    pub name: String,
    is_secure: bool,
}

impl LastWay {
    /// Returns the header that sets the cookie. The browser sends it only to the login page.
    pub fn remember(&self, method: LogInMethod) -> AppendHeaders<[(HeaderName, String); 1]> {
        self.remember_as(method.name())
    }

    // <oauth>
    /// Like [`remember`](Self::remember), for the provider with this name.
    pub fn remember_provider(&self, name: &str) -> AppendHeaders<[(HeaderName, String); 1]> {
        self.remember_as(&way_of_provider(name))
    }
    // </oauth>

    fn remember_as(&self, way: &str) -> AppendHeaders<[(HeaderName, String); 1]> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let cookie = format!("{COOKIE}={way}; Path={LOG_IN_PATH}; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
        AppendHeaders([(header::SET_COOKIE, cookie)])
    }
}

// <oauth>
/// Returns the way of a provider, which no method of another kind is called.
pub fn way_of_provider(name: &str) -> String {
    format!("provider:{name}")
}
// </oauth>

impl<S: Send + Sync> FromRequestParts<S> for LastWay
where
    Arc<Settings>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let is_secure = Arc::<Settings>::from_ref(state).app_env == AppEnv::Prod;
        Ok(Self { name: name_in(&parts.headers), is_secure })
    }
}

fn name_in(headers: &HeaderMap) -> String {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, way)| way.to_owned()).unwrap_or_default()
}
