use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// The kind of a flash message.
///
/// ```
/// assert_eq!(sigra::Flash::Error.as_str(), "error");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Flash {
    /// A success, or a notice.
    Info,
    /// A failure.
    Error,
}

impl Flash {
    /// Returns `info` or `error`, such as for a class in a style sheet.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Error => "error",
        }
    }
}

/// A message that the next page shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlashMessage {
    /// The kind.
    pub kind: Flash,
    /// The text. It isn't escaped.
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

/// How long a message waits for a page. Later, it would be out of place: the page that it was for may have been one
/// that shows no messages.
const FLASH_TTL: Duration = Duration::from_secs(60);

/// A message in the cookie, and when it was put there, in seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WaitingFlash {
    #[serde(flatten)]
    pub message: FlashMessage,
    at: i64,
    /// Orders the messages: nanoseconds by the system's clock, even if the configuration has another one.
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

    /// Returns whether the message can still be shown. A process whose clock is ahead may have put it there.
    pub fn is_current(&self, now: OffsetDateTime) -> bool {
        self.at.abs_diff(now.unix_timestamp()) <= FLASH_TTL.as_secs()
    }
}

/// Returns the name of the entry for these messages.
///
/// Different messages have different entries, so that tabs don't overwrite each other's at the same moment. The same
/// messages always have the same entry, so that the names of a response's cookies depend neither on the user nor on the
/// time.
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
