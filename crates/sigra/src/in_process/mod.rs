//! What a process remembers, and forgets when it ends.

pub(crate) mod addresses;
pub(crate) mod answers;
#[cfg(feature = "live")]
pub(crate) mod connections;
pub(crate) mod health;
