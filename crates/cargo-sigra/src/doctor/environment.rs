//! The settings that the application would see.

use std::{collections::BTreeMap, env, fs, path::Path};

use super::DoctorError;

pub struct Environment {
    file: BTreeMap<String, String>,
    ignores_process: bool,
}

impl Environment {
    /// Of this process, on top of a file's.
    pub fn read(file: Option<&Path>) -> Result<Self, DoctorError> {
        let file = match file {
            Some(path) => lines(path)?,
            None => BTreeMap::new(),
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

/// Lines as systemd and Docker read them.
fn lines(path: &Path) -> Result<BTreeMap<String, String>, DoctorError> {
    let text = fs::read_to_string(path).map_err(|error| DoctorError::EnvFile { path: path.to_owned(), error })?;
    let mut settings = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches("export ");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let unreadable = || DoctorError::EnvLine { path: path.to_owned(), line: number + 1 };
        let (name, value) = line.split_once('=').ok_or_else(unreadable)?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        settings.insert(name.trim().to_owned(), quoted.unwrap_or(value).to_owned());
    }
    Ok(settings)
}
