//! The settings, with their defaults and checks.

#[cfg(feature = "api-tokens")]
mod bearer_tokens;
mod links;
#[cfg(feature = "live")]
mod live_connections;
mod login_methods;
pub(crate) mod pages;
mod passwords;
mod requests;
mod second_factors;

use std::{borrow::Cow, time::Duration};

#[cfg(feature = "api-tokens")]
use self::bearer_tokens::BearerTokens;
#[cfg(feature = "live")]
use self::live_connections::LiveSettings;
use self::{
    links::LinkLifetimes,
    login_methods::LoginMethods,
    pages::{Message, Page, Pages},
    passwords::PasswordSettings,
    requests::RequestSettings,
    second_factors::SecondFactors,
};
#[cfg(feature = "oauth-server")]
use crate::model::authorization_server::AuthorizationServer;
#[cfg(feature = "live")]
use crate::model::limit::LiveLimit;
#[cfg(feature = "api-tokens")]
use crate::model::permission::PermissionList;
use crate::{
    base::{
        clock::Clock,
        config_error::{MAX_CACHED_SCOPES, MAX_DURATION},
        keys::{SecretKeyBase, Secrets},
    },
    browser::cookie_options::CookieSettings,
    model::{limit::AddressLimit, session::Lifetimes},
    password::breach::BreachCheck,
};

/// A network of IP addresses, for [`Config::trusted_proxies`].
pub use ipnet::IpNet;

pub use cookie::SameSite;

pub use self::pages::PageMessage;
pub use crate::{
    base::config_error::ConfigError, browser::cookie_options::CookieOptions, password::params::Argon2Params,
};

#[cfg(feature = "device-bound")]
pub use crate::model::device_bound::{BindingMode, DeviceBound};
#[cfg(feature = "passkeys")]
pub use crate::model::relying_party::RelyingParty;

/// The settings of [`Sigra`](crate::Sigra), each with a default that is safe to ship.
///
/// ```
/// use std::time::Duration;
/// use sigra::{Config, SecretKeyBase};
///
/// let config = Config::new("my_app", SecretKeyBase::generate()?)
///     .session_ttl(Duration::from_secs(14 * 24 * 60 * 60))
///     .secure_cookies(true);
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) secrets: Secrets,
    pub(crate) clock: Clock,
    pub(crate) sessions: Lifetimes,
    pub(crate) cached_scopes: usize,
    #[cfg(feature = "device-bound")]
    pub(crate) device_bound: Option<DeviceBound>,
    pub(crate) cookies: CookieSettings,
    pub(crate) pages: Pages,
    pub(crate) passwords: PasswordSettings,
    pub(crate) login_methods: LoginMethods,
    pub(crate) second_factors: SecondFactors,
    pub(crate) links: LinkLifetimes,
    #[cfg(feature = "api-tokens")]
    pub(crate) bearer_tokens: BearerTokens,
    #[cfg(feature = "oauth-server")]
    pub(crate) oauth_server: Option<AuthorizationServer>,
    pub(crate) requests: RequestSettings,
    #[cfg(feature = "live")]
    pub(crate) live: LiveSettings,
    pub(crate) purge_interval: Option<Duration>,
    pub(crate) audit_retention: Option<Duration>,
}

/// Set-up.
impl Config {
    /// Creates the default settings of an application. Its cookies are named `_<app>_key` and
    /// `_<app>_web_user_remember_me`.
    #[must_use]
    pub fn new(app: &str, secret_key_base: SecretKeyBase) -> Self {
        Self {
            secrets: Secrets { newest: secret_key_base, older: Vec::new() },
            clock: Clock::system(),
            sessions: Lifetimes::default(),
            cached_scopes: 10_000,
            #[cfg(feature = "device-bound")]
            device_bound: None,
            cookies: CookieSettings::of(app),
            pages: Pages::default(),
            passwords: PasswordSettings::default(),
            login_methods: LoginMethods::default(),
            second_factors: SecondFactors::of(app),
            links: LinkLifetimes::default(),
            #[cfg(feature = "api-tokens")]
            bearer_tokens: BearerTokens::of(app),
            #[cfg(feature = "oauth-server")]
            oauth_server: None,
            requests: RequestSettings::default(),
            #[cfg(feature = "live")]
            live: LiveSettings::default(),
            purge_interval: Some(Duration::from_mins(60)),
            audit_retention: Some(Duration::from_hours(365 * 24)),
        }
    }

