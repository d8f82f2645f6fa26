//! Why the settings are invalid. Each error is one sentence that names the variable, for the person who starts the
//! application.

use sigra::{ConfigError, SecretKeyBaseError, config::IpNet};

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{name} is `{value}`: it must be {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
    #[error("{name} is not set, and APP_ENV=prod needs it: {fix}")]
    Missing { name: &'static str, fix: &'static str },
    #[error("{0} is set to something that is not UTF-8 text")]
    NotText(&'static str),
    // <app>
    #[error(
        "APP_ENV is not set, and {name} is `{value}`: set APP_ENV=prod to serve others, or APP_ENV=dev to develop at such an address"
    )]
    ForgottenAppEnv { name: &'static str, value: String },
    // </app>
    // <install>
    #[error(
        "APP_ENV is not set: start with `APP_ENV=dev cargo run` or write APP_ENV=dev into `.env` to develop, and set APP_ENV=test in tests and APP_ENV=prod to serve others"
    )]
    NoAppEnv,
    // </install>
    // The value isn't shown, because it may contain a password.
    #[error("{0} has an @ in it: it must be a URL such as https://app.example.com, without a user name or password")]
    Credentials(&'static str),

    #[error("{0} is too short: {1}")]
    ShortSecret(&'static str, SecretKeyBaseError),
    #[error(
        "SECRET_KEY_BASE has too few different characters, or repeats itself: generate one with `openssl rand -base64 48`"
    )]
    PredictableSecret,
    #[error("can't store the secret for development in `{file}`: {reason}")]
    DevSecret { file: &'static str, reason: String },

    #[error(
        "COOKIE_DOMAIN is `{0}`, which is not a domain name: use a name such as `example.com`, without scheme, port or path"
    )]
    CookieDomain(String),
    #[error(
        "COOKIE_DOMAIN is `{0}`, a public suffix that browsers refuse: use a domain of your own, such as `example.{0}`"
    )]
    PublicSuffix(String),
    #[error(
        "PUBLIC_URL is at `{host}`, which is not in COOKIE_DOMAIN, `{domain}`: browsers refuse the cookies, so nobody can log in"
    )]
    OutsideCookieDomain { host: String, domain: String },
    #[error(
        "TRUSTED_PROXIES has {0}, so any client could forge its IP address: name only the networks of your own proxies, such as 10.0.0.0/8"
    )]
    TrustsEverybody(IpNet),
    #[error(
        "TRUSTED_ORIGINS has `{0}`, which is not an origin: write scheme and host, such as `https://app.example.com`, with no path"
    )]
    Origin(String),
    // <oauth>
    #[error("{name} is not set, and the provider {provider} in OAUTH_PROVIDERS needs it")]
    ProviderSetting { name: String, provider: String },
    #[error("{name} is `{value}`: it must be true or false")]
    ProviderSwitch { name: String, value: String },
    #[error("{0} is set to something that is not UTF-8 text")]
    ProviderNotText(String),
    // </oauth>
    /// An error of the library that has no variable of its own.
    #[error(transparent)]
    Sigra(ConfigError),

    // <sqlite>
    #[error(
        "DATABASE_URL is in memory, so a restart would lose all users: use a file, such as sqlite:///var/lib/my_app/my_app.db"
    )]
    InMemory,
    // </sqlite>
    #[error("SMTP_URL has a password, which would be sent without TLS: add ?tls=required to it, or use smtps://")]
    PasswordWithoutTls,

    // <app>
    #[error(
        "SECURITY_CONTACT is set, so SECURITY_TXT_EXPIRES must be too: set it to a time such as 2027-06-30T00:00:00Z, at most a year from now"
    )]
    NeverExpires,
    // </app>
    #[error("`.env` can't be read: {0}")]
    EnvFile(std::io::Error),
    // The line isn't shown, because it may contain a secret.
    #[error(
        "line {0} of `.env` is not a setting: write NAME=value, with single quotes around a value that has spaces, quotes, backslashes or a # in it"
    )]
    EnvLine(usize),
}

/// The library's errors name functions of `Config`. Operators need the names of their variables.
impl From<ConfigError> for SettingsError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::PredictableSecret => Self::PredictableSecret,
            ConfigError::CookieDomain(domain) => Self::CookieDomain(domain),
            ConfigError::PublicSuffix(suffix) => Self::PublicSuffix(suffix),
            ConfigError::TrustsEverybody(network) => Self::TrustsEverybody(network),
            ConfigError::Origin(origin) => Self::Origin(origin),
            error => Self::Sigra(error),
        }
    }
}
