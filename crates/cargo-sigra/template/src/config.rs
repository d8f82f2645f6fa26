//! The settings, from the environment and the file `.env`. They are checked before anything starts.

mod app_env;
mod cookie_domain;
pub mod database_url;
// <device_bound>
mod device_bound;
// </device_bound>
mod env_file;
mod error;
mod mail;
// <oauth_server>
mod oauth_server;
// </oauth_server>
// <passkeys>
mod passkeys;
// </passkeys>
// <oauth>
mod providers;
// </oauth>
mod public_url;
mod secret;
// <app>
mod security_txt;
// </app>
mod variables;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

// <oauth>
use sigra::oauth::{Provider, Providers};
// </oauth>
use sigra::{Config, config::IpNet};
// <passkeys>
use sigra::config::RelyingParty;
// </passkeys>
// <app>
use tracing_subscriber::EnvFilter;
// </app>
use url::Url;

use self::database_url::DEFAULT_URL;
// <sqlite>
use self::database_url::is_in_memory;
// </sqlite>
pub use self::{app_env::AppEnv, error::SettingsError, public_url::is_loopback, variables::Variables};

/// Where the application listens, unless `HOST` and `PORT` are set.
const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_PORT: u16 = 4000;

/// How long a session and the remember-me cookie last, counted from the login, unless `SESSION_TTL` says otherwise. No
/// activity prolongs it. A stolen cookie works no longer than this; a lower value makes your users log in more often.
const DEFAULT_SESSION_TTL: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// When accounts that were never used are deleted, unless `UNCONFIRMED_TTL` is set.
const DEFAULT_UNCONFIRMED_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long users can get a deleted account back, unless `DELETION_GRACE` is set.
const DEFAULT_DELETION_GRACE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

// <install>
/// The prefix of a setting that is only for accounts: `AUTH_APP_ENV` overrides `APP_ENV`, which the rest of the
/// application may use for something else.
pub const ENV_PREFIX: &str = "AUTH_";
// </install>

/// All settings of the application.
#[derive(Clone)]
pub struct Settings {
    pub app_env: AppEnv,
    pub listen: SocketAddr,
    /// The URL that users know. Links are built from it, never from a request's `Host`.
    pub public_url: Url,
    /// Whether HSTS also covers all subdomains of the host of `public_url`.
    pub hsts_include_subdomains: bool,
    pub database_url: String,
    // <app>
    /// The log filter, in the syntax of `tracing-subscriber`.
    pub log_filter: String,
    // </app>
    /// Where emails go, their sender, and where replies go.
    pub smtp_url: String,
    pub mail_from: String,
    pub mail_reply_to: Option<String>,
    // <app>
    /// The file `security.txt`.
    pub security_txt: Option<String>,
    // </app>
    /// The requirements for accounts, and when they are deleted.
    pub registration_open: bool,
    pub require_confirmation: bool,
    pub reveal_taken_addresses: bool,
    pub notify_new_devices: bool,
    // <device_bound>
    pub notify_stolen_sessions: bool,
    // </device_bound>
    pub unconfirmed_ttl: Option<Duration>,
    pub deletion_grace: Option<Duration>,
    // <passkeys>
    /// The domain that passkeys belong to. `None` turns passkeys off.
    pub passkey_domain: Option<String>,
    // </passkeys>
    // <oauth>
    /// The providers that users can log in with, such as Google.
    pub providers: Providers,
    // </oauth>
    /// Keys, sessions, origins and limits.
    pub sigra: Config,
    /// Settings that are allowed, but probably a mistake.
    pub warnings: Vec<String>,
}

impl Settings {
    // <app>
    /// The settings of the application. Without `APP_ENV`, it is in development, and only this machine can reach it.
    pub fn new(env: &Variables) -> Result<Self, SettingsError> {
        let host = env.parsed("HOST", "an IP address such as 127.0.0.1")?.unwrap_or(DEFAULT_HOST);
        let port = env.parsed("PORT", "a port number such as 4000")?.unwrap_or(DEFAULT_PORT);
        let listen = SocketAddr::new(host, port);
        let Some(app_env) = app_env(env)? else {
            public_url::require_loopback(env, listen)?;
            return Self::at(listen, AppEnv::Dev, env);
        };
        Self::at(listen, app_env, env)
    }
    // </app>

