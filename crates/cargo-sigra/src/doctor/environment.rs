//! The settings that the application would see.

use std::{collections::HashMap, env, fs, io, path::Path};

use super::DoctorError;

/// What the application reads where it runs.
const ENV_FILE: &str = ".env";

pub struct Environment {
    file: HashMap<String, String>,
    ignores_process: bool,
}

impl Environment {
    /// Of this process, on top of a file's. Without a file named, that is `.env`, if there is one.
    pub fn read(file: Option<&Path>) -> Result<Self, DoctorError> {
        let file = match settings_in(file.unwrap_or(Path::new(ENV_FILE))) {
            Err(DoctorError::EnvFile { error, .. }) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {
                HashMap::new()
            }
            settings => settings?,
        };
        Ok(Self { file, ignores_process: false })
    }

    /// A setting. An empty one is none, and blanks around one are not a part of it.
    pub fn get(&self, name: &str) -> Option<String> {
        let of_process = if self.ignores_process { None } else { env::var(name).ok() };
        let value = of_process.or_else(|| self.file.get(name).cloned())?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub fn is_prod(&self) -> bool {
        self.get("APP_ENV").as_deref() == Some("prod")
    }
}

#[cfg(test)]
impl Environment {
    pub fn of(settings: &[(&str, &str)]) -> Self {
        let file = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { file, ignores_process: true }
    }
}

/// Stands for `$` while the file is read, so that nothing is put in its place: a code point that no text has.
const DOLLAR: &str = "\u{fdd0}";

/// As the application reads them: a value is what is written, and a byte order mark is skipped.
fn settings_in(path: &Path) -> Result<HashMap<String, String>, DoctorError> {
    let unreadable = |error| DoctorError::EnvFile { path: path.to_owned(), error };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let text = text.trim_start_matches('\u{feff}').replace('$', DOLLAR);
    let settings = dotenvy::from_read_iter(text.as_bytes()).map(|setting| match setting {
        Ok((name, value)) => Ok((name, value.replace(DOLLAR, "$"))),
        Err(dotenvy::Error::Io(error)) => Err(unreadable(error)),
        Err(_) => Err(DoctorError::EnvLine { path: path.to_owned() }),
    });
    settings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_is_written() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), "\u{feff}A=pa$$word\nB=\"A$AP ${HOME}\" # a shop\n").expect("written");
        let settings = settings_in(file.path()).expect("settings");
        assert_eq!((&*settings["A"], &*settings["B"]), ("pa$$word", "A$AP ${HOME}"));
    }
}
