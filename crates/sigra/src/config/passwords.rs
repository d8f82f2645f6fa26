//! The settings of passwords.

use std::{thread::available_parallelism, time::Duration};

use crate::{
    base::config_error::{ConfigError, MAX_PASSWORD_WORKERS, check_timeout},
    password::{breach::BreachCheck, params::Argon2Params},
};

#[derive(Clone, Debug)]
pub(crate) struct PasswordSettings {
    pub argon2: Argon2Params,
    pub workers: usize,
    pub worker_timeout: Duration,
    pub breach_check: Option<BreachCheck>,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self {
            argon2: Argon2Params::default(),
            workers: available_parallelism().map_or(1, usize::from),
            worker_timeout: Duration::from_secs(5),
            breach_check: None,
        }
    }
}

impl PasswordSettings {
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_PASSWORD_WORKERS).contains(&self.workers) {
            return Err(ConfigError::PasswordWorkers(self.workers));
        }
        check_timeout("password_worker_timeout", self.worker_timeout)?;
        self.argon2.to_argon2().map(drop)
    }
}