    // <install>
    /// Reads the settings of accounts in an application with its own settings. Accepts any `HOST` and `PORT`, because
    /// the application decides where it listens. So `APP_ENV` must be set: nothing else says whether other machines can
    /// reach it, and in development anyone who reaches it can read all emails.
    pub fn for_accounts(env: &Variables) -> Result<Self, SettingsError> {
        let app_env = app_env(env)?.ok_or(SettingsError::NoAppEnv)?;
        let host = env.text("HOST")?.and_then(|host| host.parse().ok()).unwrap_or(DEFAULT_HOST);
        let port = env.text("PORT")?.and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT);
        Self::at(SocketAddr::new(host, port), app_env, env)
    }
    // </install>

    fn at(listen: SocketAddr, app_env: AppEnv, env: &Variables) -> Result<Self, SettingsError> {
        let prod = app_env == AppEnv::Prod;
        let public_url = public_url::public_url(env, prod, listen)?;
        let mut warnings = Vec::new();
        let sigra = library_config(env, app_env, &public_url)?;
        // <passkeys>
        let relying_party = passkeys::relying_party(env, &public_url, listen, prod, &mut warnings)?;
        let passkey_domain = relying_party.as_ref().map(|(domain, _)| domain.clone());
        let sigra =
            sigra.relying_party(relying_party.map(|(domain, origin)| RelyingParty::new(domain, origin).name("MyApp")));
        // </passkeys>
        // <oauth>
        let providers = providers::providers(env, prod)?;
        let sigra = sigra.login_providers(providers.iter().map(Provider::name));
        // </oauth>
        // <oauth_server>
        let sigra = sigra.oauth_server(oauth_server::authorization_server(&public_url, &mut warnings));
        // </oauth_server>
        // <device_bound>
        let sigra = sigra.device_bound(device_bound::device_bound(env, &public_url, prod)?);
        // </device_bound>
        sigra.check()?;
        cookie_domain::check(env, &public_url, prod, &mut warnings)?;
        let smtp_url = mail::smtp_url(env, prod, &mut warnings)?;
        let database_url = env.text("DATABASE_URL")?;
        // <sqlite>
        if prod && database_url.as_deref().is_some_and(is_in_memory) {
            return Err(SettingsError::InMemory);
        }
        // </sqlite>
        // <app>
        if prod && database_url.is_none() {
            warnings.push(format!("DATABASE_URL is not set: users are in the development database, {DEFAULT_URL}"));
        }
        if app_env == AppEnv::Dev && !listen.ip().to_canonical().is_loopback() {
            warnings.push(format!(
                "APP_ENV is dev, and the application listens on {listen}: anyone who can reach it can log in as demo@example.com"
            ));
        }
        // </app>

        Ok(Self {
            app_env,
            listen,
            hsts_include_subdomains: env.switch("HSTS_INCLUDE_SUBDOMAINS")?.unwrap_or(false),
            database_url: database_url.unwrap_or_else(|| DEFAULT_URL.to_owned()),
            // <app>
            log_filter: log_filter(env)?,
            // </app>
            smtp_url,
            mail_from: mail::mail_from(env, &public_url)?,
            mail_reply_to: mail::mail_reply_to(env)?,
            // <app>
            security_txt: security_txt::security_txt(env, &public_url, &mut warnings)?,
            // </app>
            public_url,
            registration_open: registration_open(env)?,
            require_confirmation: env.switch("REQUIRE_CONFIRMATION")?.unwrap_or(false),
            reveal_taken_addresses: env.switch("REVEAL_TAKEN_ADDRESSES")?.unwrap_or(false),
            notify_new_devices: env.switch("NOTIFY_NEW_DEVICES")?.unwrap_or(true),
            // <device_bound>
            notify_stolen_sessions: env.switch("NOTIFY_STOLEN_SESSIONS")?.unwrap_or(true),
            // </device_bound>
            unconfirmed_ttl: env.seconds_or_none("UNCONFIRMED_TTL", DEFAULT_UNCONFIRMED_TTL)?,
            deletion_grace: env.seconds_or_none("DELETION_GRACE", DEFAULT_DELETION_GRACE)?,
            // <passkeys>
            passkey_domain,
            // </passkeys>
            // <oauth>
            providers,
            // </oauth>
            sigra,
            warnings,
        })
    }

    /// Logs the warnings.
    pub fn warn(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}

