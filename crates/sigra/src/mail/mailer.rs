//! The queue that sends emails in the background, with retries, and the rounds over the outbox.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use lettre::{Message, message::Mailbox as Address};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    base::{
        error::Error,
        task::{Task, jittered},
        telemetry,
    },
    mail::{
        deferred::Deferred,
        held::Held,
        mail::Mail,
        message,
        outbox::{HOLD, Outbox, ROUND, Taken},
        transport::{MailError, Mailbox, Transport},
    },
    model::{transaction::Transaction, user::AuthUser},
};

/// The wait before each retry.
const RETRIES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
];

/// How many emails can wait in this process. Further ones wait in the outbox if they are in it, and are dropped
/// otherwise, which is logged.
const QUEUE: usize = 1000;

/// How many emails are sent at the same time.
const CONCURRENCY: usize = 8;

/// Sends emails in the background. Cheap to clone.
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
    mails: TaskTracker,
    permits: Semaphore,
    outbox: OnceLock<Outbox>,
    held: Held,
    rounds: Task,
    deferred: Deferred,
}

impl Mailer {
    /// Creates a mailer that sends to an SMTP server (`smtp://`, `smtps://`), into a folder (`file:///...`) or into a
    /// [`Mailbox`] (`memory:`). With `none:` there is no mail server, and every email [fails](telemetry::MAIL_FAILED).
    ///
    /// # Errors
    ///
    /// [`MailError::Url`] or [`MailError::From`]. Neither shows a password.
    pub fn from_url(url: &str, from: &str) -> Result<Self, MailError> {
        let transport = Transport::from_url(url)?;
        let from = message::sender(from)?;
        Ok(Self(Arc::new(Inner {
            transport,
            from,
            mails: TaskTracker::new(),
            permits: Semaphore::new(CONCURRENCY),
            outbox: OnceLock::new(),
            held: Held::default(),
            rounds: Task::default(),
            deferred: Deferred::default(),
        })))
    }

    /// Keeps every email in the database until it is sent, so that none is lost when the process ends: the next
    /// process, or any other that is running, sends what is left, and only one of them does. Call it when the
    /// application starts, in its runtime, so that emails of earlier processes are sent from then on. It applies to all
    /// clones, and only the first call counts.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::mail::{MailError, Mailer};
    ///
    /// fn mailer(sigra: &sigra::Sigra<User>) -> Result<Mailer, MailError> {
    ///     Ok(Mailer::from_url("smtp://localhost:2525", "MyApp <hello@example.com>")?.with_outbox(sigra.outbox()))
    /// }
    /// ```
    #[must_use]
    pub fn with_outbox(self, outbox: Outbox) -> Self {
        self.0.outbox.get_or_init(|| outbox);
        self.ensure_rounds();
        self
    }

    /// Sends an email when a transaction commits, and never if it doesn't. With [`with_outbox`](Self::with_outbox) in
    /// the same database, the email is a row of the transaction, so it is sent even if the process ends right after the
    /// commit.
    ///
    /// For every email that reports a change in the transaction, or contains a token that the transaction creates.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{Sigra, mail::{Mail, Mailer}, token::Context};
    ///
    /// async fn send_link(sigra: &Sigra<User>, mailer: &Mailer, user: &User) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     let token = sigra.email_tokens().create_in(&mut tx, &user.id, Context::ResetPassword, &user.email).await?;
    ///     let link = format!("https://app.example.com/users/reset-password/{}", *token.encode());
    ///     mailer.send_in(&mut tx, Mail::new(&user.email, "Set a new password", link)).await?;
    ///     tx.commit().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`] if the email can't be kept. Then roll the transaction back.
    pub async fn send_in<U: AuthUser>(&self, tx: &mut Transaction<U>, mail: Mail) -> Result<(), Error> {
        let mailer = self.clone();
        let Some(outbox) = self.0.outbox.get().cloned() else {
            tx.after_commit(move || mailer.send(mail));
            return Ok(());
        };
        let (id, kept_at) = (Uuid::now_v7(), Instant::now());
        outbox.put_in(tx, id, &mail, HOLD).await?;
        tx.after_commit(move || {
            // If the commit took longer, another process may have taken it over.
            if kept_at.elapsed() < HOLD / 2 {
                mailer.send_held(outbox, id, mail, &RETRIES);
            }
        });
        Ok(())
    }

