//! Whether a row that was read may have changed since. This is what lets a scope be kept in memory, and
//! still end with its session.
//!
//! A [`Feed`] is stamped before a row is read; what was read holds for as long as the feed says so of the
//! stamp. A feed that isn't sure says no, and the database is asked.

#[cfg(feature = "postgres")]
mod listener;
#[cfg(feature = "sqlite")]
mod wal_index;

use std::{fmt::Display, future::Future, hash::Hasher, time::Duration};

#[cfg(feature = "postgres")]
pub use self::listener::Listener;
#[cfg(feature = "sqlite")]
pub use self::wal_index::WalIndex;

/// Tells of a database whether a row that was read may have changed since.
pub trait Feed: Send + Sync + 'static {
    /// Its database.
    type Database: sqlx::Database;
    /// A moment in the database's history, not later than the row that is read next.
    type Stamp: Clone + Send + Sync;

    /// A feed that has not begun.
    fn new(pool: sqlx::Pool<Self::Database>) -> Self;

    /// Begins, or begins again should its runtime have ended.
    fn ensure_running(&self);

    /// The present moment, if the feed can tell what happens from now on.
    fn stamp(&self) -> Option<Self::Stamp>;

    /// Whether nothing of the subject can have changed since.
    fn is_unchanged(&self, subject: &Subject, since: &Self::Stamp) -> bool;

    /// Notes a change that this process has made, so that it need not wait to be told.
    fn note(&self, changed: &dyn Display);

    /// Resolves when another process may have changed something.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// While it is sure of anything, waits until it knows of every change that was committed before.
    fn catch_up(&self) -> impl Future<Output = ()> + Send;
}

/// What a scope consists of: a session and a user, by a hash of their ids.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    session: u64,
    user: u64,
}

impl Subject {
    pub(crate) fn new(session: &dyn Display, user: &dyn Display) -> Self {
        Self { session: hash(session), user: hash(user) }
    }
}

/// The same for an id and for the text that the database makes of it.
fn hash(id: &dyn Display) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(id.to_string().as_bytes());
    hasher.finish()
}

/// A time about as long, so that many processes don't do it all at once.
pub(crate) fn jittered(time: Duration) -> Duration {
    let random = crate::token::random_bytes::<1>().map_or(128, |[byte]| byte);
    time / 2 + time * u32::from(random) / 255
}
