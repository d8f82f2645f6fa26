//! Settings that can't be.

use ipnet::IpNet;

/// A setting that can't be used, in one sentence for the person who starts the application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A time that is zero, or so long that it may overflow.
    #[error("`Config::{0}` must be between 1 second and 10 years")]
    Duration(&'static str),
    /// A secret that can be guessed, where cookies are [`Secure`](crate::Config::secure).
    #[error(
        "the secret key base has too few different characters, or repeats itself: generate one with `openssl rand -base64 48`"
    )]
    PredictableSecret,
    /// A network of proxies that so many are in that anybody could choose their address.
    #[error(
        "`Config::trusted_proxies` has {0}, so whoever sends a request could choose their address: name the networks of your own proxies, such as 10.0.0.0/8"
    )]
    TrustsEverybody(IpNet),
    /// A cookie domain that browsers refuse.
    #[error(
        "`Config::cookie_domain` is `{0}`, a public suffix that browsers refuse: use a domain of your own, such as `example.{0}`"
    )]
    PublicSuffix(String),
    /// A cookie domain that is no domain name.
    #[error(
        "`Config::cookie_domain` is `{0}`, which is not a domain name: give a name such as `example.com`, without scheme, port or path"
    )]
    CookieDomain(String),
    /// A cookie name with characters that RFC 6265 does not allow.
    #[error("`{0}` is not a cookie name: use ASCII letters, digits, `-` and `_`")]
    CookieName(String),
    /// Two cookies of one name.
    #[error("two cookies are both named `{0}`: give them different names")]
    SameCookieName(String),
    /// `SameSite=None` without `Secure`.
    #[error("the cookie `{0}` has SameSite=None, which browsers accept only with Secure: turn `Config::secure` on")]
    SameSiteNone(String),
    /// No worker to verify passwords, or more than any machine has cores for.
    #[error(
        "`Config::password_workers` is {0}: use at least 1, or nobody could log in, and at most {MAX_PASSWORD_WORKERS}"
    )]
    PasswordWorkers(usize),
    /// More scopes than fit into memory.
    #[error(
        "`Config::cached_scopes` is {0}: use at most {MAX_CACHED_SCOPES}, each of which takes about a kilobyte of memory"
    )]
    CachedScopes(usize),
    /// Parameters that Argon2 can't be run with.
    #[error(
        "Argon2id can't run with memory_kib: {memory_kib}, iterations: {iterations}, parallelism: {parallelism}: it needs 8 KiB for each lane, 4 GiB at most, and at least one iteration"
    )]
    Argon2 {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        iterations: u32,
        /// Lanes.
        parallelism: u32,
    },
    /// A path that would end a cookie's attribute.
    #[error("`{0}` is not a cookie's path: write one that begins with `/`, in ASCII, without `;`")]
    CookiePath(String),
    /// A relying party that browsers refuse to make passkeys for.
    #[cfg(feature = "passkeys")]
    #[error(
        "passkeys can't be made for the domain `{domain}` at `{origin}`: the origin must be https (or http://localhost), and the domain its host, or one above it that is yours"
    )]
    RelyingParty {
        /// The domain.
        domain: String,
        /// The origin.
        origin: String,
    },
    /// An origin that no browser would ever send.
    #[error("`{0}` is not an origin: write scheme and host, such as `https://app.example.com`, with no path")]
    Origin(String),
}

pub(crate) const MAX_PASSWORD_WORKERS: usize = 1024;

pub(crate) const MAX_CACHED_SCOPES: usize = 10_000_000;
