//! The binding of a session to its device, as a request and its response deal with it.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::browser::{
    bound_cookie::BoundCookie,
    cookies::{Cookies, SetCookies},
};

/// The request header that says why the bound cookie was not renewed.
pub(crate) const SKIPPED: HeaderName = HeaderName::from_static("secure-session-skipped");

/// The response header that offers to bind the session.
const REGISTRATION: HeaderName = HeaderName::from_static("secure-session-registration");

/// The reasons in [`SKIPPED`] that are logged as they are.
const REASONS: [&str; 3] = ["unreachable", "server_error", "quota_exceeded"];

/// What is known of the bound cookie from the request itself.
#[derive(Debug, Default)]
pub(crate) struct BindingOfRequest {
    /// Why the browser sends the request without a bound cookie, if it says so: its header [`SKIPPED`].
    pub skipped: Option<HeaderValue>,
    /// Whether the browser doesn't renew the bound cookie before a request to this path.
    pub is_excluded: bool,
    /// Whether the request was sent to another host than that of the origin, where browsers don't renew the bound
    /// cookie.
    pub is_elsewhere: bool,
    /// Whether the request renews the bound cookie, so that it comes without one. Its handler finds the session itself.
    pub renews: bool,
}

impl BindingOfRequest {
    /// Returns whether a session can be bound by this request: whether browsers renew the bound cookie at its host.
    pub fn can_bind(&self) -> bool {
        !self.is_elsewhere
    }

    /// Returns why the browser didn't renew the bound cookie before this request, if it says so, or needn't.
    pub fn skipped(&self) -> Option<&'static str> {
        if self.is_excluded {
            return Some("excluded");
        }
        let header = self.skipped.as_ref()?.as_bytes();
        let said = header.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        Some(REASONS.into_iter().find(|reason| reason.as_bytes() == said).unwrap_or("other"))
    }
}

/// What the response changes.
#[derive(Debug, Default)]
pub(crate) struct BindingOfResponse {
    fate: BoundFate,
    /// The header that offers to bind the session.
    offer: Option<HeaderValue>,
}

/// What happens to the bound cookie.
#[derive(Clone, Copy, Debug, Default)]
enum BoundFate {
    #[default]
    Keep,
    Set(BoundCookie, Duration),
    Expire,
}

impl BindingOfResponse {
    pub fn set(&mut self, bound: BoundCookie, max_age: Duration) {
        self.fate = BoundFate::Set(bound, max_age);
    }

    pub fn expire(&mut self) {
        self.fate = BoundFate::Expire;
    }

    pub fn offer(&mut self, header: HeaderValue) {
        self.offer = Some(header);
    }

    pub fn write(&mut self, cookies: &Cookies, jar: &mut SetCookies<'_>) {
        if let Some(offer) = self.offer.take() {
            jar.headers.insert(REGISTRATION, offer);
        }
        match std::mem::take(&mut self.fate) {
            BoundFate::Keep => {}
            BoundFate::Set(bound, max_age) => cookies.set_bound(jar, &bound, max_age),
            BoundFate::Expire => cookies.expire_bound(jar),
        }
    }
}
