//! The state of one process, which is lost when it ends.

pub(crate) mod addresses;
pub(crate) mod answers;
#[cfg(feature = "live")]
pub(crate) mod connections;
pub(crate) mod health;