    /// Sets the secrets that are being rotated out (default: none).
    ///
    /// They still verify, but no longer sign. A cookie that one of them signed is signed again with the newest when it
    /// is next used.
    #[must_use]
    pub fn older_secrets(mut self, secrets: impl IntoIterator<Item = SecretKeyBase>) -> Self {
        self.secrets.older = secrets.into_iter().collect();
        self
    }

    /// Sets the clock that ages are measured with (default: the system's). Tests pass one that they can advance.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks all settings. [`Sigra::new`](crate::Sigra::new) does so too: call this to fail before you open the
    /// database.
    ///
    /// ```
    /// use sigra::{Config, SecretKeyBase};
    ///
    /// let config = Config::new("my_app", SecretKeyBase::generate()?).cookie_domain("co.uk".to_owned());
    /// assert_eq!(
    ///     config.check().unwrap_err().to_string(),
    ///     "`Config::cookie_domain` is `co.uk`, a public suffix that browsers refuse: use a domain of your own, such as \
    ///      `example.co.uk`",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`], in one sentence that names the setting and how to fix it.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_secrets()?;
        self.sessions.check()?;
        self.check_cached_scopes()?;
        #[cfg(feature = "device-bound")]
        self.check_device_bound()?;
        self.cookies.check()?;
        self.passwords.check()?;
        #[cfg(feature = "passkeys")]
        self.login_methods.passkeys.check()?;
        self.second_factors.check()?;
        self.links.check()?;
        #[cfg(feature = "api-tokens")]
        self.bearer_tokens.check()?;
        #[cfg(feature = "oauth-server")]
        self.oauth_server.as_ref().map_or(Ok(()), AuthorizationServer::check)?;
        self.requests.check()?;
        self.check_purge_interval()
    }

    fn check_secrets(&self) -> Result<(), ConfigError> {
        match self.cookies.secure && self.secrets.newest.is_predictable() {
            true => Err(ConfigError::PredictableSecret),
            false => Ok(()),
        }
    }

    fn check_cached_scopes(&self) -> Result<(), ConfigError> {
        match self.cached_scopes {
            0..=MAX_CACHED_SCOPES => Ok(()),
            scopes => Err(ConfigError::CachedScopes(scopes)),
        }
    }

    #[cfg(feature = "device-bound")]
    fn check_device_bound(&self) -> Result<(), ConfigError> {
        match &self.device_bound {
            Some(_) if !self.cookies.secure => Err(ConfigError::BindingNotSecure),
            Some(device_bound) => device_bound.check(),
            None => Ok(()),
        }
    }

    fn check_purge_interval(&self) -> Result<(), ConfigError> {
        match self.purge_interval {
            Some(interval) if interval.is_zero() || interval > MAX_DURATION => {
                Err(ConfigError::Duration("purge_interval"))
            }
            _ => Ok(()),
        }
    }
}

/// Sessions.
impl Config {
    /// Sets how long a session lasts after the login (default: 60 days). Activity doesn't extend it.
    ///
    /// NIST SP 800-63B-4 section 2.1.3 recommends at most 30 days at AAL1 and 24 hours at AAL2.
    #[must_use]
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.sessions.ttl = ttl;
        self
    }

    /// Sets how long a session that isn't remembered lasts without a request (default: no limit).
    ///
    /// NIST SP 800-63B-4 section 2.2.3 recommends at most one hour at AAL2.
    #[must_use]
    pub fn session_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.sessions.idle_timeout = timeout.into();
        self
    }

    /// Sets the age at which a session token is reissued (default: 7 days).
    #[must_use]
    pub fn session_reissue_age(mut self, age: Duration) -> Self {
        self.sessions.reissue_age = age;
        self
    }

    /// Sets how long the old token stays valid after the reissued one was first presented (default: 1 minute). Requests
    /// that were already on their way still have the old one.
    #[must_use]
    pub fn reissue_grace(mut self, grace: Duration) -> Self {
        self.sessions.reissue_grace = grace;
        self
    }

    /// Sets how long an authentication counts as recent (default: 20 minutes).
    #[must_use]
    pub fn sudo_ttl(mut self, ttl: Duration) -> Self {
        self.sessions.sudo_ttl = ttl;
        self
    }

    /// Sets how many scopes are kept in memory between requests (default: 10,000). With 0, every request queries the
    /// database. A scope takes about a kilobyte, plus what the host's user holds.
    ///
    /// A revoked session is never served from the cache: see [`scope`](crate::scope#the-cache).
    #[must_use]
    pub fn cached_scopes(mut self, scopes: usize) -> Self {
        self.cached_scopes = scopes;
        self
    }

    /// Binds sessions to the [devices](crate::device_bound) they begin on, over HTTPS and in browsers that support it
    /// (default: none, so no session is bound, and bound ones are used like any other).
    #[cfg(feature = "device-bound")]
    #[must_use]
    pub fn device_bound(mut self, device_bound: impl Into<Option<DeviceBound>>) -> Self {
        self.device_bound = device_bound.into();
        self
    }
}

