use serde::{Deserialize, Serialize};

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
