//! The settings, from the environment and a file `.env`, checked before anything starts.

mod env_file;
mod lookup;

use std::{
    env, fmt, fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    str::FromStr,
    time::Duration,
};

use sigra::{Config, ConfigError, SecretKeyBase, SecretKeyBaseError, config::IpNet};
// <passkeys>
use sigra::config::RelyingParty;
// </passkeys>
// <app>
use tracing_subscriber::EnvFilter;
// </app>
use url::{Host, Url};

use self::{env_file::ENV_FILE, lookup::Lookup};
use crate::{
    accounts::{Policy, normalize_email},
    database,
    web::user_auth,
};

/// Where it listens, unless `PORT` says otherwise.
const DEFAULT_PORT: u16 = 4000;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// After how long accounts are deleted that were registered and never used, unless `UNCONFIRMED_TTL` says otherwise.
const DEFAULT_UNCONFIRMED_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For how long a deleted account can be had back, unless `DELETION_GRACE` says otherwise.
const DEFAULT_DELETION_GRACE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How often another process is waited for that is just keeping one.
const DEV_SECRET_TRIES: u32 = 100;
const DEV_SECRET_AGAIN: Duration = Duration::from_millis(10);

/// Where the secret of a development machine is kept, so that a restart logs nobody out.
const DEV_SECRET_FILE: &str = ".my_app_dev_secret";

// <install>
/// Before the name of a setting that is for accounts alone: `AUTH_APP_ENV` goes before `APP_ENV`, which the rest of the
/// application may use for something else.
pub const ENV_PREFIX: &str = "AUTH_";
// </install>

/// `APP_ENV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    Dev,
    Test,
    Prod,
}

/// All settings of the application.
#[derive(Clone)]
pub struct Settings {
    pub environment: Environment,
    pub listen: SocketAddr,
    pub database_url: String,
    /// The address that users know. Links are built from it, never from a request's `Host`.
    pub public_url: Url,
    pub policy: Policy,
    /// Where mails go, and who they are from.
    pub smtp_url: String,
    pub mail_from: String,
    /// Where the answers to mails are read.
    pub mail_reply_to: Option<String>,
    /// Whether browsers are told to use https for all hosts below the one of `public_url`, too.
    pub hsts_include_subdomains: bool,
    // <app>
    /// What is logged, as a filter of `tracing-subscriber`.
    pub log_filter: String,
    // </app>
    pub sigra: Config,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<String>,
}

