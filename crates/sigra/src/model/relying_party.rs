//! The relying party of passkeys.

use url::{Host, Url};
use webauthn_rs::prelude::*;

use crate::{base::config_error::ConfigError, model::second_factor::CEREMONY_TTL};

/// The domain and the origin of passkeys (WebAuthn section 4, "relying party").
///
/// Browsers keep a passkey for a domain, and sign with it only at an origin of that domain, so it can't be phished.
///
/// ```
/// use sigra::config::RelyingParty;
///
/// let relying_party = RelyingParty::new("example.com", "https://app.example.com").name("My App");
/// # let _ = relying_party;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    domain: String,
    origin: String,
    name: Option<String>,
}

impl RelyingParty {
    /// Creates a relying party from the domain of the passkeys, which can't be changed later, and the origin of the
    /// pages that use them, at that domain or a subdomain.
    #[must_use]
    pub fn new(domain: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { domain: domain.into(), origin: origin.into(), name: None }
    }

    /// Sets the name that users know the application by (default: its domain).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Checks that browsers make passkeys for it. [`Config::check`](crate::Config::check) does so too.
    ///
    /// ```
    /// use sigra::config::RelyingParty;
    ///
    /// assert!(RelyingParty::new("localhost", "http://localhost:4000").check().is_ok());
    /// assert!(RelyingParty::new("my-app.test", "http://my-app.test").check().is_err(), "there is no TLS");
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::RelyingParty`], which names the domain and the origin.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.to_webauthn().map(drop)
    }

    pub(crate) fn to_webauthn(&self) -> Result<Webauthn, ConfigError> {
        let refused = || ConfigError::RelyingParty { domain: self.domain.clone(), origin: self.origin.clone() };
        let origin = Url::parse(&self.origin).ok().filter(|url| self.is_valid_origin(url)).ok_or_else(refused)?;
        let builder = WebauthnBuilder::new(&self.domain, &origin).map_err(|_| refused())?;
        let name = self.name.as_deref().unwrap_or(&self.domain);
        builder.rp_name(name).timeout(CEREMONY_TTL).build().map_err(|_| refused())
    }

    /// Browsers make passkeys only in secure contexts, and only for domains that somebody can own.
    fn is_valid_origin(&self, origin: &Url) -> bool {
        let is_localhost = self.domain == "localhost" || self.domain.ends_with(".localhost");
        let has_no_path = origin.path() == "/" && origin.query().is_none() && origin.fragment().is_none();
        let is_secure = origin.scheme() == "https" || (origin.scheme() == "http" && is_localhost);
        let is_domain = matches!(origin.host(), Some(Host::Domain(_)));
        has_no_path && is_secure && is_domain && (is_localhost || psl::domain_str(&self.domain).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_made_for_domains_that_browsers_accept() {
        for (domain, origin) in [
            ("example.com", "https://example.com"),
            ("example.com", "https://app.example.com"),
            ("app.example.com", "https://app.example.com:8443"),
            ("localhost", "http://localhost:4000"),
            ("app.localhost", "http://app.localhost:4000/"),
        ] {
            assert!(RelyingParty::new(domain, origin).to_webauthn().is_ok(), "{domain} at {origin}");
        }
        for (domain, origin) in [
            ("example.com", "http://example.com"),
            ("example.com", "https://example.org"),
            ("example.com", "https://badexample.com"),
            ("app.example.com", "https://example.com"),
            ("com", "https://example.com"),
            ("127.0.0.1", "http://127.0.0.1:4000"),
            ("localhost", "http://127.0.0.1:4000"),
            ("example.com", "https://example.com/app"),
            ("example.com", "example.com"),
            ("", "https://example.com"),
        ] {
            assert!(RelyingParty::new(domain, origin).to_webauthn().is_err(), "{domain} at {origin}");
        }
    }
}
