//! Plain data and the rules on it, without SQL and HTTP.

#[cfg_attr(not(feature = "api-tokens"), allow(dead_code, reason = "without the feature, no token is shown"))]
pub(crate) mod api_token;
pub(crate) mod audit;
#[cfg(feature = "oauth-server")]
pub(crate) mod authorization_server;
#[cfg(feature = "api-tokens")]
pub(crate) mod bearer;
#[cfg_attr(not(feature = "device-bound"), allow(dead_code, reason = "without the feature, sessions stay bound"))]
pub(crate) mod binding;
pub(crate) mod checked;
pub mod client;
pub(crate) mod database;
#[cfg(feature = "device-bound")]
pub(crate) mod device_bound;
pub(crate) mod feed;
#[cfg(feature = "oauth")]
pub(crate) mod identity;
pub(crate) mod limit;
pub(crate) mod log_in;
#[cfg(feature = "api-tokens")]
pub(crate) mod new_api_token;
#[cfg(feature = "oauth-server")]
pub(crate) mod oauth_client;
#[cfg(feature = "oauth-server")]
pub(crate) mod oauth_grant;
#[cfg_attr(not(feature = "oauth-server"), allow(dead_code, reason = "without the feature, only the purge needs them"))]
pub(crate) mod oauth_lifetimes;
#[cfg_attr(not(feature = "api-tokens"), allow(dead_code, reason = "without the feature, no token has any"))]
pub(crate) mod permission;
pub(crate) mod provider_secrets;
#[cfg(feature = "passkeys")]
pub(crate) mod relying_party;
pub(crate) mod scope;
pub(crate) mod second_factor;
pub(crate) mod session;
pub(crate) mod transaction;
pub(crate) mod user;
#[cfg(feature = "oauth-server")]
pub(crate) mod user_code;
pub(crate) mod window;