/// Cookies.
impl Config {
    /// Sets whether cookies are `Secure` (default: no). Turn it on wherever there is TLS.
    ///
    /// The names of `Secure` cookies begin with `__Host-` or, with a [cookie domain](Self::cookie_domain) or a path
    /// other than `/`, with `__Secure-` (RFC 6265bis section 4.1.3). A [predictable](SecretKeyBase::is_predictable)
    /// secret is then refused.
    #[must_use]
    pub fn secure_cookies(mut self, secure: bool) -> Self {
        self.cookies.secure = secure;
        self
    }

    /// Sets the `Domain` of the cookies, to share a login among subdomains (default: none, this host only).
    #[must_use]
    pub fn cookie_domain(mut self, domain: impl Into<Option<String>>) -> Self {
        self.cookies.domain = domain.into().map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        self
    }

    /// Sets name, path and `SameSite` of the cookie session (default name: `_<app>_key`).
    #[must_use]
    pub fn session_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.session = options;
        self
    }

    /// Sets name, path and `SameSite` of the remember-me cookie (default name: `_<app>_web_user_remember_me`).
    #[must_use]
    pub fn remember_me_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.remember_me = options;
        self
    }

    /// Sets name, path and `SameSite` of the cookie of a known browser (default name: `_<app>_device`). The cookie logs
    /// nobody in.
    #[must_use]
    pub fn device_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.device = options;
        self
    }

    /// Sets name, path and `SameSite` of the cookie of a trusted browser (default name: `_<app>_mfa_trust`). The cookie
    /// logs nobody in.
    #[must_use]
    pub fn mfa_trust_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.mfa_trust = options;
        self
    }

    /// Sets name, path and `SameSite` of the bound cookie, which browsers renew with the key of the device (default
    /// name: `_<app>_binding`). The cookie logs nobody in.
    #[cfg(feature = "device-bound")]
    #[must_use]
    pub fn binding_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.binding = options;
        self
    }

    /// Sets the entries of the cookie session that survive a login or a renewal, besides the path to return to
    /// (default: none).
    #[must_use]
    pub fn survives_renewal<T: Into<String>>(mut self, entries: impl IntoIterator<Item = T>) -> Self {
        self.cookies.survives_renewal = entries.into_iter().map(Into::into).collect();
        self
    }
}

/// Pages.
impl Config {
    /// Sets the login page (default: `/users/log-in`), and the flash message for visitors who are redirected to it.
    ///
    /// The message can be a function, which is called within the request: then it can be in the language of the visitor.
    ///
    /// ```
    /// # fn configure(config: sigra::Config) -> sigra::Config {
    /// config.login_page("/log-in", "Log in to continue.")
    /// # }
    /// ```
    #[must_use]
    pub fn login_page(mut self, path: impl Into<Cow<'static, str>>, message: impl PageMessage) -> Self {
        self.pages.login = Page::new(path, message);
        self
    }

    /// Sets the page where users reauthenticate (default: `/users/sudo`), and the flash message for users who are
    /// redirected to it because their authentication is no longer recent.
    #[must_use]
    pub fn sudo_page(mut self, path: impl Into<Cow<'static, str>>, message: impl PageMessage) -> Self {
        self.pages.sudo = Page::new(path, message);
        self
    }

    /// Sets the flash message for a user who submitted a form after sudo mode had expired. Once they have
    /// reauthenticated, they return to [the form's page](crate::scope::FormPage).
    #[must_use]
    pub fn sudo_form_message(mut self, message: impl PageMessage) -> Self {
        self.pages.sudo_form_message = Message::of(message);
        self
    }

