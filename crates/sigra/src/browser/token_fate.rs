//! What becomes of a token that a browser presents, from the look-up that decides it to the cookies that say it.

use std::time::Duration;

use crate::base::token::{SessionHashes, SessionToken};

/// What becomes of a presented token, and of the cookies that hold it.
#[derive(Clone, Default)]
pub(crate) enum TokenFate {
    /// The browser keeps it: it is good, or another response replaces it.
    #[default]
    Keep,
    /// The browser gets another one, or the same one in fresh cookies.
    Replace { token: SessionToken, remember_me: RememberMe },
    /// Its cookies expire: these tokens stand for nothing.
    Expire { dead: Vec<SessionHashes>, key: bool, remember_me: bool },
}

impl TokenFate {
    /// A token that stands for nothing.
    pub fn dead(token: &SessionToken) -> Self {
        Self::Expire { dead: vec![token.hashes()], key: true, remember_me: true }
    }

    /// Both cookies expire, whatever they hold.
    pub fn expire_all() -> Self {
        Self::Expire { dead: Vec::new(), key: true, remember_me: true }
    }

    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// What becomes of the remember-me cookie when a token is replaced.
#[derive(Clone, Copy)]
pub(crate) enum RememberMe {
    Keep,
    For(Duration),
    Expire,
}

impl RememberMe {
    /// Written together with a token of its own session.
    pub fn lasting(remembered: Option<Duration>) -> Self {
        remembered.map_or(Self::Keep, Self::For)
    }
}
