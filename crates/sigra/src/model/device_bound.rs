//! The settings of device-bound sessions.

use std::{borrow::Cow, pin::Pin, sync::Arc, time::Duration};

use http::Uri;

use crate::{
    base::{
        config_error::{ConfigError, check_durations},
        error::Error,
    },
    model::{client::Client, session::SessionRow, transaction::Transaction},
};

/// How much earlier than its signature the bound cookie expires in the browser, at most. A request that leaves with the
/// cookie at the last moment still arrives in time.
const TRAVEL: Duration = Duration::from_secs(60);

/// What is done with the bindings of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a host must decide for one")]
pub enum BindingMode {
    /// Browsers bind their sessions, and requests without the bound cookie are only logged.
    Report,
    /// A request of a bound session without its bound cookie is anonymous.
    Enforce,
}

/// The settings of [device-bound sessions](crate::device_bound).
///
/// ```
/// use std::time::Duration;
/// use sigra::{Config, SecretKeyBase, config::{BindingMode, DeviceBound}};
///
/// let device_bound = DeviceBound::at("https://app.example.com")
///     .mode(BindingMode::Report)
///     .ttl(Duration::from_secs(5 * 60));
/// let config = Config::new("my_app", SecretKeyBase::generate()?).secure_cookies(true).device_bound(device_bound);
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeviceBound {
    pub(crate) origin: String,
    pub(crate) mode: BindingMode,
    pub(crate) ttl: Duration,
    pub(crate) path: Cow<'static, str>,
    pub(crate) excluded: Vec<Cow<'static, str>>,
}

impl DeviceBound {
    /// The path of the route that binds a session, unless [`path`](Self::path) sets another.
    pub const PATH: &'static str = "/users/session/binding";

    /// Creates the default settings for an application at an origin, such as `https://app.example.com`: the bound
    /// cookie lives for 10 minutes, and a request without it is anonymous.
    #[must_use]
    pub fn at(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            mode: BindingMode::Enforce,
            ttl: Duration::from_secs(10 * 60),
            path: Self::PATH.into(),
            excluded: Vec::new(),
        }
    }

    /// Sets what happens to requests without the bound cookie (default: [`Enforce`](BindingMode::Enforce)).
    #[must_use]
    pub fn mode(mut self, mode: BindingMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how long the bound cookie is valid (default: 10 minutes). A thief who has the cookies and not the key can
    /// use them for this long. Browsers renew the cookie in two requests, at most this often.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the path of the route that binds a session (default: [`PATH`](Self::PATH)). The route that renews the bound
    /// cookie is below it, at `/refresh`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the paths, with everything below them, for whose requests the browser need not renew the bound cookie first
    /// (default: none): for static files, such as `/static`.
    #[must_use]
    pub fn exclude<T: Into<Cow<'static, str>>>(mut self, paths: impl IntoIterator<Item = T>) -> Self {
        self.excluded = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the path of the route that renews the bound cookie.
    pub(crate) fn refresh_path(&self) -> String {
        format!("{}/refresh", self.path)
    }

    pub(crate) fn is_refresh_path(&self, path: &str) -> bool {
        path.strip_prefix(&*self.path) == Some("/refresh")
    }

    /// Returns whether browsers don't renew the bound cookie before a request to a path.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        let is_below = |rest: &str, excluded: &str| rest.is_empty() || rest.starts_with('/') || excluded.ends_with('/');
        self.excluded.iter().any(|excluded| path.strip_prefix(&**excluded).is_some_and(|rest| is_below(rest, excluded)))
    }

    /// Returns how long browsers keep the bound cookie.
    pub(crate) fn max_age(&self) -> Duration {
        self.ttl - TRAVEL.min(self.ttl / 4)
    }

    /// Returns whether a host, with or without a port, is that of the origin. Proxies that pass on the host may leave
    /// the port out.
    pub(crate) fn is_at(&self, authority: &[u8]) -> bool {
        let own = self.origin.strip_prefix("https://").unwrap_or(&self.origin).as_bytes();
        own == authority || without_port(own).eq_ignore_ascii_case(without_port(authority))
    }

    /// Returns the host of the origin.
    pub(crate) fn host(&self) -> Option<String> {
        Some(self.origin.parse::<Uri>().ok()?.host()?.to_ascii_lowercase())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_durations([("device_bound", self.ttl)])?;
        let is_path = |path: &str| {
            path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
        };
        let rest = self.origin.strip_prefix("https://");
        let is_origin = rest.is_some_and(|rest| !rest.contains(['/', '?', '#', '@'])) && self.host().is_some();
        if !is_origin {
            return Err(ConfigError::BindingOrigin(self.origin.clone()));
        }
        match std::iter::once(&self.path).chain(&self.excluded).find(|path| !is_path(path)) {
            Some(path) => Err(ConfigError::BindingPath(path.clone().into_owned())),
            None => Ok(()),
        }
    }
}

/// Returns the host of an authority. An IPv6 address keeps its brackets.
fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority[colon + 1..].iter().all(u8::is_ascii_digit) => &authority[..colon],
        _ => authority,
    }
}

/// A bound session whose token was used without its key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UsedWithoutKey<U> {
    /// The user of the session.
    pub user: U,
    /// The session.
    pub session: SessionRow,
    /// The client that used the token.
    pub client: Client,
}

/// What the host does when that happens, in the transaction that records it.
pub(crate) type OnUseWithoutKey<U> = Arc<React<U>>;

pub(crate) type React<U> = dyn for<'a> Fn(
        &'a mut Transaction<U>,
        &'a UsedWithoutKey<U>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
    + Send
    + Sync;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_origin_is_recognized_with_and_without_a_port() {
        let is_at = |origin: &str, authority: &str| DeviceBound::at(origin).is_at(authority.as_bytes());
        assert!(is_at("https://app.example.com", "app.example.com"));
        assert!(is_at("https://app.example.com", "APP.example.com:443"));
        assert!(is_at("https://app.example.com:8443", "app.example.com"));
        assert!(is_at("https://[::1]", "[::1]:4000"));
        assert!(is_at("https://[::1]:4000", "[::1]"));
        for other in ["api.example.com", "example.com", "app.example.com.evil.example", "", ":", ":443"] {
            assert!(!is_at("https://app.example.com", other), "{other}");
        }
    }
}