    /// Sets the page that asks for a pending second factor (default: `/users/mfa-challenge`), and the flash message
    /// that it shows.
    #[must_use]
    pub fn mfa_challenge_page(mut self, path: impl Into<Cow<'static, str>>, message: impl PageMessage) -> Self {
        self.pages.mfa_challenge = Page::new(path, message);
        self
    }

    /// Sets the page where a user sets up a [required](crate::AuthUser::requires_second_factor) second factor (default:
    /// `/users/settings/mfa`), and the flash message that it shows.
    #[must_use]
    pub fn mfa_enrollment_page(mut self, path: impl Into<Cow<'static, str>>, message: impl PageMessage) -> Self {
        self.pages.mfa_enrollment = Page::new(path, message);
        self
    }
}

/// Passwords.
impl Config {
    /// Sets the cost of a password hash (default: OWASP's first choice for Argon2id).
    #[must_use]
    pub fn argon2(mut self, params: Argon2Params) -> Self {
        self.passwords.argon2 = params;
        self
    }

    /// Sets how many passwords are hashed at the same time (default: one for each core). Each takes
    /// [`Argon2Params::memory_kib`] of memory.
    #[must_use]
    pub fn password_workers(mut self, workers: usize) -> Self {
        self.passwords.workers = workers;
        self
    }

    /// Sets how long a login waits for a free password worker before it gets a 503 (default: 5 seconds).
    #[must_use]
    pub fn password_worker_timeout(mut self, wait: Duration) -> Self {
        self.passwords.worker_timeout = wait;
        self
    }

    /// Sets the service that checks whether a new password leaked in a breach (default: none). See
    /// [`Sigra::check_breached`](crate::Sigra::check_breached).
    #[must_use]
    pub fn breach_check(mut self, check: impl Into<Option<BreachCheck>>) -> Self {
        self.passwords.breach_check = check.into();
        self
    }
}

/// Other ways to log in.
impl Config {
    /// Sets whether users can log in with a link that is sent by email (default: no). Then every user has a way to log
    /// in, and can remove their last passkey or linked account. Otherwise, [removing it](crate::Error::LastLoginMethod)
    /// is refused to users without a password.
    #[must_use]
    pub fn login_links(mut self, on: bool) -> Self {
        self.login_methods.links = on;
        self
    }

    /// Sets the names of the providers that users can log in with (default: none), such as `google`. Only accounts at
    /// these count as a way to log in when a user removes another one.
    ///
    /// ```
    /// # use sigra::{Config, SecretKeyBase};
    /// let config = Config::new("my_app", SecretKeyBase::generate()?).login_providers(["google", "corp"]);
    /// # Ok::<(), sigra::Error>(())
    /// ```
    #[cfg(feature = "oauth")]
    #[must_use]
    pub fn login_providers<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.login_methods.providers = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        self
    }

    /// Sets the WebAuthn relying party: the domain and the origin of passkeys (default: none, so passkeys are off).
    #[cfg(feature = "passkeys")]
    #[must_use]
    pub fn relying_party(mut self, relying_party: impl Into<Option<RelyingParty>>) -> Self {
        self.login_methods.passkeys.relying_party = relying_party.into();
        self
    }

    /// Sets the maximum number of passkeys for each user (default: 10).
    #[cfg(feature = "passkeys")]
    #[must_use]
    pub fn passkeys_per_user(mut self, max: usize) -> Self {
        self.login_methods.passkeys.per_user = max;
        self
    }
}

/// Second factors.
impl Config {
    /// Sets the name that authenticator apps show for the application (default: the name passed to
    /// [`new`](Self::new)).
    #[must_use]
    pub fn mfa_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.second_factors.issuer = issuer.into();
        self
    }

    /// Sets how long a second factor can be pending after a login (default: 10 minutes).
    #[must_use]
    pub fn mfa_challenge_ttl(mut self, ttl: Duration) -> Self {
        self.sessions.challenge_ttl = ttl;
        self
    }

    /// Sets how long a trusted browser skips the second factor (default: 30 days).
    #[must_use]
    pub fn mfa_trust_ttl(mut self, ttl: Duration) -> Self {
        self.second_factors.trust_ttl = ttl;
        self
    }
}

/// Links in emails.
impl Config {
    /// Sets the lifetime of a link that confirms an email address (default: 24 hours).
    #[must_use]
    pub fn confirm_ttl(mut self, ttl: Duration) -> Self {
        self.links.confirm = ttl;
        self
    }

