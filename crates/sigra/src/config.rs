//! Every setting, its default, and its check at start.

use std::{borrow::Cow, net::IpAddr, time::Duration};

#[cfg(feature = "live")]
use crate::model::limit::LiveLimit;
use crate::{
    base::{
        clock::Clock,
        config_error::{MAX_CACHED_SCOPES, MAX_PASSWORD_WORKERS},
        keys::{SecretKeyBase, Secrets},
        origin::OwnOrigins,
    },
    browser::cookie_options::CookieSettings,
    model::{limit::AddressLimit, session::Lifetimes},
    password::breach::BreachCheck,
};

/// A network of proxies, for [`Config::trusted_proxies`].
pub use ipnet::IpNet;

pub use cookie::SameSite;

pub use crate::{
    base::config_error::ConfigError, browser::cookie_options::CookieOptions, password::params::Argon2Params,
};

#[cfg(feature = "passkeys")]
pub use crate::model::relying_party::RelyingParty;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// No time is longer, so that none overflows what it is added to.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The settings of [`Sigra`](crate::Sigra), each with a default that is safe to ship.
///
/// ```
/// use std::time::Duration;
/// use sigra::{Config, SecretKeyBase};
///
/// let config = Config::new("my_app", SecretKeyBase::generate()?)
///     .session_ttl(Duration::from_secs(14 * 24 * 60 * 60))
///     .secure(true);
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) secrets: Secrets,
    pub(crate) sessions: Lifetimes,
    pub(crate) reissue_grace: Duration,
    pub(crate) sudo_ttl: Duration,
    pub(crate) confirm_ttl: Duration,
    pub(crate) reset_ttl: Duration,
    pub(crate) log_in_link_ttl: Duration,
    pub(crate) change_email_ttl: Duration,
    pub(crate) recovery_ttl: Duration,
    pub(crate) mfa_issuer: String,
    #[cfg(feature = "passkeys")]
    pub(crate) passkeys_per_user: usize,
    pub(crate) rate_limits: bool,
    pub(crate) address_limit: AddressLimit,
    pub(crate) cookies: CookieSettings,
    pub(crate) survives_renewal: Vec<String>,
    pub(crate) log_in_path: Cow<'static, str>,
    pub(crate) log_in_message: Cow<'static, str>,
    pub(crate) sudo_path: Cow<'static, str>,
    pub(crate) sudo_message: Cow<'static, str>,
    pub(crate) sudo_form_message: Cow<'static, str>,
    pub(crate) mfa_challenge_path: Cow<'static, str>,
    pub(crate) mfa_challenge_message: Cow<'static, str>,
    pub(crate) mfa_enrolment_path: Cow<'static, str>,
    pub(crate) mfa_enrolment_message: Cow<'static, str>,
    #[cfg(feature = "passkeys")]
    pub(crate) relying_party: Option<RelyingParty>,
    pub(crate) argon2: Argon2Params,
    pub(crate) password_workers: usize,
    pub(crate) password_wait: Duration,
    pub(crate) breach_check: Option<BreachCheck>,
    pub(crate) body_patience: Duration,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) cached_scopes: usize,
    #[cfg(feature = "live")]
    pub(crate) live_connections: LiveLimit,
    #[cfg(feature = "live")]
    pub(crate) live_without_database: Duration,
    pub(crate) audit_retention: Option<Duration>,
    pub(crate) purge_interval: Option<Duration>,
    pub(crate) clock: Clock,
}

