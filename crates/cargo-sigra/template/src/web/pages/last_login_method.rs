//! The method of the last login in this browser, which the login page shows as a hint.
//!
//! The cookie doesn't say who logged in, so it stays after a logout. No decision depends on it.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderName, request::Parts},
    response::AppendHeaders,
};
use sigra::LoginMethod;

use crate::{
    config::Settings,
    web::{unsigned_cookies::UnsignedCookie, user_auth::LOGIN_PATH},
};

/// Kept for 400 days, the most that browsers keep a cookie (RFC 6265bis section 5.5). Sent only to the login page.
const COOKIE: UnsignedCookie =
    UnsignedCookie { name: "_my_app_last_login_method", path: LOGIN_PATH, max_age: 400 * 24 * 60 * 60 };

pub struct LastLoginMethod {
    /// Such as `password` or `provider:google`. Empty if nobody has logged in with this browser.
    pub name: String,
    settings: Arc<Settings>,
}

impl LastLoginMethod {
    /// Returns the header that sets the cookie.
    pub fn remember(&self, method: LoginMethod) -> AppendHeaders<[(HeaderName, String); 1]> {
        COOKIE.set(method.name(), &self.settings)
    }

    // <oauth>
    /// Like [`remember`](Self::remember), for the provider with this name.
    pub fn remember_provider(&self, name: &str) -> AppendHeaders<[(HeaderName, String); 1]> {
        COOKIE.set(&provider_method(name), &self.settings)
    }
    // </oauth>
}

// <oauth>
/// Returns the name of a login at a provider. The prefix keeps it apart from the names of [`LoginMethod`].
pub fn provider_method(name: &str) -> String {
    format!("provider:{name}")
}
// </oauth>

impl<S: Send + Sync> FromRequestParts<S> for LastLoginMethod
where
    Arc<Settings>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let settings: Arc<Settings> = Arc::from_ref(state);
        let name = COOKIE.read(&parts.headers, settings.app_env).unwrap_or_default().to_owned();
        Ok(Self { name, settings })
    }
}
