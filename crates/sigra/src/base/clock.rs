//! The time that every age is measured against. Tests turn it; nothing else does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;

/// A time so much later, or the last there is. Rows may hold any time, and settings any length.
pub(crate) fn later(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    at.saturating_add(by.try_into().unwrap_or(time::Duration::MAX))
}

/// A time so much earlier, or the Unix epoch: no row is older.
pub(crate) fn earlier(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    at.saturating_sub(by.try_into().unwrap_or(time::Duration::MAX)).max(OffsetDateTime::UNIX_EPOCH)
}

/// The system's clock in UTC, and an offset that tests move.
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
    /// Where a stopped clock stands.
    stopped_at: Option<OffsetDateTime>,
    offset_ms: Arc<AtomicI64>,
    /// By how much the clock of this process is wrong, in tests.
    skew: time::Duration,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that moves only when it is turned.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn stopped() -> Self {
        Self { stopped_at: Some(OffsetDateTime::now_utc()), ..Self::default() }
    }

    /// The system's clock on a machine whose clock is wrong: ahead, or behind if it is negative.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn wrong_by(skew: time::Duration) -> Self {
        Self { skew, ..Self::default() }
    }

    /// The time now, in UTC.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = self.stopped_at.unwrap_or_else(OffsetDateTime::now_utc).saturating_add(self.skew);
        match self.offset_ms.load(Ordering::Relaxed) {
            0 => now,
            offset => now.saturating_add(time::Duration::milliseconds(offset)),
        }
    }

    /// What the database makes the time of that its own clock shows.
    pub(crate) fn server_time(&self) -> ServerTime {
        ServerTime { stopped_at_ms: self.stopped_at.map(to_ms), turned_by_ms: self.offset_ms.load(Ordering::Relaxed) }
    }

    /// Turns the clock forward, for every clone of it.
    #[cfg(any(test, feature = "testing"))]
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
    }
}

/// The time by the database's clock, which is the same for all processes, where this process's may differ by a
/// minute. What tests do to a [`Clock`] is done to it too.
#[derive(Clone, Copy, Debug)]
pub struct ServerTime {
    pub(crate) stopped_at_ms: Option<i64>,
    pub(crate) turned_by_ms: i64,
}

/// A length of time in milliseconds.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Milliseconds since the Unix epoch, where a column holds no time.
pub(crate) fn to_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_end_where_they_can_no_longer_be_told() {
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
