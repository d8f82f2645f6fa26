//! Live connections: WebSockets and event streams that end when their session ends.
//!
//! One identifier joins all parts: the session row's id. A connection is registered under it, every
//! deletion announces it, and while there are connections a sweep asks the database twice a second which
//! of their sessions are still good. So a connection ends within a second, also when its session expired,
//! its user was deactivated, or somebody deleted the row by hand.

mod connection;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

pub use self::connection::{CLOSE_SESSION_ENDED, Closed, Live, LiveRejection, LiveSocket, OnMount};
use crate::{store::SessionId, telemetry};

/// The live connections of this process, by session.
#[derive(Clone, Default)]
pub(crate) struct LiveConnections(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    sessions: HashMap<SessionId, Entry>,
    is_swept: bool,
}

struct Entry {
    ended: CancellationToken,
    connections: usize,
}

impl LiveConnections {
    /// Ends the connections of these sessions.
    pub fn end(&self, ids: &[SessionId]) {
        let registry = self.registry();
        for id in ids {
            if let Some(entry) = registry.sessions.get(id) {
                tracing::info!(target: "sigra", event = telemetry::LIVE_ENDED, session_id = %id);
                entry.ended.cancel();
            }
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