fn app_env(env: &Variables) -> Result<Option<AppEnv>, SettingsError> {
    env.parsed("APP_ENV", "dev, test or prod")
}

/// Reads the library's settings. `web` adds paths and cookies.
fn library_config(env: &Variables, app_env: AppEnv, public_url: &Url) -> Result<Config, SettingsError> {
    let prod = app_env == AppEnv::Prod;
    let mut config = Config::new("my_app", secret::secret_key_base(env, app_env)?)
        .older_secrets(secret::older_secrets(env)?)
        .secure_cookies(prod)
        .cookie_domain(env.text("COOKIE_DOMAIN")?)
        .trusted_origins(trusted_origins(env, public_url)?)
        .trusted_proxies(trusted_proxies(env)?)
        .rate_limits(rate_limits(env, prod)?)
        // <mfa>
        .mfa_issuer("MyApp")
        // </mfa>
        // <magic_link>
        // Every user can log in with a link, so they can remove any other way.
        .login_links(true)
        // </magic_link>
        .session_ttl(env.seconds("SESSION_TTL")?.unwrap_or(DEFAULT_SESSION_TTL))
        .session_idle_timeout(env.seconds("SESSION_IDLE_TIMEOUT")?);
    if let Some(age) = env.seconds("SESSION_REISSUE_AGE")? {
        config = config.session_reissue_age(age);
    }
    if let Some(ttl) = env.seconds("SUDO_TTL")? {
        config = config.sudo_ttl(ttl);
    }
    if let Some(ttl) = env.seconds("RESET_TTL")? {
        config = config.reset_ttl(ttl);
    }
    if let Some(ttl) = env.seconds("CONFIRM_TTL")? {
        config = config.confirm_ttl(ttl);
    }
    if let Some(retention) = env.seconds("AUDIT_RETENTION")? {
        config = config.audit_retention(retention);
    }
    Ok(config)
}

/// Returns the origins whose pages may send forms: the application's own, and those in `TRUSTED_ORIGINS`.
fn trusted_origins(env: &Variables, public_url: &Url) -> Result<Vec<String>, SettingsError> {
    let mut origins = env.list("TRUSTED_ORIGINS", "origins such as https://admin.example.com, separated by commas")?;
    origins.push(public_url.origin().ascii_serialization());
    Ok(origins)
}

/// A network, or a single IP address.
struct Proxies(IpNet);

impl FromStr for Proxies {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Self).map_err(drop)
    }
}

fn trusted_proxies(env: &Variables) -> Result<Vec<IpNet>, SettingsError> {
    let expected = "IP addresses or networks such as 127.0.0.1 or 10.0.0.0/8, separated by commas";
    let proxies = env.list::<Proxies>("TRUSTED_PROXIES", expected)?;
    Ok(proxies.into_iter().map(|Proxies(network)| network).collect())
}

/// Without rate limits, passwords can be guessed. So only development and tests can turn them off.
fn rate_limits(env: &Variables, prod: bool) -> Result<bool, SettingsError> {
    const NAME: &str = "RATE_LIMITS";
    let expected = if prod { "on when APP_ENV is prod" } else { "on or off" };
    match env.text(NAME)?.as_deref() {
        None | Some("on") => Ok(true),
        Some("off") if !prod => Ok(false),
        Some(value) => Err(SettingsError::Invalid { name: NAME, value: value.to_owned(), expected }),
    }
}

fn registration_open(env: &Variables) -> Result<bool, SettingsError> {
    const NAME: &str = "REGISTRATION";
    match env.text(NAME)?.as_deref() {
        None | Some("open") => Ok(true),
        Some("closed") => Ok(false),
        Some(value) => Err(SettingsError::Invalid { name: NAME, value: value.to_owned(), expected: "open or closed" }),
    }
}

// <app>
fn log_filter(env: &Variables) -> Result<String, SettingsError> {
    const NAME: &str = "RUST_LOG";
    let filter = env.text(NAME)?.unwrap_or_else(|| "info,sqlx=warn".to_owned());
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(_) => {
            Err(SettingsError::Invalid { name: NAME, value: filter, expected: "a filter such as info,sqlx=warn" })
        }
    }
}
// </app>
