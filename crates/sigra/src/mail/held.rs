//! The emails in the outbox that this process holds, so that no other sends them.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

#[derive(Default)]
pub(super) struct Held(Mutex<State>);

#[derive(Default)]
struct State {
    ids: HashSet<Uuid>,
    /// Whether this process ends, and takes over no more emails.
    is_closed: bool,
}

impl Held {
    /// Notes an email that this process is about to put into the outbox.
    pub fn add(&self, id: Uuid) {
        self.state().ids.insert(id);
    }

    /// Notes an email that is to be sent. Returns `false` if it is being sent already, or if the process ends.
    pub fn claim(&self, id: Uuid) -> bool {
        let mut state = self.state();
        !state.is_closed && state.ids.insert(id)
    }

    /// Returns whether the email was still held.
    pub fn remove(&self, id: Uuid) -> bool {
        self.state().ids.remove(&id)
    }

    pub fn ids(&self) -> Vec<Uuid> {
        self.state().ids.iter().copied().collect()
    }

    /// Takes over no more emails, and returns those to release.
    pub fn close(&self) -> Vec<Uuid> {
        let mut state = self.state();
        state.is_closed = true;
        state.ids.drain().collect()
    }

    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