/// A setting that can't be used, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{name} is `{value}`: it must be {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
    #[error("{name} is not set, and APP_ENV=prod needs it: {mend}")]
    Missing { name: &'static str, mend: &'static str },
    #[error(
        "APP_ENV is not set, and {name} is `{value}`: set APP_ENV=prod to serve others, or APP_ENV=dev to develop at such an address"
    )]
    ForgottenEnvironment { name: &'static str, value: String },
    // It is not shown: a password may be in it.
    #[error("{0} has an @ in it: it must be an address such as https://app.example.com, without a user or password")]
    Credentials(&'static str),
    #[error(
        "PUBLIC_URL is at `{host}`, which is not in COOKIE_DOMAIN, `{domain}`: browsers refuse the cookies, so nobody can log in"
    )]
    OutsideCookieDomain { host: String, domain: String },
    // <sqlite>
    #[error(
        "DATABASE_URL is in memory, where all users are gone after a restart: name a file, such as sqlite:///var/lib/my_app/my_app.db"
    )]
    InMemory,
    // </sqlite>
    #[error("SMTP_URL has a password, which would be sent without TLS: add ?tls=required to it, or use smtps://")]
    PasswordWithoutTls,
    #[error("{0} is set to something that is not UTF-8 text")]
    NotText(String),
    #[error("`{ENV_FILE}` can't be read: {0}")]
    EnvFile(std::io::Error),
    // The line is not shown: it may hold a secret.
    #[error(
        "line {0} of `{ENV_FILE}` is no setting: write NAME=value, with single quotes around a value that has spaces, quotes, backslashes or a # in it"
    )]
    EnvLine(usize),
    #[error(transparent)]
    SecretKeyBase(#[from] SecretKeyBaseError),
    #[error(transparent)]
    Sigra(#[from] ConfigError),
    #[error("the secret for development can't be kept in `{DEV_SECRET_FILE}`: {0}")]
    DevSecret(String),
}

impl Settings {
    // <app>
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(find_in_env()?)
    }

    /// Reads the settings from anything that can look up a name.
    pub fn from_lookup(
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingsError>,
    ) -> Result<Self, SettingsError> {
        let env = Lookup(&lookup);
        let host = env.parsed("HOST", "an IP address such as 127.0.0.1")?.unwrap_or(LOCALHOST);
        let port = env.parsed("PORT", "a port number such as 4000")?.unwrap_or(DEFAULT_PORT);
        Self::read(&env, SocketAddr::new(host, port))
    }
    // </app>

    // <install>
    /// For accounts in an application that has settings of its own.
    pub fn from_env_of_host() -> Result<Self, SettingsError> {
        Self::from_lookup_of_host(find_in_env()?)
    }

    /// The same from anything that can look up a name. One with the [prefix](ENV_PREFIX) goes before, also an empty one, which
    /// counts as not set. Where the application listens is its own affair, and so is what its `HOST` and `PORT` look like.
    pub fn from_lookup_of_host(
        lookup: impl Fn(&str) -> Result<Option<String>, SettingsError>,
    ) -> Result<Self, SettingsError> {
        let prefixed_or_not = |name: &'static str| match lookup(&format!("{ENV_PREFIX}{name}"))? {
            Some(value) => Ok(Some(value)),
            None => lookup(name),
        };
        let env = Lookup(&prefixed_or_not);
        let host = env.text("HOST")?.and_then(|host| host.parse().ok()).unwrap_or(LOCALHOST);
        let port = env.text("PORT")?.and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT);
        Self::read(&env, SocketAddr::new(host, port))
    }
    // </install>

    fn read(env: &Lookup<'_>, listen: SocketAddr) -> Result<Self, SettingsError> {
        let said = env.parsed("APP_ENV", "dev, test or prod")?;
        let environment = said.unwrap_or(Environment::Dev);
        let prod = environment == Environment::Prod;

        let public_url = public_url(env, prod, listen)?;
        if said.is_none() {
            refuse_to_serve_others(listen, &public_url)?;
        }

        let mut warnings = Vec::new();
        let cookie_domain = env.text("COOKIE_DOMAIN")?;

        let mut sigra = Config::new("my_app", secret_key_base(env, environment)?)
            .older_secrets(older_secrets(env)?)
            .secure(prod)
            .cookie_domain(cookie_domain.clone())
            .session_cookie(user_auth::SESSION_COOKIE)
            .remember_me_cookie(user_auth::REMEMBER_ME_COOKIE)
            .session_ttl(env.seconds("SESSION_TTL")?.unwrap_or(user_auth::SESSION_TTL))
            .session_idle_timeout(env.seconds("SESSION_IDLE_TIMEOUT")?)
            // <pages>
            .log_in_at(user_auth::LOG_IN_PATH, user_auth::LOG_IN_MESSAGE)
            .sudo_at(user_auth::SUDO_PATH, user_auth::SUDO_MESSAGE)
            // <mfa>
            .mfa_challenge_at(user_auth::MFA_CHALLENGE_PATH, user_auth::MFA_CHALLENGE_MESSAGE)
            .mfa_enrolment_at(user_auth::MFA_ENROLMENT_PATH, user_auth::MFA_ENROLMENT_MESSAGE)
            // </mfa>
            // </pages>
            // <mfa>
            .mfa_issuer("MyApp")
            // </mfa>
            .trusted_origins(trusted_origins(env, &public_url)?)
            .trusted_proxies(trusted_proxies(env)?);
        if let Some(age) = env.seconds("SESSION_REISSUE_AGE")? {
            sigra = sigra.session_reissue_age(age);
        }
        if let Some(ttl) = env.seconds("SUDO_TTL")? {
            sigra = sigra.sudo_ttl(ttl);
        }
        if let Some(ttl) = env.seconds("RESET_TTL")? {
            sigra = sigra.reset_ttl(ttl);
        }
        if let Some(ttl) = env.seconds("CONFIRM_TTL")? {
            sigra = sigra.confirm_ttl(ttl);
        }
        if let Some(retention) = env.seconds("AUDIT_RETENTION")? {
            sigra = sigra.audit_retention(retention);
        }
        sigra = sigra.rate_limits(rate_limits(env, prod)?);

        // <passkeys>
        let relying_party = relying_party(env, &public_url, listen, prod, &mut warnings)?;
        sigra = sigra.relying_party(
            relying_party.clone().map(|(domain, origin)| RelyingParty::new(domain, origin).name("MyApp")),
        );
        // </passkeys>
        sigra.check()?;
        if let (Some(domain), Some(_)) = (&cookie_domain, env.text("PUBLIC_URL")?) {
            check_cookie_domain(domain, &public_url, prod, &mut warnings)?;
        }

        let policy = Policy {
            require_confirmation: env.switch("REQUIRE_CONFIRMATION")?.unwrap_or(false),
            reveal_taken_addresses: env.switch("REVEAL_TAKEN_ADDRESSES")?.unwrap_or(false),
            notify_new_devices: env.switch("NOTIFY_NEW_DEVICES")?.unwrap_or(true),
            allow_demo_password: environment == Environment::Dev,
            unconfirmed_ttl: env.seconds_or_none("UNCONFIRMED_TTL", DEFAULT_UNCONFIRMED_TTL)?,
            deletion_grace: env.seconds_or_none("DELETION_GRACE", DEFAULT_DELETION_GRACE)?,
            // <passkeys>
            passkey_domain: relying_party.map(|(domain, _)| domain),
            // </passkeys>
        };
        let smtp_url = smtp_url(env, prod, &mut warnings)?;
        let mail_from = env.text("MAIL_FROM")?.unwrap_or_else(|| default_sender(&public_url));
        // <app>
        let database_url = database_url(env, prod, &mut warnings)?;
        // </app>
        // <!app>
        // let database_url = env.text("DATABASE_URL")?.unwrap_or_else(|| database::DEFAULT_URL.to_owned());
        // </!app>
        // <sqlite>
        if prod && database::is_in_memory(&database_url) {
            return Err(SettingsError::InMemory);
        }
        // </sqlite>
        // <app>
        if environment == Environment::Dev && !listen.ip().to_canonical().is_loopback() {
            warnings.push(format!(
                "APP_ENV is dev, and it listens on {listen}: whoever reaches it can log in as demo@example.com"
            ));
        }
        // </app>

        Ok(Self {
            environment,
            listen,
            database_url,
            public_url,
            policy,
            smtp_url,
            mail_from,
            mail_reply_to: mail_reply_to(env)?,
            hsts_include_subdomains: env.switch("HSTS_INCLUDE_SUBDOMAINS")?.unwrap_or(false),
            // <app>
            log_filter: log_filter(env)?,
            // </app>
            sigra,
            warnings,
        })
    }

    /// Puts the warnings into the log.
    pub fn warn(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}

