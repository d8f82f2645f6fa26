//! Login, lookup, renewal, revocation and logout.

pub(crate) mod access;
#[cfg(feature = "device-bound")]
pub(crate) mod binding;
#[cfg(feature = "device-bound")]
pub(crate) mod challenge;
pub(crate) mod handle;
pub(crate) mod known_browsers;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod log_in;
pub(crate) mod log_out;
pub(crate) mod look_up;
pub(crate) mod renew;
pub(crate) mod revoke;
pub(crate) mod trusted_browser;