impl Config {
    /// The defaults, for an application whose cookies are named `_<app>_key` and
    /// `_<app>_web_user_remember_me`.
    #[must_use]
    pub fn new(app: &str, secret_key_base: SecretKeyBase) -> Self {
        Self {
            secrets: Secrets { newest: secret_key_base, older: Vec::new() },
            sessions: Lifetimes { ttl: 60 * DAY, idle_timeout: None, challenge_ttl: 10 * MINUTE, reissue_age: 7 * DAY },
            reissue_grace: MINUTE,
            sudo_ttl: 20 * MINUTE,
            confirm_ttl: DAY,
            reset_ttl: 60 * MINUTE,
            log_in_link_ttl: 15 * MINUTE,
            change_email_ttl: DAY,
            recovery_ttl: 7 * DAY,
            #[cfg(feature = "passkeys")]
            passkeys_per_user: 10,
            mfa_issuer: app.to_owned(),
            rate_limits: true,
            address_limit: AddressLimit::default(),
            cookies: CookieSettings::of(app),
            survives_renewal: Vec::new(),
            log_in_path: "/users/log-in".into(),
            log_in_message: "You must log in to access this page.".into(),
            sudo_path: "/users/sudo".into(),
            sudo_message: "You must confirm it's you to access this page.".into(),
            sudo_form_message: "Confirm it's you to continue, then send the form again.".into(),
            mfa_challenge_path: "/users/mfa-challenge".into(),
            mfa_challenge_message: "You must present your second factor to access this page.".into(),
            mfa_enrolment_path: "/users/settings/mfa".into(),
            mfa_enrolment_message: "You must set up a second factor to access this page.".into(),
            #[cfg(feature = "passkeys")]
            relying_party: None,
            argon2: Argon2Params::default(),
            password_workers: std::thread::available_parallelism().map_or(1, usize::from),
            password_wait: Duration::from_secs(5),
            breach_check: None,
            body_patience: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            cached_scopes: 10_000,
            #[cfg(feature = "live")]
            live_connections: LiveLimit::default(),
            #[cfg(feature = "live")]
            live_without_database: 5 * MINUTE,
            audit_retention: Some(365 * DAY),
            purge_interval: Some(60 * MINUTE),
            clock: Clock::system(),
        }
    }

    /// Secrets that are being rotated out: they verify, and no longer sign. A cookie that one of them
    /// signed is signed again by the newest at its next use.
    #[must_use]
    pub fn older_secrets(mut self, secrets: impl IntoIterator<Item = SecretKeyBase>) -> Self {
        self.secrets.older = secrets.into_iter().collect();
        self
    }