impl FromStr for Environment {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name.to_ascii_lowercase().as_str() {
            "dev" | "development" => Ok(Self::Dev),
            "test" => Ok(Self::Test),
            "prod" | "production" => Ok(Self::Prod),
            _ => Err(()),
        }
    }
}

/// What the environment says goes before what the file does.
fn find_in_env() -> Result<impl Fn(&str) -> Result<Option<String>, SettingsError>, SettingsError> {
    let file = env_file::read()?;
    Ok(move |name: &str| match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(file.get(name).cloned()),
        Err(env::VarError::NotUnicode(_)) => Err(SettingsError::NotText(name.to_owned())),
    })
}

/// A network, or one address.
struct Proxies(IpNet);

impl FromStr for Proxies {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Self).map_err(drop)
    }
}

fn trusted_proxies(env: &Lookup<'_>) -> Result<Vec<IpNet>, SettingsError> {
    let expected = "addresses or networks such as 127.0.0.1 or 10.0.0.0/8, separated by commas";
    let proxies = env.list::<Proxies>("TRUSTED_PROXIES", expected)?;
    Ok(proxies.into_iter().map(|Proxies(network)| network).collect())
}

/// Whose pages may send forms: its own, and those that `TRUSTED_ORIGINS` adds.
fn trusted_origins(env: &Lookup<'_>, public_url: &Url) -> Result<Vec<String>, SettingsError> {
    let mut origins = env.list("TRUSTED_ORIGINS", "origins such as https://admin.example.com, separated by commas")?;
    origins.push(public_url.origin().ascii_serialization());
    Ok(origins)
}

