//! The ways to log in besides passwords.

#[cfg(feature = "passkeys")]
use crate::{base::config_error::ConfigError, model::relying_party::RelyingParty};

#[derive(Clone, Debug, Default)]
pub(crate) struct LoginMethods {
    pub links: bool,
    /// The names of the providers that users can log in with.
    pub providers: Vec<String>,
    #[cfg(feature = "passkeys")]
    pub passkeys: Passkeys,
}

#[cfg(feature = "passkeys")]
#[derive(Clone, Debug)]
pub(crate) struct Passkeys {
    pub relying_party: Option<RelyingParty>,
    pub per_user: usize,
}

#[cfg(feature = "passkeys")]
impl Default for Passkeys {
    fn default() -> Self {
        Self { relying_party: None, per_user: 10 }
    }
}

#[cfg(feature = "passkeys")]
impl Passkeys {
    pub fn check(&self) -> Result<(), ConfigError> {
        self.relying_party.as_ref().map_or(Ok(()), RelyingParty::check)
    }
}
