//! The settings that the application would see.

use std::{collections::HashMap, env, io, path::Path};

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

    /// A setting. An empty one is none.
    pub fn get(&self, name: &str) -> Option<String> {
        let of_process = if self.ignores_process { None } else { env::var(name).ok() };
        of_process.or_else(|| self.file.get(name).cloned()).filter(|value| !value.is_empty())
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

fn settings_in(path: &Path) -> Result<HashMap<String, String>, DoctorError> {
    let unreadable = |error| match error {
        dotenvy::Error::Io(error) => DoctorError::EnvFile { path: path.to_owned(), error },
        _ => DoctorError::EnvLine { path: path.to_owned() },
    };
    dotenvy::from_path_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}
