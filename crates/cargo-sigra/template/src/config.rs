//! The settings, from the environment and a file `.env`, checked before anything starts.

use std::{
    collections::HashMap,
    env, fmt, fs,
    io::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
    str::FromStr,
    time::Duration,
};

use sigra::{Config, ConfigError, SecretKeyBase, SecretKeyBaseError};
// <passkeys>
use sigra::config::RelyingParty;
// </passkeys>
use url::Url;

use crate::{accounts::Policy, database, web::user_auth};

/// Settings for this machine alone: git ignores it.
const ENV_FILE: &str = ".env";

/// Where it listens, unless `PORT` says otherwise.
const DEFAULT_PORT: u16 = 4000;

/// Where the secret of a development machine is kept, so that a restart logs nobody out.
const DEV_SECRET_FILE: &str = ".my_app_dev_secret";

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
    pub sigra: Config,
}

/// A setting that can't be used, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{name} is `{value}`: it must be {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
    #[error("{name} is not set, and APP_ENV=prod needs it: {mend}")]
    Missing { name: &'static str, mend: &'static str },
    #[error("{0} is set to something that is not UTF-8 text")]
    NotText(&'static str),
    #[error("`{ENV_FILE}` can't be read: {0}")]
    EnvFile(std::io::Error),
    // The line is not shown: it may hold a secret.
    #[error("`{ENV_FILE}` has a line that is no setting: write NAME=value, with quotes around a value with spaces")]
    EnvLine,
    #[error(transparent)]
    SecretKeyBase(#[from] SecretKeyBaseError),
    #[error(transparent)]
    Sigra(#[from] ConfigError),
    #[error("the secret for development can't be kept in `{DEV_SECRET_FILE}`: {0}")]
    DevSecret(String),
}

impl Settings {
    /// What the environment says goes before what the file does.
    pub fn from_env() -> Result<Self, SettingsError> {
        let file = read_env_file()?;
        Self::from_lookup(|name| match env::var(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(env::VarError::NotPresent) => Ok(file.get(name).cloned().filter(|value| !value.is_empty())),
            Err(env::VarError::NotUnicode(_)) => Err(SettingsError::NotText(name)),
        })
    }

    /// Reads the settings from anything that can look up a name.
    pub fn from_lookup(
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingsError>,
    ) -> Result<Self, SettingsError> {
        let env = Lookup(lookup);
        let environment = env.parsed("APP_ENV", "dev, test or prod")?.unwrap_or(Environment::Dev);
        let prod = environment == Environment::Prod;

        let host: IpAddr =
            env.parsed("HOST", "an IP address such as 127.0.0.1")?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let port: u16 = env.parsed("PORT", "a port number such as 4000")?.unwrap_or(DEFAULT_PORT);
        let listen = SocketAddr::new(host, port);
        let public_url = public_url(&env, prod, listen)?;

        let mut sigra = Config::new("my_app", secret_key_base(&env, environment)?)
            .older_secrets(older_secrets(&env)?)
            .secure(prod)
            .cookie_domain(env.text("COOKIE_DOMAIN")?)
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
            .trusted_origins([public_url.origin().ascii_serialization()])
            .trusted_proxies(env.list("TRUSTED_PROXIES", "networks such as 10.0.0.0/8, separated by commas")?);
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
        sigra = sigra.rate_limits(rate_limits(&env, prod)?);

        // <passkeys>
        let relying_party = relying_party(&env, &public_url, listen)?;
        sigra = sigra.relying_party(
            relying_party.clone().map(|(domain, origin)| RelyingParty::new(domain, origin).name("MyApp")),
        );
        // </passkeys>
        sigra.check()?;

        let policy = Policy {
            require_confirmation: env.switch("REQUIRE_CONFIRMATION")?.unwrap_or(false),
            reveal_taken_addresses: env.switch("REVEAL_TAKEN_ADDRESSES")?.unwrap_or(false),
            notify_new_devices: env.switch("NOTIFY_NEW_DEVICES")?.unwrap_or(true),
            deletion_grace: env.seconds("DELETION_GRACE")?,
            // <passkeys>
            passkey_domain: relying_party.map(|(domain, _)| domain),
            // </passkeys>
        };
        let smtp_url = env.text("SMTP_URL")?.unwrap_or_else(|| if prod { "none:" } else { "memory:" }.to_owned());
        let mail_from = env.text("MAIL_FROM")?.unwrap_or_else(|| default_sender(&public_url));

        let database_url = env.text("DATABASE_URL")?.unwrap_or_else(|| database::DEFAULT_URL.to_owned());
        Ok(Self { environment, listen, database_url, public_url, policy, smtp_url, mail_from, sigra })
    }
}

impl FromStr for Environment {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "dev" => Ok(Self::Dev),
            "test" => Ok(Self::Test),
            "prod" => Ok(Self::Prod),
            _ => Err(()),
        }
    }
}

