//! The challenges that browsers sign with the key of a device. They are signed themselves, so none is stored.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    base::{clock::millis, error::Error, token::random_bytes},
    model::{binding::ChallengeId, session::SessionId, window::CLOCK_SKEW},
};

/// The length of a challenge in bytes: a purpose, a session, a time, and a nonce.
const CONTENT: usize = 1 + 16 + 8 + 16;

/// What a browser signs a challenge for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To bind a session to its key.
    Registration,
    /// To renew the bound cookie.
    Refresh,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::Registration => 1,
            Self::Refresh => 2,
        }
    }

    /// Returns the name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Refresh => "refresh",
        }
    }
}

/// A challenge for one session and purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    purpose: u8,
    session: SessionId,
    id: ChallengeId,
}

impl Challenge {
    pub fn new(purpose: Purpose, session: SessionId, now_ms: i64) -> Result<Self, Error> {
        let id = ChallengeId { issued_ms: now_ms, nonce: random_bytes()? };
        Ok(Self { purpose: purpose.byte(), session, id })
    }

    pub fn encode(&self) -> String {
        let (session, issued) = (self.session.as_bytes(), self.id.issued_ms.to_be_bytes());
        URL_SAFE_NO_PAD.encode([&[self.purpose][..], session, &issued, &self.id.nonce].concat())
    }

    pub fn decode(value: &str) -> Option<Self> {
        let content: [u8; CONTENT] = URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()?;
        let ([purpose], rest) = content.split_first_chunk::<1>()?;
        let (session, rest) = rest.split_first_chunk::<16>()?;
        let (issued, nonce) = rest.split_first_chunk::<8>()?;
        let id = ChallengeId { issued_ms: i64::from_be_bytes(*issued), nonce: nonce.try_into().ok()? };
        Some(Self { purpose: *purpose, session: Uuid::from_bytes(*session), id })
    }

    /// Returns what distinguishes it from the other challenges of its session.
    pub fn id(&self) -> ChallengeId {
        self.id
    }

    /// Returns whether it may be answered now.
    pub fn is_for(&self, purpose: Purpose, session: SessionId, now_ms: i64) -> bool {
        let is_current =
            now_ms < self.id.expires_ms() && self.id.issued_ms <= now_ms.saturating_add(millis(CLOCK_SKEW));
        self.purpose == purpose.byte() && self.session == session && is_current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_for_one_purpose_and_session_and_expires_after_two_minutes() {
        let (session, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let challenge = Challenge::new(Purpose::Refresh, session, 1_000_000).expect("randomness");
        let read = Challenge::decode(&challenge.encode()).expect("what is written is read");
        assert_eq!(read, challenge);
        assert!(read.is_for(Purpose::Refresh, session, 1_000_000));
        assert!(read.is_for(Purpose::Refresh, session, 1_119_999));
        assert!(!read.is_for(Purpose::Refresh, session, 1_120_000));
        assert!(!read.is_for(Purpose::Registration, session, 1_000_000));
        assert!(!read.is_for(Purpose::Refresh, other, 1_000_000));
        assert!(!read.is_for(Purpose::Refresh, session, 0), "from the future, by more than clocks differ");
        for bad in ["", "a", "****", &challenge.encode()[1..], &challenge.encode().repeat(2)] {
            assert_eq!(Challenge::decode(bad), None);
        }
    }
}
