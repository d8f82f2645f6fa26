use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::mail::mail::Mail;

/// Why a mail can't be sent, or a mailer not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// Not an address of a mail server.
    #[error(
        "`{0}` is no address to send mail to: write smtp://user:password@mail.example.com:587?tls=required, smtps://..., file:///a/folder or memory:"
    )]
    Url(String),
    /// There is no mail server: the address is `none:`.
    #[error("there is no mail server to send it to")]
    NoServer,
    /// Not an address to send mail from.
    #[error("`{0}` is no address to send mail from: write it as MyApp <hello@example.com>")]
    From(String),
    /// The mail can't be written down: most likely its address is none.
    #[error("the mail can't be written: {0}")]
    Mail(#[from] lettre::error::Error),
    /// The address to send to is none.
    #[error("the address to send to is none: {0}")]
    To(#[from] lettre::address::AddressError),
    /// The mail server failed.
    #[error("the mail server failed: {}", reason(.0))]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The file can't be written.
    #[error("the mail can't be written to a file: {0}")]
    File(#[from] lettre::transport::file::Error),
}

impl MailError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            // The server understood, and refused for good: RFC 5321 section 4.2.1.
            Self::Smtp(error) => !error.is_permanent(),
            Self::File(_) => true,
            _ => false,
        }
    }
}

/// What a log may say: the server's own words may repeat the address.
fn reason(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("it answered {code}"),
        None if error.is_timeout() => "it did not answer in time".to_owned(),
        None if error.is_tls() => "there is no secure connection to it".to_owned(),
        None => "there is no connection to it".to_owned(),
    }
}

/// Where mails go.
pub(super) enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    File(AsyncFileTransport<Tokio1Executor>),
    Memory(Mailbox),
    None,
}

impl Transport {
    pub fn from_url(url: &str) -> Result<Self, MailError> {
        // The address may hold a password.
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

/// Mails that are kept in memory, for development and tests. At most a thousand: the oldest go first.
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

    /// All that were sent, the oldest first.
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