    /// How long a session lasts, counted from the login (default: 60 days). No activity prolongs it.
    ///
    /// NIST SP 800-63B-4 section 2.1.3 recommends at most 30 days at AAL1 and 24 hours at AAL2.
    #[must_use]
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.sessions.ttl = ttl;
        self
    }

    /// How long a session that is not remembered lasts without a request (default: no limit).
    ///
    /// NIST SP 800-63B-4 section 2.2.3 recommends at most one hour at AAL2.
    #[must_use]
    pub fn session_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.sessions.idle_timeout = timeout.into();
        self
    }

    /// The age from which a session token is replaced by a fresh one (default: 7 days).
    #[must_use]
    pub fn session_reissue_age(mut self, age: Duration) -> Self {
        self.sessions.reissue_age = age;
        self
    }

    /// How long a reissued token's predecessor stays good once the new one was seen, for requests that
    /// were already on their way (default: 1 minute).
    #[must_use]
    pub fn reissue_grace(mut self, grace: Duration) -> Self {
        self.reissue_grace = grace;
        self
    }

    /// How long an authentication counts as recent (default: 20 minutes).
    #[must_use]
    pub fn sudo_ttl(mut self, ttl: Duration) -> Self {
        self.sudo_ttl = ttl;
        self
    }

    /// How long a link is good that confirms an email address (default: 24 hours).
    #[must_use]
    pub fn confirm_ttl(mut self, ttl: Duration) -> Self {
        self.confirm_ttl = ttl;
        self
    }

    /// How long a link is good that sets a new password (default: 60 minutes). NIST SP 800-63B-4 section
    /// 4.2.1.2 allows at most 24 hours for what is sent by mail.
    #[must_use]
    pub fn reset_ttl(mut self, ttl: Duration) -> Self {
        self.reset_ttl = ttl;
        self
    }

    /// How long a link is good that logs in (default: 15 minutes).
    #[must_use]
    pub fn log_in_link_ttl(mut self, ttl: Duration) -> Self {
        self.log_in_link_ttl = ttl;
        self
    }

    /// How long a link is good that changes an email address (default: 24 hours).
    #[must_use]
    pub fn change_email_ttl(mut self, ttl: Duration) -> Self {
        self.change_email_ttl = ttl;
        self
    }

    /// How long a link is good by which an account is [taken back](crate::Recovery::recover_in) (default: 7 days).
    #[must_use]
    pub fn recovery_ttl(mut self, ttl: Duration) -> Self {
        self.recovery_ttl = ttl;
        self
    }

    /// How long a log-in waits for its second factor (default: 10 minutes).
    #[must_use]
    pub fn mfa_challenge_ttl(mut self, ttl: Duration) -> Self {
        self.sessions.challenge_ttl = ttl;
        self
    }

    /// How long a browser is trusted without a second factor (default: 30 days).
    #[must_use]
    pub fn mfa_trust_ttl(mut self, ttl: Duration) -> Self {
        self.cookies.mfa_trust_ttl = ttl;
        self
    }

    /// How many passkeys a user can have (default: 10).
    #[cfg(feature = "passkeys")]
    #[must_use]
    pub fn passkeys_per_user(mut self, most: usize) -> Self {
        self.passkeys_per_user = most;
        self
    }

    /// What the application is called in authenticator apps (default: its name as given to [`new`](Self::new)).
    #[must_use]
    pub fn mfa_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.mfa_issuer = issuer.into();
        self
    }

    /// Name, path and `SameSite` of the cookie by which a browser is trusted without a second factor
    /// (default: `_<app>_mfa_trust`). It logs nobody in.
    #[must_use]
    pub fn mfa_trust_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.mfa_trust = options;
        self
    }

    /// Where a user is sent whose second factor is pending (default: `/users/mfa-challenge`), and the flash shown
    /// there.
    #[must_use]
    pub fn mfa_challenge_at(
        mut self,
        path: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.mfa_challenge_path = path.into();
        self.mfa_challenge_message = message.into();
        self
    }

    /// Where a user is sent who [must have](crate::AuthUser::requires_second_factor) a second factor, and has none
    /// (default: `/users/settings/mfa`), and the flash shown there.
    #[must_use]
    pub fn mfa_enrolment_at(
        mut self,
        path: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.mfa_enrolment_path = path.into();
        self.mfa_enrolment_message = message.into();
        self
    }

    /// Whose passkeys they are (default: nobody's, and there are none).
    #[cfg(feature = "passkeys")]
    #[must_use]
    pub fn relying_party(mut self, relying_party: impl Into<Option<RelyingParty>>) -> Self {
        self.relying_party = relying_party.into();
        self
    }

    /// Whether accounts and addresses are limited (default: yes). Off is for tests and development: without
    /// limits a password can be guessed.
    #[must_use]
    pub fn rate_limits(mut self, on: bool) -> Self {
        self.rate_limits = on;
        self
    }

    /// How many requests an address may send to the pages of accounts (default: a hundred, then one a second).
    #[must_use]
    pub fn address_limit(mut self, limit: AddressLimit) -> Self {
        self.address_limit = limit;
        self
    }

    /// Name, path and `SameSite` of the cookie by which a browser is known again that somebody has logged in
    /// with (default: `_<app>_device`). It logs nobody in.
    #[must_use]
    pub fn device_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.device = options;
        self
    }

    /// Name, path and `SameSite` of the cookie session.
    #[must_use]
    pub fn session_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.session = options;
        self
    }

    /// Name, path and `SameSite` of the remember-me cookie.
    #[must_use]
    pub fn remember_me_cookie(mut self, options: CookieOptions) -> Self {
        self.cookies.remember_me = options;
        self
    }

    /// Whether cookies are `Secure` (default: no; turn it on wherever there is TLS). Their names then begin with
    /// `__Host-` or, where there is a [cookie domain](Self::cookie_domain) or a path of their own, with `__Secure-`
    /// (RFC 6265bis section 4.1.3). A [secret](SecretKeyBase::is_predictable) that can be guessed is refused then.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.cookies.secure = secure;
        self
    }

    /// The `Domain` of the cookies, to share a login among subdomains (default: none, this host only).
    #[must_use]
    pub fn cookie_domain(mut self, domain: impl Into<Option<String>>) -> Self {
        self.cookies.domain = domain.into().map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        self
    }

    /// Entries of the cookie session that survive a login, besides return-to (default: none).
    #[must_use]
    pub fn survives_renewal<T: Into<String>>(mut self, entries: impl IntoIterator<Item = T>) -> Self {
        self.survives_renewal = entries.into_iter().map(Into::into).collect();
        self
    }

    /// Where a visitor is sent who must log in first (default: `/users/log-in`), and the flash shown there.
    #[must_use]
    pub fn log_in_at(mut self, path: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        self.log_in_path = path.into();
        self.log_in_message = message.into();
        self
    }

    /// Where a user is sent whose authentication is no longer recent (default: `/users/sudo`), and the
    /// flash shown there.
    #[must_use]
    pub fn sudo_at(mut self, path: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        self.sudo_path = path.into();
        self.sudo_message = message.into();
        self
    }

    /// What is said to who has sent a form when sudo mode was over. They are led back to
    /// [its page](crate::scope::FormPage) once they have confirmed that it is them.
    #[must_use]
    pub fn sudo_form_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.sudo_form_message = message.into();
        self
    }

    /// The cost of a password hash (default: OWASP's first choice for Argon2id).
    #[must_use]
    pub fn argon2(mut self, params: Argon2Params) -> Self {
        self.argon2 = params;
        self
    }

    /// How many passwords are hashed at once (default: one a core). Each takes
    /// [`Argon2Params::memory_kib`] of memory.
    #[must_use]
    pub fn password_workers(mut self, workers: usize) -> Self {
        self.password_workers = workers;
        self
    }

    /// Asks a service whether a new password leaked in a breach (default: none). See
    /// [`Sigra::check_breached`](crate::Sigra::check_breached).
    #[must_use]
    pub fn breach_check(mut self, check: impl Into<Option<BreachCheck>>) -> Self {
        self.breach_check = check.into();
        self
    }

    /// How long the body of an unsafe request may stand still before the rest of it is an error (default: 30 seconds).
    /// Such a request runs to its end [whatever its client does](crate::scope::FetchCurrentScopeLayer), and must have
    /// one.
    #[must_use]
    pub fn body_patience(mut self, patience: Duration) -> Self {
        self.body_patience = patience;
        self
    }

    /// How long a login waits for a free worker before it is answered with 503 (default: 5 seconds).
    #[must_use]
    pub fn password_wait(mut self, wait: Duration) -> Self {
        self.password_wait = wait;
        self
    }

    /// Networks whose `X-Forwarded-For` is believed (default: none, the header is ignored). One that half of the
    /// internet is in is refused: whoever sends a request could choose their address.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// Origins, such as `https://app.example.com`, that may send unsafe requests and open live
    /// connections besides the application's own (default: none). Those of an app's own web view, such as
    /// `capacitor://localhost` or `tauri://localhost`, may be among them.
    #[must_use]
    pub fn trusted_origins<T: Into<String>>(mut self, origins: impl IntoIterator<Item = T>) -> Self {
        self.cookies.trusted_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// How many scopes are kept in memory between requests (default: 10,000); 0 asks the database at every
    /// request. A scope takes about a kilobyte, and what the host's user holds.
    ///
    /// A revoked session is never answered from here: see [`scope`](crate::scope#the-cache).
    #[must_use]
    pub fn cached_scopes(mut self, scopes: usize) -> Self {
        self.cached_scopes = scopes;
        self
    }

    /// How long the events of the [audit trail](crate::audit) are kept (default: a year); `None`: for ever. They hold
    /// addresses and browsers, which are personal data.
    #[must_use]
    pub fn audit_retention(mut self, retention: impl Into<Option<Duration>>) -> Self {
        self.audit_retention = retention.into();
        self
    }

    /// How many live connections a session and a user may have at the same time, in each process (default: 50 and 200).
    /// One more is answered with 429.
    #[cfg(feature = "live")]
    #[must_use]
    pub fn live_connections(mut self, limit: LiveLimit) -> Self {
        self.live_connections = limit;
        self
    }

    /// How long live connections stay open while the database can't be asked whether their sessions are still good
    /// (default: 5 minutes).
    #[cfg(feature = "live")]
    #[must_use]
    pub fn live_without_database(mut self, limit: Duration) -> Self {
        self.live_without_database = limit;
        self
    }

    /// How often expired rows are deleted in the background (default: every hour, give or take half of
    /// it); `None` leaves that to [`purge_expired_tokens`](crate::Housekeeping::purge_expired).
    #[must_use]
    pub fn purge_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.purge_interval = interval.into();
        self
    }

    /// The clock that ages are measured with. Tests pass one that they can turn.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks all settings. [`Sigra::new`](crate::Sigra::new) does so too; an application calls it
    /// earlier to fail before it opens the database.
    ///
    /// ```
    /// use sigra::{Config, SecretKeyBase};
    ///
    /// let config = Config::new("my_app", SecretKeyBase::generate()?).cookie_domain("co.uk".to_owned());
    /// assert_eq!(
    ///     config.check().unwrap_err().to_string(),
    ///     "`Config::cookie_domain` is `co.uk`, a public suffix that browsers refuse: use a domain of your own, such as `example.co.uk`",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`], in one sentence that names the setting and the mend.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (setting, duration) in [
            ("session_ttl", Some(self.sessions.ttl)),
            ("session_idle_timeout", self.sessions.idle_timeout),
            ("session_reissue_age", Some(self.sessions.reissue_age)),
            ("reissue_grace", Some(self.reissue_grace)),
            ("sudo_ttl", Some(self.sudo_ttl)),
            ("confirm_ttl", Some(self.confirm_ttl)),
            ("reset_ttl", Some(self.reset_ttl)),
            ("log_in_link_ttl", Some(self.log_in_link_ttl)),
            ("change_email_ttl", Some(self.change_email_ttl)),
            ("recovery_ttl", Some(self.recovery_ttl)),
            ("mfa_challenge_ttl", Some(self.sessions.challenge_ttl)),
            ("mfa_trust_ttl", Some(self.cookies.mfa_trust_ttl)),
        ] {
            check_duration(setting, duration)?;
        }
        for (setting, duration) in [("password_wait", self.password_wait), ("body_patience", self.body_patience)] {
            if duration > LONGEST {
                return Err(ConfigError::Duration(setting));
            }
        }
        if self.purge_interval.is_some_and(|interval| interval.is_zero() || interval > LONGEST) {
            return Err(ConfigError::Duration("purge_interval"));
        }
        if self.cookies.secure && self.secrets.newest.is_predictable() {
            return Err(ConfigError::PredictableSecret);
        }
        if let Some(network) = self.trusted_proxies.iter().find(|network| is_everybody(network)) {
            return Err(ConfigError::TrustsEverybody(*network));
        }
        if let Some(domain) = &self.cookies.domain {
            check_cookie_domain(domain)?;
        }
        let cookies = [&self.cookies.session, &self.cookies.remember_me, &self.cookies.device, &self.cookies.mfa_trust];
        for (at, cookie) in cookies.into_iter().enumerate() {
            cookie.check(self.cookies.secure)?;
            if cookies[..at].iter().any(|earlier| earlier.name == cookie.name) {
                return Err(ConfigError::SameCookieName(cookie.name.clone().into_owned()));
            }
        }
        if !(1..=MAX_PASSWORD_WORKERS).contains(&self.password_workers) {
            return Err(ConfigError::PasswordWorkers(self.password_workers));
        }
        if self.cached_scopes > MAX_CACHED_SCOPES {
            return Err(ConfigError::CachedScopes(self.cached_scopes));
        }
        self.argon2.to_argon2().map(drop)?;
        #[cfg(feature = "passkeys")]
        self.relying_party.as_ref().map(RelyingParty::to_webauthn).transpose()?;
        OwnOrigins::new(&self.cookies.trusted_origins).map(drop)
    }
}

