//! The options of cookies.

use std::{borrow::Cow, net::IpAddr};

use cookie::SameSite;

use crate::base::{config_error::ConfigError, origin::OwnOrigins};

/// The options of a cookie that a host can choose.
///
/// All cookies are signed and `HttpOnly`. `Secure` and `Domain` follow
/// [`Config::secure_cookies`](crate::Config::secure_cookies) and
/// [`Config::cookie_domain`](crate::Config::cookie_domain).
///
/// ```
/// use sigra::config::{CookieOptions, SameSite};
///
/// const SESSION_COOKIE: CookieOptions = CookieOptions::named("_my_app_key").same_site(SameSite::Strict);
/// assert_eq!(SESSION_COOKIE.path, "/");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CookieOptions {
    /// The name, without the prefix `__Host-` or `__Secure-`.
    pub name: Cow<'static, str>,
    /// The path that it is sent to.
    pub path: Cow<'static, str>,
    /// Whether it is sent with requests from other sites. This is only a second line of defense, because
    /// `SameSite=Lax` doesn't stop every forged request.
    pub same_site: SameSite,
}

impl CookieOptions {
    /// Creates options with a name, `Path=/` and `SameSite=Lax`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), path: Cow::Borrowed("/"), same_site: SameSite::Lax }
    }

    /// Sets `SameSite`.
    #[must_use]
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets `Path`, which must begin with `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = path.into();
        self
    }

    pub(crate) fn new(name: String) -> Self {
        Self { name: name.into(), ..Self::named("") }
    }

    pub(crate) fn check(&self, secure: bool) -> Result<(), ConfigError> {
        let token_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if self.name.is_empty() || !self.name.chars().all(token_char) {
            return Err(ConfigError::CookieName(self.name.clone().into_owned()));
        }
        let path_char = |c: char| (c == ' ' || c.is_ascii_graphic()) && c != ';';
        if !self.path.starts_with('/') || !self.path.chars().all(path_char) {
            return Err(ConfigError::CookiePath(self.path.clone().into_owned()));
        }
        if self.same_site == SameSite::None && !secure {
            return Err(ConfigError::SameSiteNone(self.name.clone().into_owned()));
        }
        Ok(())
    }
}

/// The settings of all cookies.
#[derive(Clone, Debug)]
pub(crate) struct CookieSettings {
    pub session: CookieOptions,
    pub remember_me: CookieOptions,
    pub device: CookieOptions,
    pub mfa_trust: CookieOptions,
    pub oauth: CookieOptions,
    pub binding: CookieOptions,
    pub secure: bool,
    pub domain: Option<String>,
    pub trusted_origins: Vec<String>,
    /// The entries of the cookie session that survive a login, besides the path to return to.
    pub survives_renewal: Vec<String>,
}

impl CookieSettings {
    /// Returns the defaults of an application.
    pub fn of(app: &str) -> Self {
        let named = |suffix| CookieOptions::new(format!("_{app}_{suffix}"));
        Self {
            session: named("key"),
            remember_me: named("web_user_remember_me"),
            device: named("device"),
            mfa_trust: named("mfa_trust"),
            oauth: named("oauth"),
            binding: named("binding"),
            secure: false,
            domain: None,
            trusted_origins: Vec::new(),
            survives_renewal: Vec::new(),
        }
    }

    pub fn check(&self) -> Result<(), ConfigError> {
        self.domain.as_deref().map_or(Ok(()), check_domain)?;
        let Self { session, remember_me, device, mfa_trust, oauth, binding, .. } = self;
        let cookies = [session, remember_me, device, mfa_trust, oauth, binding];
        for (at, cookie) in cookies.into_iter().enumerate() {
            cookie.check(self.secure)?;
            if cookies[..at].iter().any(|earlier| earlier.name == cookie.name) {
                return Err(ConfigError::SameCookieName(cookie.name.clone().into_owned()));
            }
        }
        OwnOrigins::new(&self.trusted_origins).map(drop)
    }
}

fn check_domain(domain: &str) -> Result<(), ConfigError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || domain.parse::<IpAddr>().is_ok() || !domain.split('.').all(is_label) {
        return Err(ConfigError::CookieDomain(domain.to_owned()));
    }
    match psl::domain_str(domain) {
        Some(_) => Ok(()),
        None => Err(ConfigError::PublicSuffix(domain.to_owned())),
    }
}