    /// Sets the lifetime of a link that resets a password (default: 60 minutes).
    ///
    /// NIST SP 800-63B-4 section 4.2.1.2 allows at most 24 hours for a secret that is sent by email.
    #[must_use]
    pub fn reset_ttl(mut self, ttl: Duration) -> Self {
        self.links.reset = ttl;
        self
    }

    /// Sets the lifetime of a login link (default: 15 minutes).
    #[must_use]
    pub fn login_link_ttl(mut self, ttl: Duration) -> Self {
        self.links.login = ttl;
        self
    }

    /// Sets the lifetime of a link that changes an email address (default: 24 hours).
    #[must_use]
    pub fn change_email_ttl(mut self, ttl: Duration) -> Self {
        self.links.change_email = ttl;
        self
    }

    /// Sets the lifetime of a link that [recovers an account](crate::Recovery::recover_in) (default: 7 days).
    #[must_use]
    pub fn recovery_ttl(mut self, ttl: Duration) -> Self {
        self.links.recovery = ttl;
        self
    }
}

/// Bearer tokens.
#[cfg(feature = "api-tokens")]
impl Config {
    /// Sets all permissions that bearer tokens can have (default: none). Each route names those that it requires, in
    /// its handler's arguments.
    ///
    /// ```
    /// # use sigra::{Config, Permission, SecretKeyBase, bearer::PermissionList};
    /// struct ReadProjects;
    ///
    /// impl Permission for ReadProjects {
    ///     const NAME: &'static str = "projects:read";
    ///     const DESCRIPTION: &'static str = "See your projects";
    /// }
    ///
    /// let config = Config::new("my_app", SecretKeyBase::generate()?)
    ///     .permissions(PermissionList::new().with::<ReadProjects>());
    /// # Ok::<(), sigra::Error>(())
    /// ```
    #[must_use]
    pub fn permissions(mut self, permissions: PermissionList) -> Self {
        self.bearer_tokens.permissions = permissions;
        self
    }

    /// Sets the prefix of bearer tokens, such as `my_app` for `my_app_pat_…` (default: the name passed to
    /// [`new`](Self::new)). It is also the realm in `WWW-Authenticate`. Tokens with another prefix are refused, so set
    /// it before you rename an application.
    #[must_use]
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.bearer_tokens.prefix = prefix.into();
        self
    }

    /// Sets the maximum number of personal access tokens for each user, without expired ones (default: 50).
    #[must_use]
    pub fn api_tokens_per_user(mut self, max: usize) -> Self {
        self.bearer_tokens.per_user = max;
        self
    }

    /// Sets the URL of the metadata that says where clients get tokens (RFC 9728; default: none). A request without a
    /// valid token gets it in `WWW-Authenticate`.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<Option<String>>) -> Self {
        self.bearer_tokens.resource_metadata = url.into();
        self
    }

    /// Sets the clients of the [OAuth server](crate::oauth_server), and how long their tokens are valid (default: none,
    /// so the server is off).
    #[cfg(feature = "oauth-server")]
    #[must_use]
    pub fn oauth_server(mut self, server: impl Into<Option<AuthorizationServer>>) -> Self {
        self.oauth_server = server.into();
        self
    }
}

/// Requests.
impl Config {
    /// Sets the networks whose `X-Forwarded-For` is trusted (default: none, the header is ignored).
    ///
    /// A network that contains a large part of the internet is refused, because clients could then choose their own IP
    /// address.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.requests.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// Sets the origins, such as `https://app.example.com`, that can send unsafe requests and open live connections,
    /// besides the application's own (default: none). Origins of an app's web view are allowed too, such as
    /// `capacitor://localhost` or `tauri://localhost`.
    #[must_use]
    pub fn trusted_origins<T: Into<String>>(mut self, origins: impl IntoIterator<Item = T>) -> Self {
        self.cookies.trusted_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Turns the rate limits of accounts and IP addresses on or off (default: on). Turn them off only in tests and
    /// development: without limits, passwords can be guessed.
    #[must_use]
    pub fn rate_limits(mut self, on: bool) -> Self {
        self.requests.rate_limits = on;
        self
    }

    /// Sets how many requests an IP address can send to the pages of accounts (default: 100, then one per second).
    #[must_use]
    pub fn address_limit(mut self, limit: AddressLimit) -> Self {
        self.requests.address_limit = limit;
        self
    }

    /// Sets how long the body of an unsafe request can stall before reading it fails (default: 30 seconds).
    ///
    /// Such a request runs to its end [even if its client disconnects](crate::scope::FetchCurrentScopeLayer), so a body
    /// that never ends would keep it running forever.
    #[must_use]
    pub fn body_timeout(mut self, patience: Duration) -> Self {
        self.requests.body_timeout = patience;
        self
    }
}

/// Live connections.
#[cfg(feature = "live")]
impl Config {
    /// Sets how many live connections a session and a user can have at the same time, in each process (default: 50 and
    /// 200). Further ones get a 429.
    #[must_use]
    pub fn live_connections(mut self, limit: LiveLimit) -> Self {
        self.live.limit = limit;
        self
    }