fn check_duration(setting: &'static str, duration: Option<Duration>) -> Result<(), ConfigError> {
    match duration {
        Some(duration) if duration < Duration::from_secs(1) || duration > LONGEST => {
            Err(ConfigError::Duration(setting))
        }
        _ => Ok(()),
    }
}

/// Private networks have a prefix of 8 and more bits (RFC 1918), or of 7 (RFC 4193). IPv4 is also a part of IPv6.
fn is_everybody(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 8,
        IpNet::V6(network) if network.network().to_ipv4_mapped().is_some() => network.prefix_len() < 96 + 8,
        IpNet::V6(network) => network.prefix_len() < 7,
    }
}

fn check_cookie_domain(domain: &str) -> Result<(), ConfigError> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || domain.parse::<IpAddr>().is_ok() || !domain.split('.').all(label) {
        return Err(ConfigError::CookieDomain(domain.to_owned()));
    }
    match psl::domain_str(domain) {
        Some(_) => Ok(()),
        None => Err(ConfigError::PublicSuffix(domain.to_owned())),
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
    fn the_defaults_are_good() {
        assert_eq!(config().check(), Ok(()));
        assert_eq!(config().secure(true).check(), Ok(()));
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
        assert_eq!(config().session_ttl(LONGEST).check(), Ok(()));
        let setters: [fn(Config, Duration) -> Config; 12] = [
            Config::session_ttl,
            Config::session_reissue_age,
            Config::reissue_grace,
            Config::sudo_ttl,
            Config::confirm_ttl,
            Config::reset_ttl,
            Config::log_in_link_ttl,
            Config::change_email_ttl,
            Config::recovery_ttl,
            Config::mfa_challenge_ttl,
            Config::mfa_trust_ttl,
            |config, time| config.session_idle_timeout(time),
        ];
        for set in setters {
            for time in [Duration::ZERO, LONGEST + Duration::from_secs(1), Duration::MAX] {
                assert!(error(&set(config(), time)).ends_with("must be between 1 second and 10 years"));
            }
        }
        assert_eq!(config().password_wait(Duration::ZERO).check(), Ok(()), "who finds no free worker goes away");
        assert!(error(&config().password_wait(Duration::MAX)).contains("password_wait"));
        assert!(error(&config().body_patience(Duration::MAX)).contains("body_patience"));
        assert!(error(&config().purge_interval(Duration::MAX)).contains("purge_interval"));
        assert!(error(&config().purge_interval(Duration::ZERO)).contains("purge_interval"));
        assert_eq!(config().purge_interval(None).check(), Ok(()));
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_where_cookies_are_secure() {
        for secret in ["a".repeat(64), "0123456789".repeat(7), "secret".repeat(11), "Ab1".repeat(30)] {
            let config = Config::new("my_app", SecretKeyBase::new(secret.clone()).expect("long enough"));
            assert_eq!(config.check(), Ok(()), "it does for development");
            let message = error(&config.secure(true));
            assert!(message.starts_with("the secret key base has too few") && !message.contains(&secret), "{message}");
        }
    }

    #[test]
    fn a_network_of_everybody_is_no_network_of_proxies() {
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
        assert_eq!(config().secure(true).session_cookie(none).check(), Ok(()));
        for path in ["", "users", "/; Domain=example.org", "/\r\nX: y", "/\u{e9}"] {
            let cookie = CookieOptions { path: path.into(), ..CookieOptions::named("c") };
            assert!(error(&config().session_cookie(cookie)).contains("is not a cookie's path"), "{path}");
        }
        let twice = config().session_cookie(CookieOptions::named("c")).remember_me_cookie(CookieOptions::named("c"));
        assert!(error(&twice).contains("different names"));
    }

    #[test]
    fn work_that_cannot_be_done_is_refused() {
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
