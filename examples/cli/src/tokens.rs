//! The tokens, in a file that only the user can read.

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oauth2::{TokenResponse as _, basic::BasicTokenResponse};
use serde::{Deserialize, Serialize};

use crate::Result;

#[derive(Serialize, Deserialize)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    /// In seconds since the Unix epoch.
    expires_at: u64,
}

impl Tokens {
    pub fn of(response: &BasicTokenResponse) -> Result<Self> {
        let refresh = response.refresh_token().ok_or("the server sent no refresh token")?;
        let lifetime = response.expires_in().unwrap_or_default();
        Ok(Self {
            access: response.access_token().secret().clone(),
            refresh: refresh.secret().clone(),
            // A bit early, so that it doesn't expire on the way.
            expires_at: (now() + lifetime.saturating_sub(Duration::from_secs(30))).as_secs(),
        })
    }

    pub fn is_expired(&self) -> bool {
        now().as_secs() >= self.expires_at
    }

    pub fn load() -> Result<Self> {
        let text = fs::read_to_string(file()?).map_err(|_| "you are not logged in: use login")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Replaces the file as a whole. A program that is killed meanwhile must not lose the refresh token.
    pub fn save(&self) -> Result<()> {
        let (file, new) = (file()?, file()?.with_extension("new"));
        fs::create_dir_all(file.parent().ok_or("no folder for the tokens")?)?;
        write_privately(&new, &serde_json::to_vec(self)?)?;
        Ok(fs::rename(new, file)?)
    }

    pub fn delete() -> Result<()> {
        Ok(fs::remove_file(file()?)?)
    }
}

#[cfg(unix)]
fn write_privately(file: &PathBuf, content: &[u8]) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};

    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(content)
}

/// The user's folder is private on Windows.
#[cfg(not(unix))]
fn write_privately(file: &PathBuf, content: &[u8]) -> std::io::Result<()> {
    fs::write(file, content)
}

fn file() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or(set("APPDATA")).or_else(|| Some(set("HOME")?.join(".config")));
    Ok(folder.ok_or("HOME is not set")?.join("acme-cli").join("tokens.json"))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