    /// Sets how long live connections stay open while the database is unreachable, so that nobody knows whether their
    /// sessions still exist (default: 5 minutes).
    #[must_use]
    pub fn live_without_database(mut self, limit: Duration) -> Self {
        self.live.without_database = limit;
        self
    }
}

/// Housekeeping.
impl Config {
    /// Sets how often expired rows are purged in the background (default: an hour, plus or minus half of it). `None`
    /// turns that off.
    ///
    /// The layer [`fetch_current_scope`](crate::Sigra::fetch_current_scope) starts the purge. A host that serves no
    /// request through the layer must call [`purge_expired`](crate::Housekeeping::purge_expired) itself.
    #[must_use]
    pub fn purge_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.purge_interval = interval.into();
        self
    }

    /// Sets how long the events of the [audit trail](crate::audit) are kept (default: a year). `None` keeps them
    /// forever. They have IP addresses and browsers, which are personal data.
    #[must_use]
    pub fn audit_retention(mut self, retention: impl Into<Option<Duration>>) -> Self {
        self.audit_retention = retention.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("my_app", SecretKeyBase::generate().expect("randomness"))
    }

    fn error(config: &Config) -> String {
        config.check().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(config().check(), Ok(()));
        assert_eq!(config().secure_cookies(true).check(), Ok(()));
    }

    #[test]
    fn a_cookie_domain_must_be_registrable_or_below() {
        for good in ["example.com", "app.example.co.uk", ".Example.com", "app.localhost"] {
            assert_eq!(config().cookie_domain(good.to_owned()).check(), Ok(()), "{good}");
        }
        for suffix in ["com", "co.uk", "github.io", "localhost"] {
            assert!(error(&config().cookie_domain(suffix.to_owned())).contains("public suffix"), "{suffix}");
        }
        for bad in ["", "https://example.com", "example.com:443", "127.0.0.1", "exa mple.com", "a..com", "-a.com"] {
            assert!(error(&config().cookie_domain(bad.to_owned())).contains("not a domain name"), "{bad}");
        }
    }