/// Without limits a password can be guessed: only development and tests may turn them off.
fn rate_limits(env: &Lookup, prod: bool) -> Result<bool, SettingsError> {
    const NAME: &str = "RATE_LIMITS";
    let expected = if prod { "on when APP_ENV is prod" } else { "on or off" };
    match env.text(NAME)?.as_deref() {
        None | Some("on") => Ok(true),
        Some("off") if !prod => Ok(false),
        Some(value) => Err(SettingsError::Invalid { name: NAME, value: value.to_owned(), expected }),
    }
}

// <passkeys>
/// The domain that passkeys are kept for, and the origin of the pages that use them. Browsers make none for an IP
/// address; on a development machine they do for `localhost`.
fn relying_party(
    env: &Lookup,
    public_url: &Url,
    listen: SocketAddr,
    prod: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<(String, String)>, SettingsError> {
    let origin = public_url.origin().ascii_serialization();
    if let Some(domain) = env.text("PASSKEY_DOMAIN")? {
        return Ok(Some((domain, origin)));
    }
    let (domain, origin) = match public_url.domain() {
        Some(domain) => (domain.to_owned(), origin),
        None if listen.ip().is_loopback() && !prod => {
            ("localhost".to_owned(), format!("http://localhost:{}", listen.port()))
        }
        None => {
            warnings.push(format!("there are no passkeys: browsers make none at an IP address, as in {origin}"));
            return Ok(None);
        }
    };
    match RelyingParty::new(&domain, &origin).check() {
        Err(error) if !prod => {
            warnings.push(format!("there are no passkeys: {error}"));
            Ok(None)
        }
        _ => Ok(Some((domain, origin))),
    }
}
// </passkeys>

/// Browsers refuse a cookie whose domain is not the page's, or one above it.
fn check_cookie_domain(
    domain: &str,
    public_url: &Url,
    prod: bool,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    let host = public_url.host_str().unwrap_or_default();
    if host == domain || host.ends_with(&format!(".{domain}")) {
        return Ok(());
    }
    let error = SettingsError::OutsideCookieDomain { host: host.to_owned(), domain };
    if prod {
        return Err(error);
    }
    warnings.push(error.to_string());
    Ok(())
}

/// Where mails go. In production the password for the mail server is sent by TLS alone, or not at all.
fn smtp_url(env: &Lookup, prod: bool, warnings: &mut Vec<String>) -> Result<String, SettingsError> {
    let url = env.text("SMTP_URL")?;
    if !prod {
        return Ok(url.unwrap_or_else(|| "memory:".to_owned()));
    }
    let Some(url) = url else {
        warnings.push("SMTP_URL is not set: no mail is sent, so nobody can reset a password".to_owned());
        return Ok("none:".to_owned());
    };
    if url.starts_with("memory:") {
        warnings.push("SMTP_URL is `memory:`: mails are kept in memory, and nobody gets them".to_owned());
    }
    if let Some(server) = Url::parse(&url).ok().filter(is_smtp_without_tls) {
        if server.password().is_some() {
            return Err(SettingsError::PasswordWithoutTls);
        }
        let host = server.host_str().and_then(|host| Host::parse(host).ok());
        if !host.is_some_and(|host| is_loopback(&host)) {
            warnings.push("SMTP_URL asks for no TLS: mails, and the links in them, can be read on the way".to_owned());
        }
    }
    Ok(url)
}

fn is_smtp_without_tls(url: &Url) -> bool {
    let tls = url.query_pairs().find(|(name, _)| name == "tls");
    url.scheme() == "smtp" && tls.is_none_or(|(_, value)| value != "required")
}

fn mail_reply_to(env: &Lookup) -> Result<Option<String>, SettingsError> {
    const NAME: &str = "MAIL_REPLY_TO";
    let expected = "an address alone, such as help@example.com";
    let Some(value) = env.text(NAME)? else { return Ok(None) };
    normalize_email(&value).map(Some).ok_or(SettingsError::Invalid { name: NAME, value, expected })
}

fn default_sender(public_url: &Url) -> String {
    let domain = public_url.domain().unwrap_or("localhost");
    format!("MyApp <no-reply@{domain}>")
}

// <app>
fn database_url(env: &Lookup, prod: bool, warnings: &mut Vec<String>) -> Result<String, SettingsError> {
    let url = env.text("DATABASE_URL")?;
    if prod && url.is_none() {
        warnings.push(format!("DATABASE_URL is not set: users are in {}, as in development", database::DEFAULT_URL));
    }
    Ok(url.unwrap_or_else(|| database::DEFAULT_URL.to_owned()))
}

fn log_filter(env: &Lookup) -> Result<String, SettingsError> {
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

fn public_url(env: &Lookup, prod: bool, listen: SocketAddr) -> Result<Url, SettingsError> {
    const NAME: &str = "PUBLIC_URL";
    let expected = if prod {
        "an address such as https://app.example.com, without a path"
    } else {
        "an address such as http://localhost:4000, without a path"
    };
    let value = match env.text(NAME)? {
        Some(value) => value,
        None if prod => {
            return Err(SettingsError::Missing { name: NAME, mend: "set it to the address that users type" });
        }
        None => format!("http://{listen}"),
    };
    if value.contains('@') {
        return Err(SettingsError::Credentials(NAME));
    }
    let is_web = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && !prod);
    let is_origin = |url: &Url| url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match Url::parse(&value) {
        Ok(url) if is_web(&url) && is_origin(&url) => Ok(url),
        _ => Err(SettingsError::Invalid { name: NAME, value, expected }),
    }
}

/// What nobody has called a development machine is none if others reach it: everybody knows the password of its user,
/// and everybody's mails can be read there.
fn refuse_to_serve_others(listen: SocketAddr, public_url: &Url) -> Result<(), SettingsError> {
    let forgotten = |name, value| Err(SettingsError::ForgottenEnvironment { name, value });
    let is_here = public_url.host().is_some_and(|host| is_loopback(&host));
    if public_url.scheme() == "https" || !is_here {
        return forgotten("PUBLIC_URL", public_url.origin().ascii_serialization());
    }
    if !listen.ip().to_canonical().is_loopback() {
        return forgotten("HOST", listen.ip().to_string());
    }
    Ok(())
}

/// Whether a name or an address always leads to the machine that asks. `localhost` and what is below it do (RFC 6761
/// section 6.3); any other name may be made to lead here.
pub fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.to_canonical().is_loopback(),
    }
}