    /// Sends an email that reports no change in the database, and returns at once. If it does report one, use
    /// [`send_in`](Self::send_in).
    pub fn send(&self, mail: Mail) {
        if self.0.mails.len() >= QUEUE {
            let error = "too many emails are waiting to be sent";
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, error);
            return;
        }
        let mailer = self.clone();
        self.0.mails.spawn(async move { mailer.keep_and_send(&mail).await });
    }

    /// Runs work that can lead to an email, such as looking up the recipient and [sending](Self::send_in), and returns
    /// at once. The work takes none of the visitor's time, so a page takes the same time whether or not an email
    /// address is known. It begins after a random delay of 0.2 to 2 seconds, so that a request sent right after the
    /// response can't measure it either. [`settle`](Self::settle) ends the delay.
    ///
    /// Until it begins, the work is in memory only: if the process is killed, nothing is written and no email is sent.
    pub fn defer<E>(&self, work: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: fmt::Display + Send + 'static,
    {
        self.0.deferred.spawn(work);
    }

    /// Releases all unsent emails to other processes, or to the next start. Call it last, before the process ends.
    /// Returns how many emails were left; without an [outbox](Self::with_outbox), these are lost. Work that was
    /// [deferred](Self::defer) and hasn't run yet is lost in any case, and logged.
    pub async fn release_unsent(&self) -> usize {
        let Some(outbox) = self.0.outbox.get() else { return self.0.mails.len() + self.0.deferred.len() };
        if !self.0.deferred.is_empty() {
            let works = self.0.deferred.len();
            let error = "the process ends before it has looked up the recipients";
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, works, error);
        }
        let held = self.0.held.close();
        if let Err(error) = outbox.release(&held).await {
            tracing::warn!(target: "sigra", %error, "emails can't be released: they are sent only after their hold expires");
        }
        held.len()
    }

    /// Waits until all emails are sent, were put off, or have failed. For tests; and for a shutdown, with your own time
    /// limit.
    pub async fn settle(&self) {
        // In this order: work adds its emails before it ends.
        while !(self.0.deferred.is_empty() && self.0.mails.is_empty()) {
            self.0.deferred.flush();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the sent emails, if the mailer keeps them in memory.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match &self.0.transport {
            Transport::Memory(mailbox) => Some(mailbox),
            _ => None,
        }
    }

    /// Sends an email, and keeps it in the outbox until then.
    async fn keep_and_send(&self, mail: &Mail) {
        let Some(outbox) = self.0.outbox.get() else { return self.send_from_memory(mail).await };
        // Noted before it is kept, so that a concurrent `release_unsent` releases it too.
        let id = Uuid::now_v7();
        self.0.held.add(id);
        match outbox.put(id, mail, HOLD).await {
            Ok(()) => self.send_kept(outbox, id, mail, &RETRIES).await,
            Err(error) => {
                self.0.held.remove(id);
                tracing::warn!(target: "sigra", %error, "an email is kept in memory only");
                self.send_from_memory(mail).await;
            }
        }
    }

    /// Sends an email that isn't in the outbox.
    async fn send_from_memory(&self, mail: &Mail) {
        if let Err(error) = self.send_with_retries(mail, &RETRIES).await {
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, subject = mail.subject, %error);
        }
    }

    /// Sends an email that this process holds, in the background, unless it does already. If the queue is full, a later
    /// round takes it over.
    fn send_held(&self, outbox: Outbox, id: Uuid, mail: Mail, retries: &'static [Duration]) {
        // Noted before the task starts, so that a concurrent `release_unsent` releases it too.
        if self.0.mails.len() >= QUEUE || !self.0.held.claim(id) {
            return;
        }
        let mailer = self.clone();
        self.0.mails.spawn(async move { mailer.send_kept(&outbox, id, &mail, retries).await });
    }

    /// Sends an email that this process holds, and deletes it from the outbox. If the mail server fails to the last
    /// retry, the email stays there.
    async fn send_kept(&self, outbox: &Outbox, id: Uuid, mail: &Mail, retries: &[Duration]) {
        self.ensure_rounds();
        let sent = self.send_with_retries(mail, retries).await;
        let is_held = self.0.held.remove(id);
        match sent {
            // Even if another process holds it meanwhile, so that it isn't sent again.
            Ok(()) => {
                if let Err(error) = outbox.delete(id).await {
                    tracing::warn!(target: "sigra", %error, "a sent email can't be deleted from the outbox, and may be sent again");
                }
            }
            Err(error) if is_held => outbox.put_off(id, mail, &error).await,
            Err(_) => {}
        }
    }

    /// Starts the rounds over the outbox, if they don't run yet.
    fn ensure_rounds(&self) {
        if self.0.outbox.get().is_some() && tokio::runtime::Handle::try_current().is_ok() {
            self.0.rounds.ensure_running(|| go_round(Arc::downgrade(&self.0)));
        }
    }

    /// Takes emails over from the outbox. Half of the queue stays free for new ones.
    async fn go_round(&self, outbox: &Outbox) -> Result<(), Error> {
        // Without a mail server, emails of earlier processes wait for one.
        let has_server = !matches!(self.0.transport, Transport::None);
        let has_room = || has_server && self.0.mails.len() < QUEUE / 2;
        let send = |taken: Taken| {
            let retries: &[Duration] = if taken.is_old { &[] } else { &RETRIES };
            self.send_held(outbox.clone(), taken.id, taken.mail, retries);
        };
        outbox.go_round(&self.0.held, has_room, send).await
    }

    /// Sends an email, or gives it up because it can't be sent at all.
    ///
    /// # Errors
    ///
    /// The last error of the mail server, if it is temporary.
    async fn send_with_retries(&self, mail: &Mail, retries: &[Duration]) -> Result<(), MailError> {
        match self.compose_and_send(mail, retries).await {
            Ok(()) => tracing::info!(target: "sigra", event = telemetry::MAIL_SENT, subject = mail.subject),
            Err(error) if error.is_temporary() => return Err(error),
            Err(error) => {
                tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, subject = mail.subject, %error);
            }
        }
        Ok(())
    }

    async fn compose_and_send(&self, mail: &Mail, retries: &[Duration]) -> Result<(), MailError> {
        let message = message::compose(mail, &self.0.from)?;
        for wait in retries {
            match self.try_send(mail, &message).await {
                Err(error) if error.is_temporary() => {
                    tracing::warn!(target: "sigra", event = telemetry::MAIL_DELAYED, subject = mail.subject, %error);
                    tokio::time::sleep(jittered(*wait)).await;
                }
                done => return done,
            }
        }
        self.try_send(mail, &message).await
    }

    async fn try_send(&self, mail: &Mail, message: &Message) -> Result<(), MailError> {
        let _permit = self.0.permits.acquire().await;
        self.0.transport.send(mail, message).await
    }
}

