//! What happens to a token that a browser presents. The lookup decides it, and the response's cookies carry it out.

use std::time::Duration;

use crate::base::token::{SessionHashes, SessionToken};

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
