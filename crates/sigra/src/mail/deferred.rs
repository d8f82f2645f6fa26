//! Work that can lead to emails, and runs after the response.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::base::{telemetry, token::random_bytes};

/// The shortest delay of work, after the response. The longest is [`MAX_DELAY`].
pub(super) const MIN_DELAY: Duration = Duration::from_millis(200);

/// See [`MIN_DELAY`].
const MAX_DELAY: Duration = Duration::from_secs(2);

/// How much work can wait. It is counted apart from emails, because pages promise the emails.
const MAX: usize = 1000;

/// How much work runs at the same time: one piece, so that requests have priority.
const CONCURRENCY: usize = 1;

/// Runs work in the background, each piece after a random delay.
#[derive(Clone)]
pub(super) struct Deferred {
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    /// Notified to end all delays.
    flush: Arc<Notify>,
    /// The shortest delay, and the longest.
    delays: (Duration, Duration),
}

impl Default for Deferred {
    fn default() -> Self {
        Self::between(MIN_DELAY, MAX_DELAY)
    }
}

impl Deferred {
    /// With delays between these.
    pub(super) fn between(min: Duration, max: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(CONCURRENCY));
        Self { tasks: TaskTracker::new(), permits, flush: Arc::default(), delays: (min, max) }
    }

    pub fn spawn<E>(&self, work: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: fmt::Display + Send + 'static,
    {
        if self.tasks.len() >= MAX {
            let error = "too much work that leads to emails is waiting";
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, error);
            return;
        }
        let deferred = self.clone();
        self.tasks.spawn(async move {
            deferred.delay().await;
            let _permit = deferred.permits.acquire().await;
            if let Err(error) = work.await {
                tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, %error);
            }
        });
    }

    /// Returns how much work waits or runs.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Ends the delays of all work that waits.
    pub fn flush(&self) {
        self.flush.notify_waiters();
    }

    async fn delay(&self) {
        tokio::select! {
            () = tokio::time::sleep(random_between(self.delays)) => {}
            () = self.flush.notified() => {}
        }
    }
}

/// Returns a random delay between the shortest and the longest.
fn random_between((min, max): (Duration, Duration)) -> Duration {
    let random = random_bytes().map_or(u16::MAX, u16::from_be_bytes);
    min + (max - min) * u32::from(random) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_5_delays_are_random() {
        let delays: Vec<Duration> = (0..100).map(|_| random_between(Deferred::default().delays)).collect();
        assert!(delays.iter().all(|delay| (MIN_DELAY..=MAX_DELAY).contains(delay)), "{delays:?}");
        let first_half = delays.iter().filter(|delay| **delay < (MIN_DELAY + MAX_DELAY) / 2).count();
        assert!((10..90).contains(&first_half), "{delays:?}");
    }
}
