//! The bound cookie: what it says, and whether a request has a valid one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::model::session::SessionId;

/// The length of the cookie's content in bytes: a session, a key and a time. Its Base64 and the padding of SHA-256 fit
/// into one block, which is what checking the cookie costs.
const CONTENT: usize = 16 + 16 + 8;

/// What the bound cookie says: until when its browser has proved that it has the key of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoundCookie {
    pub session: SessionId,
    /// The id of the key.
    pub key: [u8; 16],
    /// Until when it is valid, in milliseconds since the Unix epoch.
    pub until_ms: i64,
}

impl BoundCookie {
    pub fn encode(&self) -> String {
        let mut content = [0; CONTENT];
        content[..16].copy_from_slice(self.session.as_bytes());
        content[16..32].copy_from_slice(&self.key);
        content[32..].copy_from_slice(&self.until_ms.to_be_bytes());
        URL_SAFE_NO_PAD.encode(content)
    }

    pub fn decode(value: &str) -> Option<Self> {
        // The decoder needs room for its estimate of the length.
        let mut decoded = [0; CONTENT + 2];
        let len = URL_SAFE_NO_PAD.decode_slice(value, &mut decoded).ok()?;
        let content: &[u8; CONTENT] = decoded.get(..len)?.try_into().ok()?;
        let (session, rest) = content.split_first_chunk::<16>()?;
        let (key, until) = rest.split_first_chunk::<16>()?;
        let until_ms = i64::from_be_bytes(until.try_into().ok()?);
        Some(Self { session: Uuid::from_bytes(*session), key: *key, until_ms })
    }
}

/// What the bound cookies of a request prove for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The browser proved the key, and counts as having it until a time in milliseconds since the Unix epoch.
    Valid { until_ms: i64 },
    /// It did, too long ago.
    Expired,
    /// No cookie is signed, and for this session and key.
    Invalid,
    /// There is no cookie.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let cookie = BoundCookie { session: Uuid::from_bytes([7; 16]), key: [9; 16], until_ms: 1_800_000_000_000 };
        let encoded = cookie.encode();
        assert_eq!(BoundCookie::decode(&encoded), Some(cookie));
        // 64 bytes are a block of SHA-256, with a byte and the length as padding.
        assert!(encoded.len() + 1 + 8 <= 64, "{}", encoded.len());
        for other in ["", "a", &encoded[1..], &format!("{encoded}A"), &encoded.repeat(2), &"*".repeat(54)] {
            assert_eq!(BoundCookie::decode(other), None, "{other}");
        }
    }
}