fn read_env_file() -> Result<HashMap<String, String>, SettingsError> {
    let unreadable = |error| match error {
        dotenvy::Error::Io(error) => SettingsError::EnvFile(error),
        _ => SettingsError::EnvLine,
    };
    match dotenvy::from_path_iter(ENV_FILE) {
        Ok(lines) => lines.collect::<Result<_, _>>().map_err(unreadable),
        Err(error) if error.not_found() => Ok(HashMap::new()),
        Err(error) => Err(unreadable(error)),
    }
}

struct Lookup<F>(F);

impl<F: Fn(&'static str) -> Result<Option<String>, SettingsError>> Lookup<F> {
    fn text(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        self.0(name)
    }

    fn parsed<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| SettingsError::Invalid { name, value, expected })
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>, SettingsError> {
        let expected = "a whole number of seconds, at least 1";
        match self.parsed::<u64>(name, expected)? {
            Some(0) => Err(SettingsError::Invalid { name, value: "0".to_owned(), expected }),
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    fn switch(&self, name: &'static str) -> Result<Option<bool>, SettingsError> {
        self.parsed(name, "true or false")
    }

    fn list<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Vec<T>, SettingsError> {
        let value = self.text(name)?.unwrap_or_default();
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse);
        items.collect::<Result<_, _>>().map_err(|_| SettingsError::Invalid { name, value: value.clone(), expected })
    }
}

/// Without limits a password can be guessed: only development and tests may turn them off.
fn rate_limits<F>(env: &Lookup<F>, prod: bool) -> Result<bool, SettingsError>
where
    F: Fn(&'static str) -> Result<Option<String>, SettingsError>,
{
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
fn relying_party<F>(
    env: &Lookup<F>,
    public_url: &Url,
    listen: SocketAddr,
) -> Result<Option<(String, String)>, SettingsError>
where
    F: Fn(&'static str) -> Result<Option<String>, SettingsError>,
{
    let origin = public_url.origin().ascii_serialization();
    Ok(match (env.text("PASSKEY_DOMAIN")?, public_url.domain()) {
        (Some(domain), _) => Some((domain, origin)),
        (None, Some(domain)) => Some((domain.to_owned(), origin)),
        (None, None) if listen.ip().is_loopback() => {
            Some(("localhost".to_owned(), format!("http://localhost:{}", listen.port())))
        }
        (None, None) => None,
    })
}
// </passkeys>

fn default_sender(public_url: &Url) -> String {
    let domain = public_url.domain().unwrap_or("localhost");
    format!("MyApp <no-reply@{domain}>")
}

fn public_url<F>(env: &Lookup<F>, prod: bool, listen: SocketAddr) -> Result<Url, SettingsError>
where
    F: Fn(&'static str) -> Result<Option<String>, SettingsError>,
{
    const NAME: &str = "PUBLIC_URL";
    let expected =
        if prod { "an address such as https://app.example.com" } else { "an address such as http://localhost:4000" };
    let value = match env.text(NAME)? {
        Some(value) => value,
        None if prod => {
            return Err(SettingsError::Missing { name: NAME, mend: "set it to the address that users type" });
        }
        None => format!("http://{listen}"),
    };
    let scheme_fits = |url: &Url| if prod { url.scheme() == "https" } else { url.scheme().starts_with("http") };
    match Url::parse(&value) {
        Ok(url) if scheme_fits(&url) && url.has_host() && url.path() == "/" && url.query().is_none() => Ok(url),
        _ => Err(SettingsError::Invalid { name: NAME, value, expected }),
    }
}

fn secret_key_base<F>(env: &Lookup<F>, environment: Environment) -> Result<SecretKeyBase, SettingsError>
where
    F: Fn(&'static str) -> Result<Option<String>, SettingsError>,
{
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
fn older_secrets<F>(env: &Lookup<F>) -> Result<Vec<SecretKeyBase>, SettingsError>
where
    F: Fn(&'static str) -> Result<Option<String>, SettingsError>,
{
    let secrets = env.text("SECRET_KEY_BASE_FALLBACKS")?.unwrap_or_default();
    let secrets = secrets.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    Ok(secrets.map(SecretKeyBase::new).collect::<Result<_, _>>()?)
}

fn kept_dev_secret(file: &Path) -> Result<SecretKeyBase, SettingsError> {
    let failed = |error: &dyn fmt::Display| SettingsError::DevSecret(error.to_string());
    if let Ok(kept) = fs::read_to_string(file) {
        return Ok(SecretKeyBase::new(kept.trim())?);
    }
    let secret = SecretKeyBase::generate().map_err(|error| failed(&error))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut created = options.open(file).map_err(|error| failed(&error))?;
    created.write_all(secret.expose().as_bytes()).map_err(|error| failed(&error))?;
    Ok(secret)
}
