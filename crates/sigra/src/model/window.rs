//! Which rows are good now, and which are over.

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::clock::{earlier, later};

/// How far clocks that are right may differ.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// When a row must be from to be good now: not so long ago that its time is over, and no further ahead than clocks that
/// are right may differ. What a wrong clock has written, or a time such as `infinity`, would be good for ever.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Those from after this time.
    pub after: OffsetDateTime,
    /// Those from no later than this.
    pub until: OffsetDateTime,
}

impl Window {
    pub(crate) fn of(ttl: Duration, now: OffsetDateTime) -> Self {
        Self { after: earlier(now, ttl), until: latest(now) }
    }
}

/// The latest time that a clock which is right may show by now.
pub(crate) fn latest(now: OffsetDateTime) -> OffsetDateTime {
    later(now, CLOCK_SKEW)
}

/// What is to be deleted of rows that are over.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Those from before.
    pub before: OffsetDateTime,
    /// At most so many.
    pub limit: i64,
}
