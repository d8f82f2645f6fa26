//! Environment variables, and those of the file `.env`: settings by name, as text, numbers and durations.

use std::{collections::HashMap, env, ffi::OsString, str::FromStr, time::Duration};

use super::{env_file, error::SettingsError};

/// The longest duration: 10 years, in seconds.
const MAX_SECONDS: u64 = 10 * 365 * 24 * 60 * 60;

/// Variables by name. An empty value counts as not set, and whitespace around a value is removed.
pub struct Variables(HashMap<String, OsString>);

impl Variables {
    /// Reads the environment of this process, and the file `.env` for variables that aren't set.
    pub fn read() -> Result<Self, SettingsError> {
        let file = env_file::read()?.into_iter().map(|(name, value)| (name, value.into()));
        let process = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Ok(file.chain(process).collect())
    }

    // <install>
    /// Makes a variable with the prefix override the one without it, even if it is empty.
    pub fn prefer_prefixed(mut self, prefix: &str) -> Self {
        let without_prefix =
            |(name, value): (&String, &OsString)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone()));
        let prefixed: Vec<_> = self.0.iter().filter_map(without_prefix).collect();
        self.0.extend(prefixed);
        self
    }
    // </install>

    pub fn text(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let value = value.to_str().ok_or(SettingsError::NotText(name))?.trim();
        Ok((!value.is_empty()).then(|| value.to_owned()))
    }

    // <oauth>
    /// Like [`text`](Self::text), for a name that depends on another variable.
    pub fn provider_text(&self, name: &str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let value = value.to_str().ok_or_else(|| SettingsError::ProviderNotText(name.to_owned()))?.trim();
        Ok((!value.is_empty()).then(|| value.to_owned()))
    }
    // </oauth>

    pub fn parsed<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| SettingsError::Invalid { name, value, expected })
    }

    pub fn seconds(&self, name: &'static str) -> Result<Option<Duration>, SettingsError> {
        let expected = "a whole number of seconds, from 1 to 315360000 (10 years)";
        match self.parsed::<u64>(name, expected)? {
            Some(seconds) if !(1..=MAX_SECONDS).contains(&seconds) => {
                Err(SettingsError::Invalid { name, value: seconds.to_string(), expected })
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    /// Returns `None` for `0`, which turns the setting off.
    pub fn seconds_or_none(&self, name: &'static str, default: Duration) -> Result<Option<Duration>, SettingsError> {
        let expected = "a whole number of seconds, from 0 to 315360000 (10 years)";
        match self.parsed::<u64>(name, expected)? {
            None => Ok(Some(default)),
            Some(0) => Ok(None),
            Some(seconds) if seconds <= MAX_SECONDS => Ok(Some(Duration::from_secs(seconds))),
            Some(seconds) => Err(SettingsError::Invalid { name, value: seconds.to_string(), expected }),
        }
    }

    pub fn switch(&self, name: &'static str) -> Result<Option<bool>, SettingsError> {
        self.parsed(name, "true or false")
    }

    pub fn list<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Vec<T>, SettingsError> {
        let value = self.text(name)?.unwrap_or_default();
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse);
        items.collect::<Result<_, _>>().map_err(|_| SettingsError::Invalid { name, value: value.clone(), expected })
    }
}

/// Of two values for one name, the later one wins.
impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
