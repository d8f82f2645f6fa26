//! The clock that every age is measured with. Only tests move it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use time::OffsetDateTime;

/// Adds a duration to a time. Saturates at the last time that can be represented, because rows can have any time and
/// settings any duration.
pub(crate) fn later(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    at.saturating_add(by.try_into().unwrap_or(time::Duration::MAX))
}

/// Subtracts a duration from a time. Saturates at the Unix epoch, because no row is older.
pub(crate) fn earlier(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    at.saturating_sub(by.try_into().unwrap_or(time::Duration::MAX)).max(OffsetDateTime::UNIX_EPOCH)
}

/// The system's clock in UTC, plus an offset that tests can change.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use std::time::Duration;
///
/// let clock = sigra::Clock::system();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert!(clock.now() - before >= Duration::from_secs(3600));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The time of a stopped clock, without the offset.
    stopped_at: Option<OffsetDateTime>,
    offset_ms: Arc<AtomicI64>,
    /// How far the clock of this process is wrong, in tests.
    skew: time::Duration,
}

impl Clock {
    /// Returns the system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Returns a clock that moves only when a test [advances](Self::advance) it.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn stopped() -> Self {
        Self { stopped_at: Some(OffsetDateTime::now_utc()), ..Self::default() }
    }

    /// Returns a clock that is wrong: ahead of the system's, or behind it if `skew` is negative.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn wrong_by(skew: time::Duration) -> Self {
        Self { skew, ..Self::default() }
    }

    /// Returns the current time, in UTC.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = self.stopped_at.unwrap_or_else(OffsetDateTime::now_utc).saturating_add(self.skew);
        match self.offset_ms.load(Ordering::Relaxed) {
            0 => now,
            offset => now.saturating_add(time::Duration::milliseconds(offset)),
        }
    }

    /// Returns the milliseconds from the Unix epoch to now. It costs less than a date.
    pub(crate) fn now_ms(&self) -> i64 {
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        let skew = i64::try_from(self.skew.whole_milliseconds()).unwrap_or_default();
        let now = self.stopped_at.map_or_else(system, to_ms);
        now.saturating_add(skew).saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Returns the time since an instant. Unlike [`now`](Self::now), it doesn't depend on how the system's clock is set.
    pub(crate) fn since(&self, begun: Instant) -> Duration {
        let passed = if self.stopped_at.is_some() { Duration::ZERO } else { begun.elapsed() };
        passed.saturating_add(Duration::from_millis(self.offset_ms.load(Ordering::Relaxed).unsigned_abs()))
    }

    /// Returns what the database must do to the time of its own clock.
    pub(crate) fn server_time(&self) -> ServerTime {
        ServerTime { stopped_at_ms: self.stopped_at.map(to_ms), turned_by_ms: self.offset_ms.load(Ordering::Relaxed) }
    }

    /// Moves the clock forward, for all its clones.
    #[cfg(any(test, feature = "testing"))]
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
    }
}

/// The time by the database's clock. It is the same for all processes, whose own clocks may differ by a minute. What
/// tests do to a [`Clock`] applies to it too.
#[derive(Clone, Copy, Debug)]
pub struct ServerTime {
    pub(crate) stopped_at_ms: Option<i64>,
    pub(crate) turned_by_ms: i64,
}

/// Returns a duration in milliseconds.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Returns the milliseconds since the Unix epoch, for columns that have numbers instead of times.
pub(crate) fn to_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_milliseconds_is_that_of_the_date() {
        for clock in [Clock::system(), Clock::stopped(), Clock::wrong_by(time::Duration::seconds(-90))] {
            for _ in 0..2 {
                let (before, now, after) = (to_ms(clock.now()), clock.now_ms(), to_ms(clock.now()));
                assert!((before..=after).contains(&now), "{before} {now} {after}");
                clock.advance(Duration::from_secs(3600));
            }
        }
    }

    #[test]
    fn times_saturate_instead_of_overflowing() {
        let last = later(OffsetDateTime::UNIX_EPOCH, Duration::MAX);
        assert_eq!(later(last, Duration::from_secs(1)), last);
        assert_eq!(last.year(), 9999);
        assert_eq!(earlier(last, Duration::MAX), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(earlier(later(last, Duration::ZERO), Duration::from_secs(60)) + Duration::from_secs(60), last);
        let clock = Clock::system();
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), last);
    }
}
