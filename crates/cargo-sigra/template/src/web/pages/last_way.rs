//! The way that somebody last logged in with this browser, which the login page hints at.
//!
//! Its cookie says only the way, not who logged in, so it stays after a logout. Nothing is decided by it.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderName, request::Parts},
    response::AppendHeaders,
};
use sigra::LoginMethod;

use crate::{
    config::Settings,
    web::{plain_cookies::PlainCookie, user_auth::LOGIN_PATH},
};

/// Kept for 400 days, the most that browsers keep a cookie (RFC 6265bis section 5.5). Sent only to the login page.
const COOKIE: PlainCookie = PlainCookie { name: "_my_app_last_way", path: LOGIN_PATH, max_age: 400 * 24 * 60 * 60 };

pub struct LastWay {
    /// Such as `password`. Empty if nobody has logged in with this browser.
    pub name: String,
    settings: Arc<Settings>,
}

impl LastWay {
    /// Returns the header that sets the cookie.
    pub fn remember(&self, method: LoginMethod) -> AppendHeaders<[(HeaderName, String); 1]> {
        COOKIE.set(method.name(), &self.settings)
    }

    // <oauth>
    /// Like [`remember`](Self::remember), for the provider with this name.
    pub fn remember_provider(&self, name: &str) -> AppendHeaders<[(HeaderName, String); 1]> {
        COOKIE.set(&way_of_provider(name), &self.settings)
    }
    // </oauth>
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
        let settings: Arc<Settings> = Arc::from_ref(state);
        let name = COOKIE.read(&parts.headers, settings.app_env).unwrap_or_default().to_owned();
        Ok(Self { name, settings })
    }
}
