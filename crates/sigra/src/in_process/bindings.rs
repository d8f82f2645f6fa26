//! The offers to bind a session, and the challenges that were used.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    base::clock::millis,
    model::{
        binding::{ChallengeId, OFFERED},
        session::SessionId,
    },
};

/// How often a browser is offered to bind a session, at most.
const MAX_OFFERS: u8 = 5;

/// The shortest time between two offers in milliseconds, so that a browser that is creating its key isn't asked again.
const PAUSE: i64 = 10_000;

/// The maximum number of sessions that are offered again. With more, browsers are only offered at the login.
const MAX_SESSIONS: usize = 10_000;

/// How many used challenges of a session are remembered. A browser uses one every few minutes.
const MAX_USED: usize = 8;

/// The offers to bind sessions, and the challenges that were used, in this process.
#[derive(Default)]
pub(crate) struct Bindings {
    offers: Mutex<HashMap<SessionId, Offers>>,
    /// The number of sessions in `offers`, which can be read without waiting.
    offered: AtomicUsize,
    used: Mutex<HashMap<SessionId, UsedChallenges>>,
}

/// The newest challenges that a session has used. It can't use one that is older than the oldest of them, because
/// nobody remembers whether it did before.
#[derive(Default)]
struct UsedChallenges(BTreeSet<ChallengeId>);

impl UsedChallenges {
    /// Uses a challenge. Returns whether it is certainly the first time.
    fn insert(&mut self, challenge: ChallengeId) -> bool {
        let is_full = self.0.len() >= MAX_USED;
        if is_full && self.0.first().is_some_and(|oldest| challenge <= *oldest) {
            return false;
        }
        let is_first = self.0.insert(challenge);
        if is_first && is_full {
            self.0.pop_first();
        }
        is_first
    }

    /// Returns whether a challenge that it remembers could come again.
    fn matters(&self, now_ms: i64) -> bool {
        self.0.last().is_some_and(|newest| now_ms < newest.expires_ms())
    }
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
        if offers.len() >= MAX_SESSIONS {
            offers.retain(|_, offers| now_ms < offers.until_ms);
        }
        if offers.len() < MAX_SESSIONS {
            let until_ms = now_ms.saturating_add(millis(OFFERED));
            offers.insert(session, Offers { left: MAX_OFFERS - 1, next_ms: now_ms.saturating_add(PAUSE), until_ms });
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

    /// Notes that a browser has taken an offer, and that the response is on its way.
    pub fn pause(&self, session: SessionId, now_ms: i64) {
        if let Some(offers) = self.offers().get_mut(&session) {
            offers.next_ms = now_ms.saturating_add(PAUSE);
        }
    }

    /// Ends the offers to a session.
    pub fn end(&self, session: SessionId) {
        let mut offers = self.offers();
        offers.remove(&session);
        self.offered.store(offers.len(), Ordering::Relaxed);
    }

    /// Uses a challenge of a session. Returns whether it is certainly the first time: a browser that signs more than
    /// eight within two minutes, in another order than that of their issue, may have to sign another one.
    pub fn use_challenge(&self, session: SessionId, challenge: ChallengeId, now_ms: i64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() == used.capacity() {
            used.retain(|_, used| used.matters(now_ms));
        }
        used.entry(session).or_default().insert(challenge)
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
        assert_eq!(offers, usize::from(MAX_OFFERS) - 1, "one was in the response to the login");
        assert!(!bindings.has_offers());
    }

    #[test]
    fn offers_end_after_five_minutes_and_when_one_is_taken() {
        let (bindings, session) = (Bindings::default(), Uuid::from_u128(1));
        bindings.begin(session, 0);
        assert!(!bindings.is_due(session, 5 * MINUTE));
        assert!(!bindings.has_offers());
        bindings.begin(session, 0);
        bindings.pause(session, MINUTE);
        assert!(!bindings.is_due(session, MINUTE + PAUSE - 1), "the response with the bound cookie is on its way");
        assert!(bindings.is_due(session, MINUTE + PAUSE), "it was lost");
        bindings.end(session);
        assert!(!bindings.is_due(session, 2 * MINUTE));
    }

    #[test]
    fn the_memory_of_offers_is_bounded() {
        let bindings = Bindings::default();
        (0..MAX_SESSIONS + 10).for_each(|id| bindings.begin(Uuid::from_u128(id as u128), 0));
        assert_eq!(bindings.offers().len(), MAX_SESSIONS);
        bindings.begin(Uuid::from_u128(u128::MAX), 6 * MINUTE);
        assert_eq!(bindings.offers().len(), 1, "those of before have ended");
    }

    fn challenge(issued_ms: i64, nonce: u8) -> ChallengeId {
        ChallengeId { issued_ms, nonce: [nonce; 16] }
    }

    #[test]
    fn invariant_23_a_challenge_is_used_once_in_whatever_order_they_come() {
        let (bindings, session) = (Bindings::default(), Uuid::from_u128(1));
        let of_same_time = (0..20).map(|nonce| challenge(5, nonce));
        let challenges: Vec<ChallengeId> = (0..20).map(|at| challenge(at, 1)).chain(of_same_time).collect();
        let (forwards, backwards) = (challenges.iter(), challenges.iter().rev());
        let mut accepted = BTreeSet::new();
        for used in forwards.clone().chain(backwards).chain(forwards.step_by(3)) {
            if bindings.use_challenge(session, *used, 0) {
                assert!(accepted.insert(*used), "{used:?} was accepted twice");
            }
        }
        assert!(accepted.len() >= 20, "in the order of their issue, all are accepted");
        assert!(bindings.use_challenge(session, challenge(100, 1), 100), "a new one is always accepted");
        assert!(bindings.use_challenge(Uuid::from_u128(2), challenge(0, 1), 0), "the sessions don't share them");
    }

    #[test]
    fn the_memory_of_used_challenges_is_bounded_for_each_session_and_forgotten_when_they_have_expired() {
        let (bindings, busy) = (Bindings::default(), Uuid::from_u128(1));
        for at in 0..10_000 {
            assert!(bindings.use_challenge(busy, challenge(at, 1), at));
        }
        assert_eq!(bindings.used.lock().unwrap()[&busy].0.len(), MAX_USED);
        for session in 2..10_000_i64 {
            let at = 10_000 + session * MINUTE;
            assert!(bindings.use_challenge(Uuid::from_u128(session as u128), challenge(at, 1), at));
        }
        assert!(bindings.used.lock().unwrap().len() < 100, "sessions are forgotten with their challenges");
    }
}
