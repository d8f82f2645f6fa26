//! Live connections: WebSockets and event streams that end when their session ends.
//!
//! One identifier joins all parts: the session row's id. A connection is registered under it, every
//! deletion announces it, and while there are connections a sweep asks the database twice a second which
//! of their sessions are still good. So a connection ends within a second, also when its session expired,
//! its user was deactivated, or somebody deleted the row by hand.
//!
//! A session that nobody can vouch for is not good: if its row can't be read its connections end, and if the database
//! can't be asked they end after [a while](crate::Config::live_without_database). A session and a user have
//! [so many](crate::Config::live_connections) and no more, for each costs memory.

mod connection;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

pub use self::connection::{
    CLOSE_GOING_AWAY, CLOSE_SESSION_ENDED, CLOSE_TRY_AGAIN_LATER, Closed, Live, LiveRejection, LiveSocket, OnMount,
};
use crate::{store::SessionId, telemetry};

/// How many live connections there may be at the same time, in each process.
///
/// ```
/// use sigra::{Config, SecretKeyBase, live::LiveLimit};
///
/// let limit = LiveLimit { per_session: 5, ..LiveLimit::default() };
/// let config = Config::new("my_app", SecretKeyBase::generate()?).live_connections(limit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveLimit {
    /// Of one session: of all tabs of a browser.
    pub per_session: usize,
    /// Of one user, in all their sessions.
    pub per_user: usize,
}

impl Default for LiveLimit {
    /// 50 of a session, 200 of a user.
    fn default() -> Self {
        Self { per_session: 50, per_user: 200 }
    }
}

/// The live connections of this process, by session.
#[derive(Clone, Default)]
pub(crate) struct LiveConnections(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    sessions: HashMap<SessionId, Entry>,
    users: HashMap<Arc<str>, usize>,
    is_swept: bool,
    is_closed: bool,
}

struct Entry {
    ended: Ended,
    connections: usize,
    user: Arc<str>,
    /// When the session was last known to be good.
    checked_at: Instant,
}

/// Tells the connections of a session that they end, and why.
#[derive(Clone, Default)]
struct Ended {
    token: CancellationToken,
    why: Arc<OnceLock<Ending>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    SessionEnded,
    Unchecked,
    GoingAway,
}

impl Ended {
    fn end(&self, why: Ending) {
        // The first reason stands.
        let _ = self.why.set(why);
        self.token.cancel();
    }
}

impl LiveConnections {
    /// Ends the connections of these sessions.
    pub fn end(&self, ids: &[SessionId]) {
        let registry = self.registry();
        for id in ids {
            if let Some(entry) = registry.sessions.get(id) {
                tracing::info!(target: "sigra", event = telemetry::LIVE_ENDED, session_id = %id);
                entry.ended.end(Ending::SessionEnded);
            }
        }
    }

    /// Ends all, and takes no more.
    fn close(&self) {
        let mut registry = self.registry();
        registry.is_closed = true;
        registry.sessions.values().for_each(|entry| entry.ended.end(Ending::GoingAway));
    }

    /// Notes that these sessions are good.
    fn note_good(&self, ids: &[SessionId]) {
        let mut registry = self.registry();
        for id in ids {
            if let Some(entry) = registry.sessions.get_mut(id) {
                entry.checked_at = Instant::now();
            }
        }
    }

    /// Ends the connections of sessions that were not known to be good for so long.
    fn end_unchecked(&self, after: Duration) {
        for (id, entry) in &self.registry().sessions {
            if entry.checked_at.elapsed() >= after && !entry.ended.token.is_cancelled() {
                tracing::info!(target: "sigra", event = telemetry::LIVE_ENDED, session_id = %id);
                entry.ended.end(Ending::Unchecked);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.registry().sessions.is_empty()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
