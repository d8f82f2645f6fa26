//! Finds out whether a row may have changed since it was read, so that a cached scope still ends with its session.
//!
//! Take a stamp of a [`Feed`] before you read a row. The row is current as long as the feed confirms it for the stamp.
//! A feed that isn't certain doesn't confirm it, and the database is queried.

use std::fmt::Display;

/// Finds out whether a row of a database may have changed since it was read.
pub trait Feed: Send + Sync + 'static {
    /// The database.
    type Database: sqlx::Database;
    /// A moment in the database's history, not later than the row that is read next.
    type Stamp: Clone + Send + Sync;
    /// A session or a bearer token, and its user, as precisely as the feed distinguishes changes.
    type Subject: Copy + Send + Sync;

    /// Creates a feed of sessions, of bearer tokens, and of a table of users. It doesn't run yet.
    fn new(pool: sqlx::Pool<Self::Database>, users: &'static str) -> Self;

    /// Starts the feed, or starts it again if its runtime has ended.
    fn ensure_running(&self);

    /// Returns the current moment. `None` if the feed can't be certain to notice changes after it.
    fn stamp(&self) -> Option<Self::Stamp>;

    /// Returns the subject of these ids.
    fn subject(session: &dyn Display, user: &dyn Display) -> Self::Subject;

    /// Returns whether the subject can't have changed since a stamp.
    fn is_unchanged(&self, subject: &Self::Subject, since: &Self::Stamp) -> bool;

    /// Notes a change that this process made, so that the feed doesn't have to wait for its notification.
    fn note(&self, changed: &dyn Display);

    /// Resolves when another process may have changed something.
    #[cfg(feature = "live")]
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Waits until the feed knows of every change that was committed before. Returns at once while it isn't certain.
    #[cfg(feature = "testing")]
    fn catch_up(&self) -> impl Future<Output = ()> + Send;
}
