//! The result of the last health check.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// How long a successful write counts, unless a request fails in the meantime.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(5);

/// The state of the health check.
#[derive(Default)]
pub(crate) struct Health {
    pub last: Mutex<Option<Probe>>,
    pub is_doubtful: AtomicBool,
}

pub(crate) struct Probe {
    pub at: Instant,
    pub outcome: Result<(), Arc<sqlx::Error>>,
}

impl Health {
    /// Records that a request failed, so that the next health check writes again.
    pub fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Relaxed);
    }
}
