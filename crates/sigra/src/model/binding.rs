//! The binding of a session to a device: the key in its row.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    base::clock::{later, millis},
    model::window::latest,
};

/// The length of a key in bytes: a compressed point of P-256 (SEC 1 section 2.3.3).
pub(crate) const KEY: usize = 33;

/// How long requests without the bound cookie are accepted after a session was bound, unless the cookie lives shorter:
/// the browser may have sent them before it received the cookie.
const IN_FLIGHT: Duration = Duration::from_secs(60);

/// How long after a login the browser is offered to bind the session, how long requests are accepted if it never
/// presented the bound cookie, and how long a user who [must be bound](crate::AuthUser::requires_binding) can use an
/// unbound session.
pub(crate) const OFFERED: Duration = Duration::from_secs(5 * 60);

/// How long a browser can take to sign a challenge. Creating a key takes the chips of some devices seconds.
pub(crate) const CHALLENGE_TTL: Duration = Duration::from_secs(2 * 60);

/// What distinguishes a challenge from the others of its session. In the order of their issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChallengeId {
    /// When it was issued, in milliseconds since the Unix epoch.
    pub issued_ms: i64,
    pub nonce: [u8; 16],
}

impl ChallengeId {
    /// Returns when it was issued.
    pub fn issued_at(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::milliseconds(self.issued_ms))
    }

    /// Returns when it expires, in milliseconds since the Unix epoch.
    pub fn expires_ms(&self) -> i64 {
        self.issued_ms.saturating_add(millis(CHALLENGE_TTL))
    }
}

/// The public key of a device that a session is bound to: a point of P-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BindingKey {
    point: [u8; KEY],
    id: [u8; 16],
}

impl BindingKey {
    /// Takes a compressed point. Whether it is on the curve is checked where it comes from a browser.
    pub fn new(point: [u8; KEY]) -> Self {
        let digest = Sha256::new().chain_update("sigra binding key").chain_update(point).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self { point, id }
    }

    /// Returns the compressed point.
    pub fn point(&self) -> &[u8; KEY] {
        &self.point
    }

    /// Returns a short name of the key, which the bound cookie has.
    pub fn id(&self) -> [u8; 16] {
        self.id
    }
}

impl fmt::Debug for BindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingKey(..)")
    }
}

/// The binding of a session to a device: its browser has a key that can't leave the device, and proves it every few
/// minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// The key.
    pub(crate) key: BindingKey,
    /// When the session was bound.
    pub bound_at: OffsetDateTime,
    /// When the browser first presented the bound cookie. `None` if it never did: the response that set the cookie may
    /// have been lost.
    pub confirmed_at: Option<OffsetDateTime>,
    /// When the session's token was first used without the key. `None` if it never was.
    pub misused_at: Option<OffsetDateTime>,
}

impl Binding {
    pub(crate) fn new(key: BindingKey, bound_at: OffsetDateTime) -> Self {
        Self { key, bound_at, confirmed_at: None, misused_at: None }
    }

    /// Returns whether requests without the bound cookie are accepted. Not because of a wrong clock.
    pub(crate) fn is_in_flight(&self, ttl: Duration, now: OffsetDateTime) -> bool {
        self.was_bound_within(IN_FLIGHT.min(ttl), now)
    }

    /// Returns whether the browser may have lost the response with the bound cookie: it never presented one, and can
    /// still take another offer.
    pub(crate) fn is_tentative(&self, ttl: Duration, now: OffsetDateTime) -> bool {
        self.confirmed_at.is_none() && self.was_bound_within(OFFERED.min(ttl), now)
    }

    fn was_bound_within(&self, time: Duration, now: OffsetDateTime) -> bool {
        self.bound_at <= latest(now) && now < later(self.bound_at, time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_23_requests_without_the_cookie_are_accepted_for_a_minute_whatever_clock_bound_the_session() {
        let (bound_at, ttl) = (OffsetDateTime::UNIX_EPOCH + Duration::from_secs(86_400), Duration::from_secs(600));
        let binding = Binding::new(BindingKey::new([2; KEY]), bound_at);
        let is_in_flight = |after: i64, ttl| binding.is_in_flight(ttl, bound_at + time::Duration::seconds(after));
        assert!(is_in_flight(0, ttl) && is_in_flight(59, ttl) && is_in_flight(-60, ttl));
        assert!(!is_in_flight(60, ttl) && !is_in_flight(8, Duration::from_secs(8)));
        assert!(!is_in_flight(-86_400, ttl), "the clock was a day ahead");
    }

    #[test]
    fn a_binding_is_tentative_for_five_minutes_until_the_bound_cookie_was_presented() {
        let (bound_at, ttl) = (OffsetDateTime::UNIX_EPOCH + Duration::from_secs(86_400), Duration::from_secs(600));
        let mut binding = Binding::new(BindingKey::new([2; KEY]), bound_at);
        assert!(binding.is_tentative(ttl, bound_at) && binding.is_tentative(ttl, bound_at + Duration::from_secs(299)));
        assert!(!binding.is_tentative(ttl, bound_at + OFFERED));
        let short = Duration::from_secs(90);
        assert!(!binding.is_tentative(short, bound_at + short), "the bound cookie has expired");
        assert!(!binding.is_tentative(ttl, OffsetDateTime::UNIX_EPOCH), "the clock was a day ahead");
        binding.confirmed_at = Some(bound_at);
        assert!(!binding.is_tentative(ttl, bound_at));
    }
}
