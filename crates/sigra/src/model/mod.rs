//! Plain data and the rules on it, without SQL and HTTP.

pub(crate) mod audit;
pub(crate) mod checked;
pub mod client;
pub(crate) mod database;
pub(crate) mod feed;
#[cfg(feature = "oauth")]
pub(crate) mod identity;
pub(crate) mod limit;
pub(crate) mod log_in;
pub(crate) mod provider_secrets;
#[cfg(feature = "passkeys")]
pub(crate) mod relying_party;
pub(crate) mod scope;
pub(crate) mod second_factor;
pub(crate) mod session;
pub(crate) mod transaction;
pub(crate) mod user;
pub(crate) mod window;
