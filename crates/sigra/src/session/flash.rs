use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What kind of message a flash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
pub struct FlashMessage {
    /// Its kind.
    pub kind: Flash,
    /// Its text, not escaped.
    pub text: String,
}

/// How long a message waits for its page. One that is shown later is out of place: the page of a host that shows none may
/// have been the one that it was for.
const FLASH_TTL: Duration = Duration::from_secs(60);

/// A message in the cookie, and when it was put there, in seconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WaitingFlash {
    #[serde(flatten)]
    pub message: FlashMessage,
    at: i64,
}

impl WaitingFlash {
    pub fn new(message: FlashMessage, now: OffsetDateTime) -> Self {
        Self { message, at: now.unix_timestamp() }
    }

    /// Another process, whose clock may be ahead, may have put it there.
    pub fn is_current(&self, now: OffsetDateTime) -> bool {
        self.at.abs_diff(now.unix_timestamp()) <= FLASH_TTL.as_secs()
    }
}
