//! The time that every age is measured against. Tests turn it; nothing else does.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
#[cfg(any(test, feature = "testing"))]
use std::time::Duration;

use time::OffsetDateTime;

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

    /// The time now, in UTC.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = self.stopped_at.unwrap_or_else(OffsetDateTime::now_utc);
        match self.offset_ms.load(Ordering::Relaxed) {
            0 => now,
            offset => now + time::Duration::milliseconds(offset),
        }
    }

    /// Turns the clock forward, for every clone of it.
    #[cfg(any(test, feature = "testing"))]
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
    }
}