/// Goes round the outbox for as long as the mailer exists. Emails that an earlier process has put off are tried at
/// once, because this one may have other settings.
async fn go_round(mailer: Weak<Inner>) {
    let mut has_begun = false;
    while let Some(inner) = mailer.upgrade() {
        let mailer = Mailer(inner);
        if let Some(outbox) = mailer.0.outbox.get() {
            let gone_round = async {
                if !has_begun {
                    outbox.release_those_held_for_longer_than(2 * HOLD).await?;
                    has_begun = true;
                }
                mailer.go_round(outbox).await
            };
            if let Err(error) = gone_round.await {
                tracing::warn!(target: "sigra", %error, "the outbox can't be checked");
            }
        }
        drop(mailer);
        tokio::time::sleep(jittered(ROUND)).await;
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer")
            .field("waiting", &self.0.mails.len())
            .field("deferred", &self.0.deferred.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::mail::{deferred::MIN_DELAY, outbox::fake::FakeRows};

    /// A mail server that gives each email the next of these replies. Returns the emails.
    async fn serve(listener: &TcpListener, responses: &[&str]) -> Vec<String> {
        let mut mails = Vec::new();
        while mails.len() < responses.len() {
            let (stream, _) = listener.accept().await.expect("a client");
            talk(BufReader::new(stream), responses, &mut mails).await.expect("a client that understands");
        }
        mails
    }

    /// Speaks SMTP with one client, until it disconnects or no reply is left.
    async fn talk(
        mut stream: BufReader<TcpStream>,
        responses: &[&str],
        mails: &mut Vec<String>,
    ) -> std::io::Result<()> {
        stream.write_all(b"220 test\r\n").await?;
        let (mut mail, mut line) = (None, String::new());
        while mails.len() < responses.len() && stream.read_line(&mut line).await? > 0 {
            let response = match (&mut mail, line.trim_end()) {
                (Some(_), ".") => {
                    mails.extend(mail.take());
                    responses[mails.len() - 1]
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
            if !response.is_empty() {
                stream.write_all(format!("{response}\r\n").as_bytes()).await?;
            }
            line.clear();
        }
        Ok(())
    }

    /// A server that accepted an email but couldn't say so recognizes it.
    #[tokio::test]
    async fn a_retry_sends_the_same_email() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let mailer = Mailer::from_url(&url, "MyApp <hello@example.com>").expect("a mailer");
        mailer.send(Mail::new("ada@example.com", "Hello", "How are you?"));
        let mails = serve(&listener, &["451 later", "250 taken"]).await;
        mailer.settle().await;
        assert!(mails[0].contains("Message-ID: <") && mails[0].contains("@example.com>"), "{}", mails[0]);
        assert_eq!(mails[0], mails[1]);
    }

    fn mailer() -> Mailer {
        Mailer::from_url("memory:", "MyApp <hello@example.com>").expect("valid settings")
    }

    /// Work that begins with the response can be measured by the next request (CWE-208).
    #[tokio::test]
    async fn invariant_5_composing_begins_at_a_random_time_after_the_response() {
        let (begun, mailer) = (Instant::now(), mailer());
        let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..20 {
            let began = began.clone();
            mailer.defer(async move {
                began.send(begun.elapsed()).expect("a receiver");
                Ok::<_, MailError>(())
            });
        }
        drop(began);
        let mut waits = Vec::new();
        while let Some(wait) = begins.recv().await {
            waits.push(wait);
        }
        assert!(waits.len() == 20 && waits.iter().all(|wait| *wait >= MIN_DELAY), "{waits:?}");
    }

    #[tokio::test]
    async fn settling_ends_the_random_delay() {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let (mut mailer, is_done) = (mailer(), Arc::new(AtomicBool::new(false)));
        Arc::get_mut(&mut mailer.0).expect("no clone").deferred = Deferred::between(HOUR, 2 * HOUR);
        let done = is_done.clone();
        mailer.defer(async move {
            done.store(true, Ordering::SeqCst);
            Ok::<_, MailError>(())
        });
        tokio::time::timeout(HOUR / 60, mailer.settle()).await.expect("without the delay");
        assert!(is_done.load(Ordering::SeqCst));
    }

    /// The mailer of a mail server that never responds, and an outbox that it doesn't use by itself.
    async fn stuck_mailer(waiting: usize) -> (Mailer, Arc<FakeRows>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let mailer = Mailer::from_url(&url, "MyApp <hello@example.com>").expect("a mailer");
        let rows = Arc::<FakeRows>::default();
        *rows.waiting.lock().expect("no panic") = (0..waiting).map(|_| Uuid::now_v7()).collect();
        (mailer, rows, listener)
    }

    #[tokio::test]
    async fn an_outbox_is_used_by_clones_from_before_it_was_set() {
        let mailer = mailer();
        let clone = mailer.clone();
        let rows = Arc::<FakeRows>::default();
        let mailer = mailer.with_outbox(rows.outbox());
        assert!(clone.0.outbox.get().is_some() && mailer.0.outbox.get().is_some());
    }

    #[tokio::test]
    async fn all_held_emails_are_extended_at_once_and_none_is_sent_twice() {
        let (mailer, rows, _listener) = stuck_mailer(3).await;
        let same = rows.waiting.lock().expect("no panic").clone();
        mailer.go_round(&rows.outbox()).await.expect("taken");
        assert_eq!((mailer.0.mails.len(), rows.holds.load(Ordering::SeqCst)), (3, 0));
        // Their hold has lapsed, because a round took too long.
        *rows.waiting.lock().expect("no panic") = same;
        mailer.go_round(&rows.outbox()).await.expect("taken");
        assert_eq!((mailer.0.mails.len(), rows.holds.load(Ordering::SeqCst)), (3, 1));
    }

    #[tokio::test]
    async fn a_mailer_that_has_left_takes_nothing_over() {
        let (mailer, rows, _listener) = stuck_mailer(3).await;
        let mailer = mailer.with_outbox(rows.outbox());
        assert_eq!(mailer.release_unsent().await, 0);
        mailer.go_round(&rows.outbox()).await.expect("a round");
        assert_eq!((mailer.0.mails.len(), rows.waiting.lock().expect("no panic").len()), (0, 3));
    }

    #[tokio::test]
    async fn waiting_emails_leave_room_for_new_ones_and_for_work_that_leads_to_them() {
        let (mailer, rows, _listener) = stuck_mailer(2 * QUEUE).await;
        mailer.go_round(&rows.outbox()).await.expect("taken");
        assert!((QUEUE / 2..QUEUE).contains(&mailer.0.mails.len()), "{mailer:?}");
        for _ in 0..2 * QUEUE {
            mailer.send(Mail::new("ada@example.com", "Hello", "How are you?"));
        }
        assert_eq!(mailer.0.mails.len(), QUEUE);
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        mailer.defer(async move {
            done.store(true, Ordering::SeqCst);
            Ok::<_, MailError>(())
        });
        while !is_done.load(Ordering::SeqCst) {
            mailer.0.deferred.flush();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
