//! Settings by their names, as text, numbers and times.

use std::{str::FromStr, time::Duration};

use super::SettingsError;

/// No time is longer: 10 years, in seconds.
const LONGEST: u64 = 10 * 365 * 24 * 60 * 60;

/// Anything that can look up a name. An empty value is none, and blanks around one are not a part of it.
pub struct Lookup<'a>(pub &'a dyn Fn(&'static str) -> Result<Option<String>, SettingsError>);

impl Lookup<'_> {
    pub fn text(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        let value = (self.0)(name)?;
        Ok(value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
    }

    pub fn parsed<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| SettingsError::Invalid { name, value, expected })
    }

    pub fn seconds(&self, name: &'static str) -> Result<Option<Duration>, SettingsError> {
        let expected = "a whole number of seconds, from 1 to 315360000 (10 years)";
        match self.parsed::<u64>(name, expected)? {
            Some(seconds) if !(1..=LONGEST).contains(&seconds) => {
                Err(SettingsError::Invalid { name, value: seconds.to_string(), expected })
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    /// `0` is none.
    pub fn seconds_or_none(&self, name: &'static str, default: Duration) -> Result<Option<Duration>, SettingsError> {
        let expected = "a whole number of seconds, from 0 to 315360000 (10 years)";
        match self.parsed::<u64>(name, expected)? {
            None => Ok(Some(default)),
            Some(0) => Ok(None),
            Some(seconds) if seconds <= LONGEST => Ok(Some(Duration::from_secs(seconds))),
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
