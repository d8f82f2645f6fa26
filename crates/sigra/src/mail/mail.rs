//! One email.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An email to one recipient, as text and optionally as HTML.
///
/// `Debug` shows neither the recipient nor the bodies, because they can contain a link.
///
/// ```
/// use sigra::mail::Mail;
///
/// let mail = Mail::new("ada@example.com", "Confirm your address", "Open https://app.example.com/...");
/// assert_eq!(format!("{mail:?}"), r#"Mail { to: "[redacted]", subject: "Confirm your address", .. }"#);
/// ```
#[must_use = "an email is only sent when you pass it to a `Mailer`"]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mail {
    /// The recipient's email address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
    pub html: Option<String>,
    /// The email address for replies, if not the sender's.
    pub reply_to: Option<String>,
}

impl Mail {
    /// Creates an email without HTML.
    pub fn new(to: impl Into<String>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { to: to.into(), subject: subject.into(), text: text.into(), html: None, reply_to: None }
    }

    /// Adds the body as HTML.
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Sets another email address for replies than the sender's (`Reply-To`, RFC 5322 section 3.6.2).
    ///
    /// ```
    /// use sigra::mail::Mail;
    ///
    /// let mail = Mail::new("ada@example.com", "Your account was deleted", "If it wasn't you, reply to this email.");
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
