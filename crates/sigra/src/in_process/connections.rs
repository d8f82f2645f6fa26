//! The live connections of this process, by session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    base::telemetry,
    model::{limit::LiveLimit, session::SessionId},
};

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
    /// When the session was last known to be live.
    checked_at: Instant,
    /// When this process last saw a proof that the device of the session uses it, in milliseconds since the Unix epoch.
    #[cfg(feature = "device-bound")]
    proven_ms: i64,
}

impl Entry {
    /// Ends its connections, and logs it, unless they have ended already and only wait for their clients.
    fn end(&self, id: SessionId, why: Ending) {
        if !self.ended.token.is_cancelled() {
            tracing::info!(target: "sigra", event = telemetry::LIVE_ENDED, session_id = %id);
            self.ended.end(why);
        }
    }
}

/// Signals to the connections of a session that they must end, and why.
#[derive(Clone, Default)]
pub(crate) struct Ended {
    pub token: CancellationToken,
    pub why: Arc<OnceLock<Ending>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    SessionEnded,
    /// The device of the session has not proved its key.
    #[cfg(feature = "device-bound")]
    Unproven,
    Unchecked,
    GoingAway,
}

impl Ended {
    pub fn end(&self, why: Ending) {
        // The first reason wins.
        self.why.get_or_init(|| why);
        self.token.cancel();
    }
}

/// Why a connection isn't registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unregistered {
    /// The session or the user has the maximum number of connections.
    TooMany,
    /// The server is stopping.
    Closed,
}

impl LiveConnections {
    /// Registers a connection of a session. `proven_ms` is when the device of the session has proved its key.
    #[cfg_attr(not(feature = "device-bound"), allow(unused_variables, reason = "then no session has a device"))]
    pub fn register(
        &self,
        id: SessionId,
        user: Arc<str>,
        limit: LiveLimit,
        proven_ms: Option<i64>,
    ) -> Result<Connection, Unregistered> {
        let mut registry = self.registry();
        if registry.is_closed {
            return Err(Unregistered::Closed);
        }
        let of_session = registry.sessions.get(&id).map_or(0, |entry| entry.connections);
        let of_user = registry.users.get(&user).copied().unwrap_or_default();
        if of_session >= limit.per_session || of_user >= limit.per_user {
            tracing::info!(target: "sigra", event = telemetry::RATE_LIMITED, limit = "live", session_id = %id);
            return Err(Unregistered::TooMany);
        }
        *registry.users.entry(user.clone()).or_default() += 1;
        let entry = registry.sessions.entry(id).or_insert_with(|| Entry {
            ended: Ended::default(),
            connections: 0,
            user,
            checked_at: Instant::now(),
            #[cfg(feature = "device-bound")]
            proven_ms: i64::MIN,
        });
        #[cfg(feature = "device-bound")]
        if let Some(proven_ms) = proven_ms {
            entry.proven_ms = entry.proven_ms.max(proven_ms);
        }
        if entry.ended.token.is_cancelled() {
            // Connections that have ended may stay until their clients notice. This one isn't one of them.
            entry.ended = Ended::default();
            entry.checked_at = Instant::now();
        }
        entry.connections += 1;
        Ok(Connection { id, ended: entry.ended.clone(), connections: self.clone() })
    }

    /// Marks the sweep as begun. `None` if it runs already.
    pub fn begin_sweeping(&self) -> Option<Sweeping> {
        let is_swept = std::mem::replace(&mut self.registry().is_swept, true);
        (!is_swept).then(|| Sweeping { connections: self.clone(), is_over: false })
    }

    /// Returns the sessions to check. If there are none, marks the sweep as ended.
    pub fn to_sweep(&self) -> Vec<SessionId> {
        let mut registry = self.registry();
        registry.is_swept = !registry.sessions.is_empty();
        registry.sessions.keys().copied().collect()
    }

    /// Ends the connections of these sessions, because they have ended.
    pub fn end(&self, ids: &[SessionId]) {
        self.end_because(ids, Ending::SessionEnded);
    }

