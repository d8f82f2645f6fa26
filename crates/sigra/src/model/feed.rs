//! Whether a row that was read may have changed since. This is what lets a scope be kept in memory, and
//! still end with its session.
//!
//! A [`Feed`] is stamped before a row is read; what was read holds for as long as the feed says so of the
//! stamp. A feed that isn't sure says no, and the database is asked.

use std::fmt::Display;

/// Tells of a database whether a row that was read may have changed since.
pub trait Feed: Send + Sync + 'static {
    /// Its database.
    type Database: sqlx::Database;
    /// A moment in the database's history, not later than the row that is read next.
    type Stamp: Clone + Send + Sync;
    /// A session and a user, as far as their changes are told apart.
    type Subject: Copy + Send + Sync;

    /// A feed that has not begun, of sessions and of a table of users.
    fn new(pool: sqlx::Pool<Self::Database>, users: &'static str) -> Self;

    /// Begins, or begins again should its runtime have ended.
    fn ensure_running(&self);

    /// The present moment, if the feed can tell what happens from now on.
    fn stamp(&self) -> Option<Self::Stamp>;

    /// The subject of these ids.
    fn subject(session: &dyn Display, user: &dyn Display) -> Self::Subject;

    /// Whether nothing of the subject can have changed since.
    fn is_unchanged(&self, subject: &Self::Subject, since: &Self::Stamp) -> bool;

    /// Notes a change that this process has made, so that it need not wait to be told.
    fn note(&self, changed: &dyn Display);

    /// Resolves when another process may have changed something.
    #[cfg(feature = "live")]
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// While it is sure of anything, waits until it knows of every change that was committed before.
    #[cfg(feature = "testing")]
    fn catch_up(&self) -> impl Future<Output = ()> + Send;
}