fn secret_key_base(env: &Lookup, environment: Environment) -> Result<SecretKeyBase, SettingsError> {
    match (env.text("SECRET_KEY_BASE")?, environment) {
        (Some(secret), _) => Ok(SecretKeyBase::new(secret)?),
        (None, Environment::Prod) => Err(SettingsError::Missing {
            name: "SECRET_KEY_BASE",
            mend: "set it to 64 or more random characters, as from `openssl rand -base64 48`",
        }),
        (None, Environment::Dev) => kept_dev_secret(Path::new(DEV_SECRET_FILE)),
        (None, Environment::Test) => {
            SecretKeyBase::generate().map_err(|error| SettingsError::DevSecret(error.to_string()))
        }
    }
}

/// Secrets that are being rotated out, separated by commas, the newest first.
fn older_secrets(env: &Lookup) -> Result<Vec<SecretKeyBase>, SettingsError> {
    let secrets = env.text("SECRET_KEY_BASE_FALLBACKS")?.unwrap_or_default();
    let secrets = secrets.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    Ok(secrets.map(SecretKeyBase::new).collect::<Result<_, _>>()?)
}

fn kept_dev_secret(file: &Path) -> Result<SecretKeyBase, SettingsError> {
    let failed = |error: &dyn fmt::Display| SettingsError::DevSecret(error.to_string());
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    for _ in 0..DEV_SECRET_TRIES {
        match fs::read_to_string(file) {
            Ok(kept) if !kept.trim().is_empty() => return Ok(SecretKeyBase::new(kept.trim())?),
            // Another process starts at the same moment, and has not written it yet.
            Ok(_) => std::thread::sleep(DEV_SECRET_AGAIN),
            Err(_) => match options.open(file) {
                Ok(mut created) => {
                    let secret = SecretKeyBase::generate().map_err(|error| failed(&error))?;
                    created.write_all(secret.expose().as_bytes()).map_err(|error| failed(&error))?;
                    return Ok(secret);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&error)),
            },
        }
    }
    Err(failed(&"the file is empty: delete it"))
}
