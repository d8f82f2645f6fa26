//! Where emails are sent, and why that can fail.

use std::{
    error::Error as _,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::{base::error::BoxError, mail::mail::Mail};

/// Why an email can't be sent, or a mailer can't be created. Its `Display` names the cause, without the text of a mail
/// server, which can repeat an email address. So it has no [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// The URL of the mail server is invalid.
    #[error(
        "`{0}` is not a URL of a mail server: use smtp://user:password@mail.example.com:587?tls=required, smtps://..., file:///an/existing/folder or memory:"
    )]
    Url(String),
    /// There is no mail server: the URL is `none:`.
    #[error("no mail server is set: pass an `smtp://` URL to `Mailer::from_url`")]
    NoServer,
    /// The sender is invalid.
    #[error("`{0}` is not a valid sender: write it like `MyApp <hello@example.com>`")]
    From(String),
    /// The email can't be composed.
    #[error("the email can't be composed: {0}")]
    Compose(BoxError),
    /// The recipient's email address is invalid, or the one for replies.
    #[error("invalid email address: {0}")]
    Address(BoxError),
    /// The mail server failed, or refused the email.
    #[error("the mail server failed: {0}")]
    Smtp(SmtpError),
    /// The file can't be written.
    #[error("the email can't be written to a file: {0}")]
    File(BoxError),
}

impl MailError {
    /// Returns whether a retry can help: now, or after the settings of the mail server were corrected. A wrong password
    /// and a quota are temporary. A recipient that doesn't exist isn't.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Smtp(error) => !error.is_about_the_email(),
            Self::File(_) => true,
            _ => false,
        }
    }
}

/// Why a mail server failed. Its `Display` has no text of the server, which can repeat an email address.
#[derive(Debug)]
pub struct SmtpError(lettre::transport::smtp::Error);

impl SmtpError {
    /// Returns whether the server refused the email itself.
    fn is_about_the_email(&self) -> bool {
        let text = self.0.source().map(ToString::to_string).unwrap_or_default();
        self.0.status().is_some_and(|code| refuses_the_email(code.into(), &text))
    }
}

impl fmt::Display for SmtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.status() {
            Some(code) => write!(f, "it responded with {code}"),
            None if self.0.is_timeout() => f.write_str("it timed out"),
            None if self.0.is_tls() => f.write_str("the TLS connection failed"),
            None => f.write_str("the connection failed"),
        }
    }
}

impl std::error::Error for SmtpError {}

/// Returns whether a reply permanently refuses this email, because of its recipient or its content. All other refusals
/// are about the server or its client, such as 535 (the password is wrong) and 550 5.4.5 (over the quota), and end when
/// somebody corrects that.
fn refuses_the_email(code: u16, text: &str) -> bool {
    match detailed_status(text) {
        // Addresses, except the sender's; mailboxes; content (RFC 3463 section 3).
        Some(("1", detail)) => (550..560).contains(&code) && !matches!(detail, "7" | "8"),
        Some((subject, _)) => (550..560).contains(&code) && matches!(subject, "2" | "6"),
        // RFC 5321 section 4.2.3. 554 can also mean that the server accepts no connection.
        None => matches!(code, 550..=553 | 555 | 556),
    }
}

/// Returns the subject and the detail of a status code such as `5.1.1`, which a reply can begin with (RFC 2034).
fn detailed_status(text: &str) -> Option<(&str, &str)> {
    let status = text.split_whitespace().next()?.strip_prefix("5.")?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    status.split_once('.').filter(|(subject, detail)| is_number(subject) && is_number(detail))
}

/// Where emails are sent.
pub(super) enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    File(AsyncFileTransport<Tokio1Executor>),
    Memory(Mailbox),
    None,
}

impl Transport {
    pub fn from_url(url: &str) -> Result<Self, MailError> {
        // The URL can contain a password.
        let shown = if url.contains('@') { url.split(':').next().unwrap_or_default() } else { url };
        let refused = || MailError::Url(shown.to_owned());
        let (scheme, rest) = url.split_once(':').ok_or_else(refused)?;
        match scheme {
            "memory" => Ok(Self::Memory(Mailbox::default())),
            "none" => Ok(Self::None),
            "file" => {
                let folder = PathBuf::from(rest.trim_start_matches("//"));
                if folder.is_dir() { Ok(Self::File(AsyncFileTransport::new(folder))) } else { Err(refused()) }
            }
            _ => Ok(Self::Smtp(AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| refused())?.build())),
        }
    }

    pub async fn send(&self, mail: &Mail, message: &Message) -> Result<(), MailError> {
        match self {
            Self::Memory(mailbox) => mailbox.put(mail),
            Self::None => return Err(MailError::NoServer),
            Self::Smtp(smtp) => {
                drop(smtp.send(message.clone()).await.map_err(|error| MailError::Smtp(SmtpError(error)))?)
            }
            Self::File(file) => drop(file.send(message.clone()).await.map_err(|error| MailError::File(error.into()))?),
        }
        Ok(())
    }
}

/// Emails that are kept in memory, for development and tests. At most 1,000: then the oldest are deleted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sigra::mail::MailError> {
/// use sigra::mail::{Mail, Mailer};
///
/// let mailer = Mailer::from_url("memory:", "MyApp <hello@example.com>")?;
/// mailer.send(Mail::new("ada@example.com", "Hello", "How are you?"));
/// mailer.settle().await;
/// let mailbox = mailer.mailbox().expect("it is in memory");
/// assert_eq!(mailbox.mails()[0].subject, "Hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Vec<Mail>>>);

impl Mailbox {
    const MAX: usize = 1000;

    /// Returns all sent emails, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().clone()
    }

    fn put(&self, mail: &Mail) {
        let mut mails = self.lock();
        if mails.len() == Self::MAX {
            drop(mails.remove(0));
        }
        mails.push(mail.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("mails", &self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_recipient_or_content_is_permanent() {
        for (code, text, is_permanent) in [
            (550, "5.1.1 no such mailbox", true),
            (550, "no such mailbox", true),
            (552, "5.2.2 the mailbox is full", true),
            (553, "", true),
            (554, "5.6.0 the message is malformed", true),
            (535, "5.7.8 the password is wrong", false),
            (530, "authentication required", false),
            (534, "5.7.9 the mechanism is too weak", false),
            (538, "", false),
            (550, "5.4.5 over the daily quota", false),
            (550, "5.7.1 relaying denied", false),
            (553, "5.1.8 the sender's domain doesn't exist", false),
            (554, "no service here", false),
            (521, "", false),
            (451, "4.1.1 later", false),
            (451, "", false),
        ] {
            assert_eq!(refuses_the_email(code, text), is_permanent, "{code} {text}");
        }
    }
}
