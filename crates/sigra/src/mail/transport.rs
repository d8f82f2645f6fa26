use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::mail::mail::Mail;

/// Why an email can't be sent, or a mailer can't be created.
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
    /// The email can't be composed, most likely because an address is invalid.
    #[error("the email can't be composed: {0}")]
    Mail(#[from] lettre::error::Error),
    /// An email address is invalid.
    #[error("invalid email address: {0}")]
    To(#[from] lettre::address::AddressError),
    /// The mail server failed, or refused the email.
    #[error("the mail server failed: {}", reason(.0))]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The file can't be written.
    #[error("the email can't be written to a file: {0}")]
    File(#[from] lettre::transport::file::Error),
}

impl MailError {
    /// Returns whether a retry can help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            // A permanent refusal: RFC 5321 section 4.2.1.
            Self::Smtp(error) => !error.is_permanent(),
            Self::File(_) => true,
            _ => false,
        }
    }
}

/// Returns a reason that can be logged. The server's own text can repeat the email address.
fn reason(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("it responded with {code}"),
        None if error.is_timeout() => "it timed out".to_owned(),
        None if error.is_tls() => "the TLS connection failed".to_owned(),
        None => "the connection failed".to_owned(),
    }
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
            Self::Smtp(smtp) => drop(smtp.send(message.clone()).await?),
            Self::File(file) => drop(file.send(message.clone()).await?),
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
    const MOST: usize = 1000;

    /// Returns all sent emails, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().clone()
    }

    fn put(&self, mail: &Mail) {
        let mut mails = self.lock();
        if mails.len() == Self::MOST {
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
