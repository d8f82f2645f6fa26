//! The lifetimes of links in emails.

use std::time::Duration;

use crate::base::config_error::{ConfigError, check_durations};

#[derive(Clone, Debug)]
pub(crate) struct LinkLifetimes {
    pub confirm: Duration,
    pub reset: Duration,
    pub login: Duration,
    pub change_email: Duration,
    pub recovery: Duration,
}

impl Default for LinkLifetimes {
    fn default() -> Self {
        Self {
            confirm: Duration::from_hours(24),
            reset: Duration::from_mins(60),
            login: Duration::from_mins(15),
            change_email: Duration::from_hours(24),
            recovery: Duration::from_hours(7 * 24),
        }
    }
}

impl LinkLifetimes {
    pub fn check(&self) -> Result<(), ConfigError> {
        check_durations([
            ("confirm_ttl", self.confirm),
            ("reset_ttl", self.reset),
            ("login_link_ttl", self.login),
            ("change_email_ttl", self.change_email),
            ("recovery_ttl", self.recovery),
        ])
    }
}
