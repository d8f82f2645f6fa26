//! Settings that can't be used.

use std::time::Duration;

use ipnet::IpNet;

/// A setting that can't be used. Displays as one sentence that names the setting and how to fix it.
///
/// ```
/// use sigra::{Config, ConfigError, SecretKeyBase};
///
/// let config = Config::new("my_app", SecretKeyBase::generate()?).password_workers(0);
/// assert_eq!(config.check(), Err(ConfigError::PasswordWorkers(0)));
/// # Ok::<(), sigra::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A duration that is zero, or so long that it may overflow.
    #[error("`Config::{0}` must be between 1 second and 10 years")]
    Duration(&'static str),
    /// A secret that can be guessed, with cookies that are [`Secure`](crate::Config::secure_cookies).
    #[error(
        "the secret key base has too few different characters, or repeats itself: generate one with `openssl rand -base64 48`"
    )]
    PredictableSecret,
    /// A network of proxies so wide that clients could choose their own IP address.
    #[error(
        "`Config::trusted_proxies` has {0}, so clients could choose their own IP address: name the networks of your own proxies, such as 10.0.0.0/8"
    )]
    TrustsEverybody(IpNet),
    /// A cookie domain that browsers refuse.
    #[error(
        "`Config::cookie_domain` is `{0}`, a public suffix that browsers refuse: use a domain of your own, such as `example.{0}`"
    )]
    PublicSuffix(String),
    /// A cookie domain that isn't a domain name.
    #[error(
        "`Config::cookie_domain` is `{0}`, which is not a domain name: use a name such as `example.com`, without scheme, port or path"
    )]
    CookieDomain(String),
    /// A cookie name with characters that RFC 6265 does not allow.
    #[error("`{0}` is not a cookie name: use ASCII letters, digits, `-` and `_`")]
    CookieName(String),
    /// Two cookies with the same name.
    #[error("two cookies are named `{0}`: give them different names")]
    SameCookieName(String),
    /// `SameSite=None` without `Secure`.
    #[error(
        "the cookie `{0}` has SameSite=None, which browsers accept only with Secure: turn on `Config::secure_cookies`"
    )]
    SameSiteNone(String),
    /// No password workers, or more than any machine has cores for.
    #[error(
        "`Config::password_workers` is {0}: use at least 1, or nobody could log in, and at most {MAX_PASSWORD_WORKERS}"
    )]
    PasswordWorkers(usize),
    /// More scopes than fit into memory.
    #[error(
        "`Config::cached_scopes` is {0}: use at most {MAX_CACHED_SCOPES}, because each takes about a kilobyte of memory"
    )]
    CachedScopes(usize),
    /// Parameters that Argon2 can't run with.
    #[error(
        "Argon2id can't run with memory_kib: {memory_kib}, iterations: {iterations}, parallelism: {parallelism}: use at least 8 KiB for each lane, at most 4 GiB, and at least one iteration"
    )]
    Argon2 {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        iterations: u32,
        /// The number of lanes.
        parallelism: u32,
    },
    /// A cookie path that doesn't begin with `/`, or has characters that could end the attribute.
    #[error("`{0}` is not a cookie's path: use one that begins with `/`, in ASCII, without `;`")]
    CookiePath(String),
    /// A relying party that browsers don't make passkeys for.
    #[cfg(feature = "passkeys")]
    #[error(
        "passkeys can't be made for the domain `{domain}` at `{origin}`: the origin must be https (or http://localhost), and the domain must be its host or a parent domain that you own"
    )]
    RelyingParty {
        /// The domain.
        domain: String,
        /// The origin.
        origin: String,
    },
    /// A provider's name that can't be in a path.
    #[cfg(feature = "oauth")]
    #[error(
        "`{0}` is not a provider's name: use 1 to 32 lowercase letters, digits, `-` and `_`, because it is in the callback's path"
    )]
    ProviderName(String),
    /// Two providers with the same name.
    #[cfg(feature = "oauth")]
    #[error("two providers are named `{0}`: rename one of them with `Provider::with_name`")]
    SameProvider(String),
    /// An origin that no browser binds sessions to.
    #[cfg(feature = "device-bound")]
    #[error(
        "sessions can't be bound at `{0}`: use the application's origin, such as `https://app.example.com`, without a path"
    )]
    BindingOrigin(String),
    /// A path of device-bound sessions that can't be in a header.
    #[cfg(feature = "device-bound")]
    #[error(
        "`{0}` is not a path of device-bound sessions: use one that begins with `/`, in ASCII, without quotation marks"
    )]
    BindingPath(String),
    /// Device-bound sessions without `Secure` cookies.
    #[cfg(feature = "device-bound")]
    #[error(
        "browsers bind sessions over HTTPS only: turn on `Config::secure_cookies`, or don't set `Config::device_bound`"
    )]
    BindingNotSecure,
    /// A setting of a provider that can't be right.
    #[cfg(feature = "oauth")]
    #[error("the provider `{provider}` can't be used: {mistake}")]
    Provider {
        /// The name of the provider.
        provider: String,
        /// What is wrong, and how to fix it.
        mistake: &'static str,
    },
    /// The operating system has no root certificates, so no provider can be reached.
    #[cfg(feature = "oauth")]
    #[error("the operating system has no root certificates: install them, such as with the package `ca-certificates`")]
    NoCertificates,
    /// A permission's name with characters that RFC 6749 section 3.3 doesn't allow.
    #[cfg(feature = "api-tokens")]
    #[error(
        "`{0}` can't name a permission: use visible ASCII characters except `\"` and `\\`, such as `projects:read`"
    )]
    PermissionName(&'static str),
    /// Two permissions with the same name.
    #[cfg(feature = "api-tokens")]
    #[error("two permissions are named `{0}`: rename one of them")]
    SamePermission(&'static str),
    /// A prefix of tokens with characters that a double click doesn't select.
    #[cfg(feature = "api-tokens")]
    #[error("`{0}` can't be the prefix of tokens: use 1 to 40 ASCII letters, digits and `_`")]
    TokenPrefix(String),
    /// A URL that can't be in a header.
    #[cfg(feature = "api-tokens")]
    #[error("`Config::resource_metadata` is `{}`, which is not a URL: use one without spaces and quotes", .0.escape_debug())]
    ResourceMetadata(String),
    /// A client of the OAuth server that can't be right.
    #[cfg(feature = "oauth-server")]
    #[error("the client `{client}` can't be used: {mistake}")]
    OauthClient {
        /// The id of the client.
        client: String,
        /// What is wrong, and how to fix it.
        mistake: &'static str,
    },
    /// Two clients with the same id.
    #[cfg(feature = "oauth-server")]
    #[error("two clients have the id `{0}`: change one of the ids")]
    SameOauthClient(String),
    /// An issuer that isn't an origin with TLS.
    #[cfg(feature = "oauth-server")]
    #[error(
        "`{0}` can't be the issuer of tokens: use the application's origin, such as `https://app.example.com`, with https unless it is this computer, and without a path"
    )]
    Issuer(String),
    /// A resource that tokens can't be limited to.
    #[cfg(feature = "oauth-server")]
    #[error("`{0}` can't be a resource: use an https URL without query and fragment, and each only once")]
    Resource(String),
    /// A resource for registered clients that the server doesn't have.
    #[cfg(feature = "oauth-server")]
    #[error(
        "registered clients can't ask for `{0}`, which the server doesn't have: add it with `AuthorizationServer::resource` too"
    )]
    RegisteredClientResource(String),
    /// An origin that no browser ever sends.
    #[error("`{0}` is not an origin: use scheme and host, such as `https://app.example.com`, without a path")]
    Origin(String),
}

pub(crate) const MAX_PASSWORD_WORKERS: usize = 1024;

pub(crate) const MAX_CACHED_SCOPES: usize = 10_000_000;

/// The longest duration of a setting. Longer ones could overflow when they are added to a time.
pub(crate) const MAX_DURATION: Duration = Duration::from_hours(10 * 365 * 24);

/// Checks durations, with the names of their settings.
pub(crate) fn check_durations<const N: usize>(settings: [(&'static str, Duration); N]) -> Result<(), ConfigError> {
    let is_valid = |duration| (Duration::from_secs(1)..=MAX_DURATION).contains(duration);
    match settings.iter().find(|(_, duration)| !is_valid(duration)) {
        Some((setting, _)) => Err(ConfigError::Duration(setting)),
        None => Ok(()),
    }
}

/// Checks how long to wait for something. Zero means not to wait.
pub(crate) fn check_timeout(setting: &'static str, timeout: Duration) -> Result<(), ConfigError> {
    match timeout <= MAX_DURATION {
        true => Ok(()),
        false => Err(ConfigError::Duration(setting)),
    }
}
