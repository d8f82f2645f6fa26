//! Scopes of recent requests, and what tells that one of them has changed.

#[cfg(feature = "postgres")]
pub(crate) mod listener;
pub(crate) mod scopes;
#[cfg(feature = "sqlite")]
pub(crate) mod wal_index;
