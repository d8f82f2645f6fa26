//! The scopes of recent requests, and how changes reach them.

#[cfg(feature = "postgres")]
pub(crate) mod listener;
pub(crate) mod scopes;
#[cfg(feature = "sqlite")]
pub(crate) mod wal_index;
