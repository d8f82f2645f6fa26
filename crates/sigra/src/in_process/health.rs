//! Whether the database answers, and takes what is written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// How long it is believed that writes are taken, unless something fails meanwhile.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(5);

/// What is known of it.
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
    /// A request failed: the next one who asks does not hear what was known before.
    pub fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Relaxed);
    }
}
