//! The offers to bind a session, and the challenges that were used.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    base::clock::millis,
    model::{binding::OFFERED, session::SessionId},
};

/// How often a browser is offered to bind a session, at most.
const MOST_OFFERS: u8 = 5;

/// The shortest time between two offers in milliseconds, so that a browser that is creating its key isn't asked again.
const PAUSE: i64 = 10_000;

/// The maximum number of sessions that are offered again. With more, browsers are only offered at the login.
const MOST_SESSIONS: usize = 10_000;

/// The offers to bind sessions, and the challenges that were used, in this process.
#[derive(Default)]
pub(crate) struct Bindings {
    offers: Mutex<HashMap<SessionId, Offers>>,
    /// The number of sessions in `offers`, which can be read without waiting.
    offered: AtomicUsize,
    used: Mutex<HashMap<[u8; 16], i64>>,
}

/// What is left to offer to a session.
struct Offers {
    left: u8,
    next_ms: i64,
    until_ms: i64,
}

impl Bindings {
    /// Notes that a session was offered for the first time.
    pub fn begin(&self, session: SessionId, now_ms: i64) {
        let mut offers = self.offers();
        if offers.len() >= MOST_SESSIONS {
            offers.retain(|_, offers| now_ms < offers.until_ms);
        }
        if offers.len() < MOST_SESSIONS {
            let until_ms = now_ms.saturating_add(millis(OFFERED));
            offers.insert(session, Offers { left: MOST_OFFERS - 1, next_ms: now_ms.saturating_add(PAUSE), until_ms });
        }
        self.offered.store(offers.len(), Ordering::Relaxed);
    }

    /// Returns whether any session may have offers left.
    pub fn has_offers(&self) -> bool {
        self.offered.load(Ordering::Relaxed) > 0
    }

    /// Returns whether a session is to be offered now, which uses up one offer.
    pub fn is_due(&self, session: SessionId, now_ms: i64) -> bool {
        let mut offers = self.offers();
        let Some(found) = offers.get_mut(&session) else { return false };
        let is_due = found.next_ms <= now_ms && now_ms < found.until_ms;
        if is_due {
            found.left -= 1;
            found.next_ms = now_ms.saturating_add(PAUSE);
        }
        if found.left == 0 || now_ms >= found.until_ms {
            offers.remove(&session);
        }
        self.offered.store(offers.len(), Ordering::Relaxed);
        is_due
    }

    /// Ends the offers to a session.
    pub fn end(&self, session: SessionId) {
        let mut offers = self.offers();
        offers.remove(&session);
        self.offered.store(offers.len(), Ordering::Relaxed);
    }

    /// Uses a challenge that expires at a time. Returns whether it is the first time.
    pub fn use_challenge(&self, nonce: [u8; 16], expires_ms: i64, now_ms: i64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() == used.capacity() {
            used.retain(|_, expires_ms| now_ms < *expires_ms);
        }
        used.insert(nonce, expires_ms).is_none()
    }

    fn offers(&self) -> MutexGuard<'_, HashMap<SessionId, Offers>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn a_session_is_offered_five_times_with_pauses() {
        let (bindings, session) = (Bindings::default(), Uuid::from_u128(1));
        assert!(!bindings.is_due(session, 0), "there was no login");
        bindings.begin(session, 0);
        assert!(!bindings.is_due(session, PAUSE - 1), "the browser is creating its key");
        let offers = (0..100).filter(|second| bindings.is_due(session, second * 1000)).count();
        assert_eq!(offers, usize::from(MOST_OFFERS) - 1, "one was in the response to the login");
        assert!(!bindings.has_offers());
    }

    #[test]
    fn offers_end_after_five_minutes_and_when_one_is_taken() {
        let (bindings, session) = (Bindings::default(), Uuid::from_u128(1));
        bindings.begin(session, 0);
        assert!(!bindings.is_due(session, 5 * MINUTE));
        assert!(!bindings.has_offers());
        bindings.begin(session, 0);
        bindings.end(session);
        assert!(!bindings.is_due(session, MINUTE));
    }

    #[test]
    fn the_memory_of_offers_is_bounded() {
        let bindings = Bindings::default();
        (0..MOST_SESSIONS + 10).for_each(|id| bindings.begin(Uuid::from_u128(id as u128), 0));
        assert_eq!(bindings.offers().len(), MOST_SESSIONS);
        bindings.begin(Uuid::from_u128(u128::MAX), 6 * MINUTE);
        assert_eq!(bindings.offers().len(), 1, "those of before have ended");
    }

    #[test]
    fn a_challenge_is_used_once_and_forgotten_when_it_has_expired() {
        let bindings = Bindings::default();
        assert!(bindings.use_challenge([1; 16], 10, 0));
        assert!(!bindings.use_challenge([1; 16], 10, 0));
        for n in 0..10_000_u32 {
            let mut nonce = [2; 16];
            nonce[..4].copy_from_slice(&n.to_be_bytes());
            assert!(bindings.use_challenge(nonce, i64::from(n) + 10, i64::from(n)));
        }
        assert!(bindings.used.lock().unwrap().len() < 100, "expired ones are forgotten");
    }
}
