use std::{fmt, sync::Arc, time::Duration};

use lettre::{Message, message::Mailbox as Address};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{Mail, MailError, Mailbox, message, transport::Transport};
use crate::{task::jittered, telemetry};

/// How long it waits before each further try.
const RETRIES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
];

/// Mails that may wait. Past it they are dropped, and that is said.
const QUEUE: usize = 1000;

/// Mails that are being sent at the same time.
const AT_ONCE: usize = 8;

/// Sends mails in the background. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sigra::mail::{Mail, Mailer};
///
/// let mailer = Mailer::from_url("smtp://localhost:2525", "MyApp <hello@example.com>")?;
/// assert!(mailer.mailbox().is_none());
/// assert!(Mailer::from_url("http://example.com", "MyApp <hello@example.com>").is_err());
/// assert!(Mailer::from_url("memory:", "nobody").is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    transport: Transport,
    from: Address,
    tasks: TaskTracker,
    at_once: Semaphore,
}

impl Mailer {
    /// Sends through `smtp://`, `smtps://`, into a folder (`file:///...`) or into a [`Mailbox`] (`memory:`). With
    /// `none:` there is no mail server, and every mail is said to have [failed](telemetry::MAIL_FAILED).
    ///
    /// # Errors
    ///
    /// [`MailError::Url`], [`MailError::From`]. They show no password.
    pub fn from_url(url: &str, from: &str) -> Result<Self, MailError> {
        let transport = Transport::from_url(url)?;
        let from = message::sender(from)?;
        Ok(Self(Arc::new(Inner { transport, from, tasks: TaskTracker::new(), at_once: Semaphore::new(AT_ONCE) })))
    }

    /// Sends a mail, and returns at once.
    pub fn send(&self, mail: Mail) {
        self.deliver(async move { Ok::<_, MailError>(Some(mail)) });
    }

    /// Composes a mail, if there is one to be sent, and sends it; returns at once. What is looked up and written
    /// for it takes the visitor no time, so that a page answers in the same time whether or not an address is
    /// known.
    pub fn deliver<E>(&self, compose: impl Future<Output = Result<Option<Mail>, E>> + Send + 'static)
    where
        E: fmt::Display + Send + 'static,
    {
        if self.0.tasks.len() >= QUEUE {
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, error = "too many mails are waiting");
            return;
        }
        let mailer = self.clone();
        self.0.tasks.spawn(async move {
            match compose.await {
                Ok(Some(mail)) => mailer.send_with_retries(&mail).await,
                Ok(None) => {}
                Err(error) => tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, %error),
            }
        });
    }

    /// Waits until all mails are sent or given up. For tests; and for a shutdown, with a time limit of its own.
    pub async fn settle(&self) {
        while !self.0.tasks.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The mails that were sent, if they are kept in memory.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match &self.0.transport {
            Transport::Memory(mailbox) => Some(mailbox),
            _ => None,
        }
    }

    async fn send_with_retries(&self, mail: &Mail) {
        let message = match message::compose(mail, &self.0.from) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, subject = mail.subject, %error);
                return;
            }
        };
        let mut retries = RETRIES.into_iter();
        loop {
            let Err(error) = self.try_send(mail, &message).await else {
                tracing::info!(target: "sigra", event = telemetry::MAIL_SENT, subject = mail.subject);
                return;
            };
            let retry = retries.next().filter(|_| error.is_temporary());
            let Some(wait) = retry else {
                tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, subject = mail.subject, %error);
                return;
            };
            tracing::warn!(target: "sigra", event = telemetry::MAIL_DELAYED, subject = mail.subject, %error);
            tokio::time::sleep(jittered(wait)).await;
        }
    }

    async fn try_send(&self, mail: &Mail, message: &Message) -> Result<(), MailError> {
        let _turn = self.0.at_once.acquire().await;
        self.0.transport.send(mail, message).await
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("waiting", &self.0.tasks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A mail server. Every mail gets the next of these answers. Gives the mails.
    async fn serve(listener: &TcpListener, answers: &[&str]) -> Vec<String> {
        let mut mails = Vec::new();
        while mails.len() < answers.len() {
            let (stream, _) = listener.accept().await.expect("a client");
            talk(BufReader::new(stream), answers, &mut mails).await.expect("a client that understands");
        }
        mails
    }

    /// Speaks SMTP with one client, until it goes or no answer is left.
    async fn talk(mut stream: BufReader<TcpStream>, answers: &[&str], mails: &mut Vec<String>) -> std::io::Result<()> {
        stream.write_all(b"220 test\r\n").await?;
        let (mut mail, mut line) = (None, String::new());
        while mails.len() < answers.len() && stream.read_line(&mut line).await? > 0 {
            let answer = match (&mut mail, line.trim_end()) {
                (Some(_), ".") => {
                    mails.extend(mail.take());
                    answers[mails.len() - 1]
                }
                (Some(mail), _) => {
                    mail.push_str(&line);
                    ""
                }
                (None, "DATA") => {
                    mail = Some(String::new());
                    "354 go on"
                }
                (None, _) => "250 good",
            };
            if !answer.is_empty() {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
            }
            line.clear();
        }
        Ok(())
    }

    /// A server that has taken a mail, and could not say so, knows it again.
    #[tokio::test]
    async fn a_mail_that_is_sent_again_is_the_same_mail() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let mailer = Mailer::from_url(&url, "MyApp <hello@example.com>").expect("a mailer");
        mailer.send(Mail::new("ada@example.com", "Hello", "How are you?"));
        let mails = serve(&listener, &["451 later", "250 taken"]).await;
        mailer.settle().await;
        assert!(mails[0].contains("Message-ID: <") && mails[0].contains("@example.com>"), "{}", mails[0]);
        assert_eq!(mails[0], mails[1]);
    }
}
