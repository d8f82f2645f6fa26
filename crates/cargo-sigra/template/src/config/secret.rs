//! The secret that all keys are derived from, and the secrets that it replaced.

use std::{
    fmt, fs,
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use sigra::SecretKeyBase;

use super::{app_env::AppEnv, error::SettingsError, variables::Variables};

const NAME: &str = "SECRET_KEY_BASE";
const FALLBACKS: &str = "SECRET_KEY_BASE_FALLBACKS";

/// The file with the secret of a development machine, so that a restart doesn't log anyone out.
const DEV_SECRET_FILE: &str = ".my_app_dev_secret";

/// How often to read the file again while another process writes it.
const DEV_SECRET_MAX_TRIES: u32 = 100;
const DEV_SECRET_RETRY_DELAY: Duration = Duration::from_millis(10);

pub fn secret_key_base(env: &Variables, app_env: AppEnv) -> Result<SecretKeyBase, SettingsError> {
    match (env.text(NAME)?, app_env) {
        (Some(secret), _) => parse(NAME, &secret),
        (None, AppEnv::Prod) => Err(SettingsError::Missing {
            name: NAME,
            fix: "set it to 64 or more random characters, as from `openssl rand -base64 48`",
        }),
        (None, AppEnv::Dev) => load_dev_secret(Path::new(DEV_SECRET_FILE)),
        (None, AppEnv::Test) => SecretKeyBase::generate().map_err(dev_secret_error),
    }
}

/// Returns secrets that are being rotated out, newest first.
pub fn older_secrets(env: &Variables) -> Result<Vec<SecretKeyBase>, SettingsError> {
    let secrets = env.text(FALLBACKS)?.unwrap_or_default();
    let secrets = secrets.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    secrets.map(|secret| parse(FALLBACKS, secret)).collect()
}

fn parse(name: &'static str, secret: &str) -> Result<SecretKeyBase, SettingsError> {
    SecretKeyBase::new(secret).map_err(|error| SettingsError::ShortSecret(name, error))
}

/// Reads the secret, or creates it at the first start. If several processes start concurrently, one creates it and the
/// others read it.
fn load_dev_secret(file: &Path) -> Result<SecretKeyBase, SettingsError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    for _ in 0..DEV_SECRET_MAX_TRIES {
        match fs::read_to_string(file) {
            Ok(kept) if !kept.trim().is_empty() => return parse(DEV_SECRET_FILE, kept.trim()),
            // Another process has created the file and not yet written it.
            Ok(_) => thread::sleep(DEV_SECRET_RETRY_DELAY),
            Err(_) => match options.open(file) {
                Ok(mut created) => {
                    let secret = SecretKeyBase::generate().map_err(dev_secret_error)?;
                    created.write_all(secret.expose().as_bytes()).map_err(dev_secret_error)?;
                    return Ok(secret);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(dev_secret_error(error)),
            },
        }
    }
    Err(dev_secret_error("the file is empty: delete it"))
}

fn dev_secret_error(reason: impl fmt::Display) -> SettingsError {
    SettingsError::DevSecret { file: DEV_SECRET_FILE, reason: reason.to_string() }
}
