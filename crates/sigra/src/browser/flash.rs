use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// What kind of message a flash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Flash {
    /// Something went well, or is worth knowing.
    Info,
    /// Something went wrong.
    Error,
}

impl Flash {
    /// `info` or `error`: a class for the style sheet.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Error => "error",
        }
    }
}

/// A message for the next page that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlashMessage {
    /// Its kind.
    pub kind: Flash,
    /// Its text, not escaped.
    pub text: String,
}

impl FlashMessage {
    /// Creates a message.
    ///
    /// ```
    /// use sigra::{Flash, session::FlashMessage};
    ///
    /// assert_eq!(FlashMessage::new(Flash::Info, "Welcome back!").text, "Welcome back!");
    /// ```
    #[must_use]
    pub fn new(kind: Flash, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// How long a message waits for its page. One that is shown later is out of place: the page of a host that shows none may
/// have been the one that it was for.
const FLASH_TTL: Duration = Duration::from_secs(60);

/// A message in the cookie, and when it was put there, in seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WaitingFlash {
    #[serde(flatten)]
    pub message: FlashMessage,
    at: i64,
    /// What tells the order of two, whatever the clock of the configuration says: in nanoseconds.
    #[serde(default)]
    order: u64,
}

impl WaitingFlash {
    pub fn new(message: FlashMessage, now: OffsetDateTime) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { message, at: now.unix_timestamp(), order: u64::try_from(since.as_nanos()).unwrap_or_default() }
    }

    pub fn order(&self) -> u64 {
        self.order
    }

    /// Another process, whose clock may be ahead, may have put it there.
    pub fn is_current(&self, now: OffsetDateTime) -> bool {
        self.at.abs_diff(now.unix_timestamp()) <= FLASH_TTL.as_secs()
    }
}

/// The entry of these messages. Others have another one, so that no tab writes over what another has put at the same moment;
/// and an answer's cookies have the same names whoever it is for, and whenever.
pub(crate) fn name_of(kind: &str, messages: &[WaitingFlash]) -> String {
    let mut hash = Sha256::new();
    for WaitingFlash { message, .. } in messages {
        hash.update(message.kind.as_str());
        hash.update(message.text.len().to_be_bytes());
        hash.update(&message.text);
    }
    let id = hash.finalize().iter().take(16).fold(0_u128, |id, byte| id << 8 | u128::from(*byte));
    format!("{kind}{id:032x}")
}
