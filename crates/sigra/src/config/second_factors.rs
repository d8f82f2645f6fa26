//! The settings of second factors.

use std::time::Duration;

use crate::base::config_error::{ConfigError, check_durations};

#[derive(Clone, Debug)]
pub(crate) struct SecondFactors {
    pub issuer: String,
    pub trust_ttl: Duration,
}

impl SecondFactors {
    /// Returns the defaults of an application.
    pub fn of(app: &str) -> Self {
        Self { issuer: app.to_owned(), trust_ttl: Duration::from_hours(30 * 24) }
    }

    pub fn check(&self) -> Result<(), ConfigError> {
        check_durations([("mfa_trust_ttl", self.trust_ttl)])
    }
}
