//! The times of rows that are valid or expired now.

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::clock::{earlier, later};

/// How far correct clocks can differ.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The times of rows that are valid now: not expired, and no further in the future than correct clocks can differ.
/// Otherwise, a row that a wrong clock wrote, or a time such as `infinity`, would be valid forever.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Rows are valid if they are from after this time.
    pub after: OffsetDateTime,
    /// Rows are valid if they are not from after this time.
    pub until: OffsetDateTime,
}

impl Window {
    pub(crate) fn of(ttl: Duration, now: OffsetDateTime) -> Self {
        Self { after: earlier(now, ttl), until: latest(now) }
    }

    /// Returns whether a row from this time is valid.
    #[cfg(feature = "oauth-server")]
    pub(crate) fn contains(&self, at: OffsetDateTime) -> bool {
        at > self.after && at <= self.until
    }
}

/// Returns the latest time that a correct clock can show now.
pub(crate) fn latest(now: OffsetDateTime) -> OffsetDateTime {
    later(now, CLOCK_SKEW)
}

/// The expired rows to delete.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Rows from before this time are expired.
    pub before: OffsetDateTime,
    /// The maximum number of rows to delete.
    pub limit: i64,
}
