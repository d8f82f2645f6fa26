//! Environment variables and those of the file `.env`, read the way the application reads them.

use std::{
    collections::HashMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::render::module::prefix;

/// Why the settings can't be read.
#[derive(Debug, thiserror::Error)]
pub enum VariablesError {
    #[error("can't read `{path}`: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    // The line isn't shown, because it can contain a secret.
    #[error("`{path}` has a line that isn't a setting: write NAME=value, with quotes around a value with spaces")]
    InvalidLine { path: PathBuf },
}

/// The settings file that the application reads in its working directory.
const ENV_FILE: &str = ".env";

/// Variables by name.
pub struct Variables {
    file: HashMap<String, String>,
    /// The prefix of setting names that override the others, in an existing application with accounts.
    prefix: Option<String>,
    ignores_process: bool,
}

impl Variables {
    /// Reads the settings of this process, which override those of the file. Without a file, that is `.env`, if it
    /// exists.
    pub fn read(file: Option<&Path>, module: Option<&str>) -> Result<Self, VariablesError> {
        let file = match settings_in(file.unwrap_or(Path::new(ENV_FILE))) {
            Err(VariablesError::Unreadable { error, .. })
                if file.is_none() && error.kind() == io::ErrorKind::NotFound =>
            {
                HashMap::new()
            }
            settings => settings?,
        };
        Ok(Self { file, prefix: module.map(prefix), ignores_process: false })
    }

    /// Returns a setting, without surrounding spaces. An empty setting counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        let prefixed = self.prefix.as_ref().and_then(|prefix| self.find(&format!("{prefix}{name}")));
        let value = prefixed.or_else(|| self.find(name))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn find(&self, name: &str) -> Option<String> {
        let of_process = if self.ignores_process { None } else { env::var(name).ok() };
        of_process.or_else(|| self.file.get(name).cloned())
    }

    /// Returns `APP_ENV`, normalized. Fails with the value if the application doesn't know it.
    pub fn kind(&self) -> Option<Result<&'static str, String>> {
        let name = self.get("APP_ENV")?;
        Some(match name.to_ascii_lowercase().as_str() {
            "dev" | "development" => Ok("dev"),
            "test" => Ok("test"),
            "prod" | "production" => Ok("prod"),
            _ => Err(name),
        })
    }

    pub fn is_prod(&self) -> bool {
        self.kind() == Some(Ok("prod"))
    }
}

#[cfg(test)]
impl Variables {
    pub fn of(settings: &[(&str, &str)]) -> Self {
        let file = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { file, prefix: None, ignores_process: true }
    }

    pub fn in_module(mut self, module: &str) -> Self {
        self.prefix = Some(prefix(module));
        self
    }
}

/// Replaces `$` while the file is parsed, so that dotenvy substitutes no variables. No text contains this code point.
const DOLLAR: &str = "\u{fdd0}";

/// Reads a settings file like the application: values are literal, and a byte order mark is skipped.
fn settings_in(path: &Path) -> Result<HashMap<String, String>, VariablesError> {
    let unreadable = |error| VariablesError::Unreadable { path: path.to_owned(), error };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let text = text.trim_start_matches('\u{feff}').replace('$', DOLLAR);
    let settings = dotenvy::from_read_iter(text.as_bytes()).map(|setting| match setting {
        Ok((name, value)) => Ok((name, value.replace(DOLLAR, "$"))),
        Err(dotenvy::Error::Io(error)) => Err(unreadable(error)),
        Err(_) => Err(VariablesError::InvalidLine { path: path.to_owned() }),
    });
    settings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_with_the_prefix_of_the_module_overrides_the_plain_one() {
        let settings =
            [("APP_ENV", "Production"), ("SMTP_URL", "hosts.own"), ("AUTH_SMTP_URL", ""), ("AUTH_PORT", "1")];
        let of_module = Variables::of(&settings).in_module("auth");
        assert!(of_module.is_prod());
        assert_eq!((of_module.get("SMTP_URL"), of_module.get("PORT").as_deref()), (None, Some("1")));
        assert_eq!(Variables::of(&settings).get("SMTP_URL").as_deref(), Some("hosts.own"));
        assert!(Variables::of(&settings).in_module("login").get("PORT").is_none());
    }

    #[test]
    fn values_are_literal() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), "\u{feff}A=pa$$word\nB=\"A$AP ${HOME}\" # a shop\n").expect("written");
        let settings = settings_in(file.path()).expect("settings");
        assert_eq!((&*settings["A"], &*settings["B"]), ("pa$$word", "A$AP ${HOME}"));
    }
}