    pub fn end_because(&self, ids: &[SessionId], why: Ending) {
        let registry = self.registry();
        for id in ids {
            if let Some(entry) = registry.sessions.get(id) {
                entry.end(*id, why);
            }
        }
    }

    /// Ends all connections, and accepts no more.
    pub fn close(&self) {
        let mut registry = self.registry();
        registry.is_closed = true;
        registry.sessions.values().for_each(|entry| entry.ended.end(Ending::GoingAway));
    }

    /// Records that these sessions are live.
    pub fn note_live(&self, ids: &[SessionId]) {
        let mut registry = self.registry();
        for id in ids {
            if let Some(entry) = registry.sessions.get_mut(id) {
                entry.checked_at = Instant::now();
            }
        }
    }

    /// Records that the device of a session has proved its key.
    #[cfg(feature = "device-bound")]
    pub fn note_proven(&self, id: SessionId, now_ms: i64) {
        if let Some(entry) = self.registry().sessions.get_mut(&id) {
            entry.proven_ms = entry.proven_ms.max(now_ms);
        }
    }

    /// Returns when this process last saw that proof. `None` without a connection.
    #[cfg(feature = "device-bound")]
    pub fn proven_ms(&self, id: SessionId) -> Option<i64> {
        self.registry().sessions.get(&id).map(|entry| entry.proven_ms)
    }

    /// Ends the connections of sessions that were not confirmed to be live for a duration.
    pub fn end_unchecked(&self, after: Duration) {
        for (id, entry) in &self.registry().sessions {
            if entry.checked_at.elapsed() >= after {
                entry.end(*id, Ending::Unchecked);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.registry().sessions.is_empty()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the registry.
pub(crate) struct Connection {
    pub id: SessionId,
    pub ended: Ended,
    pub connections: LiveConnections,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut registry = self.connections.registry();
        let Some(entry) = registry.sessions.get_mut(&self.id) else { return };
        entry.connections -= 1;
        let (is_last, user) = (entry.connections == 0, entry.user.clone());
        if is_last {
            registry.sessions.remove(&self.id);
        }
        if let Some(of_user) = registry.users.get_mut(&user) {
            *of_user -= 1;
            if *of_user == 0 {
                registry.users.remove(&user);
            }
        }
    }
}

/// Allows another sweep to start if this one ends early, as with its runtime.
pub(crate) struct Sweeping {
    pub connections: LiveConnections,
    pub is_over: bool,
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if !self.is_over {
            self.connections.registry().is_swept = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn register(live: &LiveConnections, id: SessionId) -> Connection {
        let registered = live.register(id, "ada".into(), LiveLimit::default(), None);
        registered.unwrap_or_else(|why| panic!("not registered: {why:?}"))
    }

    /// A client that doesn't read leaves its connection open after it has ended.
    #[test]
    fn a_connection_that_comes_after_others_have_ended_is_not_one_of_them() {
        let (live, id) = (LiveConnections::default(), Uuid::from_u128(1));
        for why in [Ending::Unchecked, Ending::SessionEnded] {
            let before = register(&live, id);
            live.end_because(&[id], why);
            assert!(before.ended.token.is_cancelled());
            let again = register(&live, id);
            assert!(!again.ended.token.is_cancelled());
            live.end_unchecked(Duration::from_secs(1));
            assert!(!again.ended.token.is_cancelled(), "it was checked when it was opened");
            drop(before);
            live.end(&[id]);
            assert_eq!(again.ended.why.get(), Some(&Ending::SessionEnded));
            assert!(live.to_sweep() == [id], "it is registered until it is dropped");
        }
        assert!(live.is_empty());
    }

    #[test]
    fn connections_end_once() {
        let (live, id) = (LiveConnections::default(), Uuid::from_u128(1));
        let connection = register(&live, id);
        live.end_because(&[id], Ending::Unchecked);
        live.end(&[id]);
        assert_eq!(connection.ended.why.get(), Some(&Ending::Unchecked), "the first reason is sent to the client");
    }
}
