use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_util::task::AbortOnDropHandle;

/// Work in the background that begins when it is first needed, begins again should its runtime have ended, and
/// ends with its owner.
#[derive(Default)]
pub(crate) struct Task(Mutex<Option<AbortOnDropHandle<()>>>);

impl Task {
    pub fn ensure_running<F>(&self, work: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut task = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            *task = Some(AbortOnDropHandle::new(tokio::spawn(work())));
        }
    }
}

/// A time about as long, so that many processes don't do it all at once.
pub(crate) fn jittered(time: Duration) -> Duration {
    let random = crate::token::random_bytes::<1>().map_or(128, |[byte]| byte);
    time / 2 + time * u32::from(random) / 255
}
