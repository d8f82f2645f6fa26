//! What happens to a token that a browser presents. The lookup decides it, and the response's cookies carry it out.

use std::time::Duration;

use crate::{
    base::token::{CookieSessionId, SessionHashes, SessionToken},
    browser::cookies::{Cookies, SetCookies},
};

/// What happens to a presented token, and to its cookies.
#[derive(Clone, Default)]
pub(crate) enum TokenFate {
    /// The browser keeps it, because it is valid, or because another response replaces it.
    #[default]
    Keep,
    /// The browser gets another one, or the same one in new cookies.
    Replace { token: SessionToken, remember_me: RememberMeCookie },
    /// Its cookies expire, because these tokens have no session.
    Expire { dead: Vec<SessionHashes>, key: bool, remember_me: bool },
}

impl TokenFate {
    /// Expires both cookies, whatever is in them.
    pub fn expire_all() -> Self {
        Self::Expire { dead: Vec::new(), key: true, remember_me: true }
    }

    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Writes the token cookies. Without a cookie session, a new token begins one.
    pub fn write(self, cookies: &Cookies, jar: &mut SetCookies<'_>, id: &mut Option<CookieSessionId>) {
        match self {
            Self::Replace { token, remember_me } => {
                let id = *id.get_or_insert_with(|| token.cookie_session_id());
                cookies.set_key(jar, id, &token);
                match remember_me {
                    RememberMeCookie::Keep => {}
                    RememberMeCookie::For(max_age) => cookies.set_remember_me(jar, &token, max_age),
                    RememberMeCookie::Expire => cookies.expire_remember_me(jar),
                }
            }
            Self::Expire { key, remember_me, .. } => {
                if key {
                    cookies.expire_key(jar);
                }
                if remember_me {
                    cookies.expire_remember_me(jar);
                }
            }
            Self::Keep => {}
        }
    }
}

/// What happens to the remember-me cookie when a token is replaced.
#[derive(Clone, Copy)]
pub(crate) enum RememberMeCookie {
    Keep,
    For(Duration),
    Expire,
}

impl RememberMeCookie {
    /// Writes the cookie again if the session is remembered, and otherwise leaves it.
    pub fn lasting(remembered: Option<Duration>) -> Self {
        remembered.map_or(Self::Keep, Self::For)
    }
}