    #[test]
    fn times_must_be_positive_and_finite() {
        assert_eq!(
            error(&config().session_ttl(Duration::ZERO)),
            "`Config::session_ttl` must be between 1 second and 10 years"
        );
        assert_eq!(config().session_ttl(MAX_DURATION).check(), Ok(()));
        let setters: [fn(Config, Duration) -> Config; 12] = [
            Config::session_ttl,
            Config::session_reissue_age,
            Config::reissue_grace,
            Config::sudo_ttl,
            Config::confirm_ttl,
            Config::reset_ttl,
            Config::login_link_ttl,
            Config::change_email_ttl,
            Config::recovery_ttl,
            Config::mfa_challenge_ttl,
            Config::mfa_trust_ttl,
            |config, time| config.session_idle_timeout(time),
        ];
        for set in setters {
            for time in [Duration::ZERO, MAX_DURATION + Duration::from_secs(1), Duration::MAX] {
                assert!(error(&set(config(), time)).ends_with("must be between 1 second and 10 years"));
            }
        }
        assert_eq!(config().password_worker_timeout(Duration::ZERO).check(), Ok(()), "zero means not to wait");
        assert!(error(&config().password_worker_timeout(Duration::MAX)).contains("password_worker_timeout"));
        assert!(error(&config().body_timeout(Duration::MAX)).contains("body_timeout"));
        assert!(error(&config().purge_interval(Duration::MAX)).contains("purge_interval"));
        assert!(error(&config().purge_interval(Duration::ZERO)).contains("purge_interval"));
        assert_eq!(config().purge_interval(None).check(), Ok(()));
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_where_cookies_are_secure() {
        for secret in ["a".repeat(64), "0123456789".repeat(7), "secret".repeat(11), "Ab1".repeat(30)] {
            let config = Config::new("my_app", SecretKeyBase::new(secret.clone()).expect("long enough"));
            assert_eq!(config.check(), Ok(()), "accepted in development");
            let message = error(&config.secure_cookies(true));
            assert!(message.starts_with("the secret key base has too few") && !message.contains(&secret), "{message}");
        }
    }

    #[test]
    fn a_network_that_clients_could_be_in_is_not_trusted() {
        let with = |network: &str| config().trusted_proxies([network.parse::<IpNet>().expect("a network")]);
        for everybody in ["0.0.0.0/0", "::/0", "128.0.0.0/1", "8000::/1", "::ffff:0.0.0.0/96", "::ffff:128.0.0.0/97"] {
            assert!(error(&with(everybody)).starts_with("`Config::trusted_proxies` has "), "{everybody}");
        }
        for own in ["10.0.0.0/8", "fc00::/7", "192.0.2.1/32", "::1/128", "::ffff:10.0.0.0/104", "2400:cb00::/32"] {
            assert_eq!(with(own).check(), Ok(()), "{own}");
        }
    }

    #[test]
    fn cookies_that_browsers_refuse_are_refused() {
        assert!(error(&config().session_cookie(CookieOptions::named("a b"))).contains("not a cookie name"));
        let none = CookieOptions::named("c").same_site(SameSite::None);
        assert!(error(&config().session_cookie(none.clone())).contains("SameSite=None"));
        assert_eq!(config().secure_cookies(true).session_cookie(none).check(), Ok(()));
        for path in ["", "users", "/; Domain=example.org", "/\r\nX: y", "/\u{e9}"] {
            let cookie = CookieOptions { path: path.into(), ..CookieOptions::named("c") };
            assert!(error(&config().session_cookie(cookie)).contains("is not a cookie's path"), "{path}");
        }
        let twice = config().session_cookie(CookieOptions::named("c")).remember_me_cookie(CookieOptions::named("c"));
        assert!(error(&twice).contains("different names"));
    }

    #[cfg(feature = "api-tokens")]
    #[test]
    fn permissions_and_prefixes_that_cannot_work_are_refused() {
        use crate::model::permission::Permission;

        struct Read;
        impl Permission for Read {
            const NAME: &'static str = "projects:read";
            const DESCRIPTION: &'static str = "See your projects";
        }
        struct Bad;
        impl Permission for Bad {
            const NAME: &'static str = "see projects";
            const DESCRIPTION: &'static str = "See your projects";
        }
        let with = |list: PermissionList| config().permissions(list);
        assert_eq!(with(PermissionList::new().with::<Read>()).check(), Ok(()));
        assert_eq!(
            error(&with(PermissionList::new().with::<Read>().with::<Read>())),
            "two permissions are named `projects:read`: rename one of them"
        );
        assert!(
            error(&with(PermissionList::new().with::<Bad>())).starts_with("`see projects` can't name a permission")
        );
        for bad in ["", "my-app", "a b", "é", &"a".repeat(41)] {
            assert!(error(&config().token_prefix(bad)).contains("can't be the prefix of tokens"), "{bad}");
        }
        let named = |app: &str| Config::new(app, SecretKeyBase::generate().expect("randomness")).bearer_tokens.prefix;
        assert_eq!([named("my-app"), named("Shop.é"), named("")], ["my_app", "Shop__", "app"]);
        assert!(error(&config().resource_metadata("https://a\" b".to_owned())).contains("Config::resource_metadata"));
    }

    #[test]
    fn workers_scopes_parameters_and_origins_that_cannot_work_are_refused() {
        for workers in [0, usize::MAX] {
            let said = format!("`Config::password_workers` is {workers}: use at least 1");
            assert!(error(&config().password_workers(workers)).starts_with(&said));
        }
        assert!(error(&config().cached_scopes(usize::MAX)).contains("at most 10000000"));
        assert_eq!(config().cached_scopes(MAX_CACHED_SCOPES).check(), Ok(()));
        for (memory_kib, iterations) in [(1, 0), (1, 1), (u32::MAX, 1)] {
            let argon2 = Argon2Params { memory_kib, iterations, parallelism: 1 };
            assert!(error(&config().argon2(argon2)).contains("Argon2id can't run"));
        }
        assert!(error(&config().trusted_origins(["example.com"])).contains("is not an origin"));
    }
}
