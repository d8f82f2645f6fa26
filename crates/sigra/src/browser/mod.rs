//! Cookies and what is in them.

#[cfg(feature = "device-bound")]
pub(crate) mod binding;
#[cfg(feature = "device-bound")]
pub(crate) mod bound_cookie;
pub(crate) mod browser_tokens;
pub(crate) mod cookie_options;
pub(crate) mod cookie_session;
pub(crate) mod cookies;
pub(crate) mod entries;
pub(crate) mod flash;
pub(crate) mod presented;
pub(crate) mod request_cookies;
pub(crate) mod return_to;
pub(crate) mod sealed_entry;
pub(crate) mod token_fate;
pub(crate) mod visit;
