//! The state of one process, which is lost when it ends.

pub(crate) mod addresses;
#[cfg(feature = "device-bound")]
pub(crate) mod bindings;
#[cfg(feature = "live")]
pub(crate) mod connections;
pub(crate) mod health;
pub(crate) mod stored_responses;
