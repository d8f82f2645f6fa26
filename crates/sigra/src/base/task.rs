use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument, Span};

use crate::base::token::random_bytes;

/// Work in the background that starts when it is first needed, starts again if its runtime has ended, and ends when its
/// owner is dropped.
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

/// How long work that was abandoned can take: it may wait for something that never comes, with a connection of a pool.
const ABANDONED: Duration = Duration::from_mins(10);

/// Work that runs to its end even if its future is dropped, for at most [`ABANDONED`] then. Before, it runs where it is
/// awaited, with the task-locals, the spans and the panic handler of that place.
pub(crate) struct ToTheEnd<T: Send + 'static> {
    /// `None` when the work has ended. It isn't polled again after a panic.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    abandoned: TaskTracker,
    runtime: Option<Handle>,
    span: Span,
}

impl<T: Send + 'static> ToTheEnd<T> {
    /// Wraps some work. `abandoned` tracks it if its future is dropped before it ends.
    pub fn new(abandoned: &TaskTracker, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            work: Some(Box::pin(work)),
            abandoned: abandoned.clone(),
            runtime: Handle::try_current().ok(),
            span: Span::current(),
        }
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        let (Some(work), Some(runtime)) = (self.work.take(), &self.runtime) else { return };
        let span = std::mem::replace(&mut self.span, Span::none());
        let rest = async move {
            if timeout(ABANDONED, work).await.is_err() {
                tracing::error!(target: "sigra", "work whose client disconnected didn't end within ten minutes: it was stopped");
            }
        };
        drop(self.abandoned.spawn_on(rest.instrument(span), runtime));
    }
}

/// Returns a random duration from half to one and a half times as long, so that many processes don't act at once.
pub(crate) fn jittered(time: Duration) -> Duration {
    let random = random_bytes::<1>().map_or(128, |[byte]| byte);
    time / 2 + time * u32::from(random) / 255
}
