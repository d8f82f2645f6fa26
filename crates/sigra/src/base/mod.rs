//! The foundation of the other modules.

#[cfg(feature = "api-tokens")]
pub(crate) mod api_token_problem;
pub(crate) mod authorization;
#[cfg(feature = "api-tokens")]
pub(crate) mod bearer_secret;
#[cfg(any(feature = "mail", feature = "oauth-server"))]
pub(crate) mod characters;
pub(crate) mod clock;
pub(crate) mod config_error;
pub(crate) mod error;
pub(crate) mod fingerprint;
pub(crate) mod keys;
pub(crate) mod origin;
pub(crate) mod problem;
pub(crate) mod task;
pub mod telemetry;
pub mod token;
