//! The values of signed cookies that a request presents.

use crate::{
    base::{
        keys::{SigningKeys, Verified},
        token::{CookieSessionId, SessionToken},
    },
    browser::request_cookies::MAX_OF_A_NAME,
};

/// The maximum size of a cookie's name and value together, in bytes. Browsers drop larger ones (RFC 6265bis section
/// 5.6).
pub(crate) const MAX_COOKIE: usize = 4096;

/// The values that the browser presented under a name: one, or several if cookies of several domains or paths have the
/// name.
#[derive(Clone, Debug)]
pub(crate) struct Presented<T> {
    /// How many were tried.
    came: usize,
    first: Option<Signed<T>>,
    others: Vec<Signed<T>>,
}

#[derive(Clone, Debug)]
struct Signed<T> {
    value: T,
    /// Whether a key that is being rotated out signed it.
    outdated: bool,
}

impl<T> Default for Presented<T> {
    fn default() -> Self {
        Self { came: 0, first: None, others: Vec::new() }
    }
}

impl<T> Presented<T> {
    pub fn add(&mut self, keys: &SigningKeys, value: &[u8], decode: impl Fn(&str) -> Option<T>) {
        if self.came == MAX_OF_A_NAME {
            return;
        }
        self.came += 1;
        let verified = verify(keys, value);
        let signed =
            verified.and_then(|verified| Some(Signed { value: decode(verified.value)?, outdated: verified.outdated }));
        match (signed, &self.first) {
            (Some(signed), None) => self.first = Some(signed),
            (Some(signed), Some(_)) => self.others.push(signed),
            (None, _) => {}
        }
    }

    /// Returns whether there was no cookie of the name.
    pub fn is_absent(&self) -> bool {
        self.came == 0
    }

    /// Returns whether there were only invalid ones: changed, truncated, or not signed by this application.
    pub fn is_invalid(&self) -> bool {
        self.came > 0 && self.first.is_none()
    }

    /// Returns the valid ones.
    pub fn valid(&self) -> impl Iterator<Item = &T> {
        self.signed().map(|signed| &signed.value)
    }

    /// Returns the value if there was exactly one, and it is valid.
    pub fn only(&self) -> Option<&T> {
        let first = self.first.as_ref().filter(|_| self.came == 1);
        first.map(|signed| &signed.value)
    }

    pub fn is_outdated(&self) -> bool {
        self.signed().any(|signed| signed.outdated)
    }

    fn signed(&self) -> impl Iterator<Item = &Signed<T>> {
        self.first.iter().chain(&self.others)
    }
}

/// The session cookie. It exists exactly while a user is logged in.
#[derive(Clone, Debug)]
pub(crate) struct KeyCookie {
    pub id: CookieSessionId,
    pub token: SessionToken,
}

/// The state of the token cookies at the start of a request.
#[derive(Clone, Default)]
pub(crate) struct PresentedTokens {
    pub key: Presented<KeyCookie>,
    pub remember_me: Presented<SessionToken>,
}

impl PresentedTokens {
    /// Returns whether the cookies need no change while their token is the current one of its session: there is one
    /// session cookie and at most one remember-me cookie, both have the same token, and the newest key signed both.
    /// Only such cookies are cached, so that nobody can fill the cache with variants of the cookies of one session.
    pub fn are_settled(&self) -> bool {
        let Some(key) = self.key.only() else { return false };
        let is_same = |token: &SessionToken| token.hash() == key.token.hash();
        let is_remembered_alike = self.remember_me.is_absent() || self.remember_me.only().is_some_and(is_same);
        is_remembered_alike && !self.key.is_outdated() && !self.remember_me.is_outdated()
    }
}

/// Verifies a signature. Values that are longer than a cookie can be are refused without any work.
pub(crate) fn verify<'a>(keys: &SigningKeys, value: &'a [u8]) -> Option<Verified<'a>> {
    let value = str::from_utf8(value).ok().filter(|value| value.len() <= MAX_COOKIE)?;
    keys.verify(value)
}
