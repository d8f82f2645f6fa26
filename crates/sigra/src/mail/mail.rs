//! One mail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A mail to one person, as text and as HTML.
///
/// `Debug` shows neither: there may be a link in them.
///
/// ```
/// use sigra::mail::Mail;
///
/// let mail = Mail::new("ada@example.com", "Confirm your address", "Open https://app.example.com/...");
/// assert_eq!(format!("{mail:?}"), r#"Mail { to: "[redacted]", subject: "Confirm your address", .. }"#);
/// ```
#[must_use = "it is not sent yet: hand it to a Mailer"]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mail {
    /// The address that it goes to.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// The same in HTML.
    pub html: Option<String>,
    /// The address that an answer goes to, if not the sender's.
    pub reply_to: Option<String>,
}

impl Mail {
    /// A mail without HTML.
    pub fn new(to: impl Into<String>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { to: to.into(), subject: subject.into(), text: text.into(), html: None, reply_to: None }
    }

    /// Says the same in HTML.
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Has answers sent to another address than the sender's (`Reply-To`, RFC 5322 section 3.6.2).
    ///
    /// ```
    /// use sigra::mail::Mail;
    ///
    /// let mail = Mail::new("ada@example.com", "Your account was deleted", "If it wasn't you, answer this mail.");
    /// assert_eq!(mail.reply_to("help@example.com").reply_to.as_deref(), Some("help@example.com"));
    /// ```
    pub fn reply_to(mut self, address: impl Into<String>) -> Self {
        self.reply_to = Some(address.into());
        self
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("to", &"[redacted]").field("subject", &self.subject).finish_non_exhaustive()
    }
}
