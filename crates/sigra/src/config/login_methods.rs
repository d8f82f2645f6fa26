//! The ways to log in besides passwords.

#[cfg(feature = "passkeys")]
use crate::{base::config_error::ConfigError, model::relying_party::RelyingParty};

#[derive(Clone, Debug)]
pub(crate) struct LoginMethods {
    pub links: bool,
    /// The names of the providers that users can log in with.
    pub providers: Vec<String>,
    #[cfg(feature = "passkeys")]
    pub relying_party: Option<RelyingParty>,
    #[cfg(feature = "passkeys")]
    pub passkeys_per_user: usize,
}

impl Default for LoginMethods {
    fn default() -> Self {
        Self {
            links: false,
            providers: Vec::new(),
            #[cfg(feature = "passkeys")]
            relying_party: None,
            #[cfg(feature = "passkeys")]
            passkeys_per_user: 10,
        }
    }
}

#[cfg(feature = "passkeys")]
impl LoginMethods {
    pub fn check(&self) -> Result<(), ConfigError> {
        self.relying_party.as_ref().map_or(Ok(()), RelyingParty::check)
    }
}
