use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use lettre::{Message, message::Mailbox as Address};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    base::{
        error::Error,
        task::{Task, jittered},
        telemetry,
        token::random_bytes,
    },
    mail::{
        mail::Mail,
        message,
        outbox::{Kept, Outbox},
        transport::{MailError, Mailbox, Transport},
    },
    model::{transaction::Transaction, user::AuthUser},
};

/// When work that leads to a mail begins: so long after the request was answered, and up to [`LATEST`].
const EARLIEST: Duration = Duration::from_millis(200);

/// See [`EARLIEST`].
const LATEST: Duration = Duration::from_secs(2);

/// How long it waits before each further try.
const RETRIES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
];

/// How long others leave a mail alone that is kept, unless it is held for longer.
const HOLD: Duration = Duration::from_secs(30);

/// How often mails are held for longer, and others' taken up.
const ROUND: Duration = Duration::from_secs(8);

/// What is older is not taken up any more: its links are no longer good.
const TOO_OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Mails that may wait. Past it they are dropped, and that is said.
const QUEUE: usize = 1000;

/// Mails that are being sent at the same time.
const AT_ONCE: usize = 8;

/// How much work that leads to mails is done at the same time: one after the other, so that requests go first.
const WORKS_AT_ONCE: usize = 1;

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
    outbox: Option<Outbox>,
    /// The mails in the outbox that this process sends.
    held: Mutex<HashSet<Uuid>>,
    rounds: Task,
    works_at_once: Semaphore,
    /// Somebody waits for all mails: none waits for its time.
    hurry: Notify,
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
        Ok(Self(Arc::new(Inner {
            transport,
            from,
            tasks: TaskTracker::new(),
            at_once: Semaphore::new(AT_ONCE),
            outbox: None,
            held: Mutex::default(),
            rounds: Task::default(),
            works_at_once: Semaphore::new(WORKS_AT_ONCE),
            hurry: Notify::new(),
        })))
    }

    /// Keeps every mail in the database until it is sent, so that none is lost when the process ends: what is left
    /// there is sent by the next one, or by any other that is running, and by one of them only. Call it where the
    /// application starts, in its runtime: then what an earlier process has left is sent from now on.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::mail::{MailError, Mailer};
    ///
    /// fn mailer(sigra: &sigra::Sigra<User>) -> Result<Mailer, MailError> {
    ///     Ok(Mailer::from_url("smtp://localhost:2525", "MyApp <hello@example.com>")?.kept_in(sigra.outbox()))
    /// }
    /// ```
    #[must_use]
    pub fn kept_in(self, outbox: Outbox) -> Self {
        let mut mailer = self;
        match Arc::get_mut(&mut mailer.0) {
            Some(inner) => inner.outbox = Some(outbox),
            None => {
                tracing::error!(target: "sigra", "mails are kept in memory only: call `kept_in` before a mailer is cloned")
            }
        }
        mailer.ensure_rounds();
        mailer
    }

    /// Sends a mail with what a transaction changes: once that is committed, and never if it is not. With
    /// [`kept_in`](Self::kept_in), in the same database, the mail is a row of the transaction, so that it is sent
    /// although the process ends right after the commit.
    ///
    /// For every mail that tells of something that is written, or has a token in it that is.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::{Sigra, mail::{Mail, Mailer}, token::Context};
    ///
    /// async fn send_link(sigra: &Sigra<User>, mailer: &Mailer, user: &User) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     let token = sigra.email_tokens().create(&mut tx, &user.id, Context::ResetPassword, &user.email).await?;
    ///     let link = format!("https://app.example.com/users/reset-password/{}", *token.encode());
    ///     mailer.send_in(&mut tx, Mail::new(&user.email, "Set a new password", link)).await?;
    ///     tx.commit().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`] if it can't be kept. Roll the transaction back then.
    pub async fn send_in<U: AuthUser>(&self, tx: &mut Transaction<U>, mail: Mail) -> Result<(), Error> {
        let mailer = self.clone();
        let Some(outbox) = self.0.outbox.clone() else {
            tx.after_commit(move || mailer.send(mail));
            return Ok(());
        };
        let (id, kept_at) = (Uuid::now_v7(), Instant::now());
        outbox.put_in(tx, id, &mail, HOLD).await?;
        tx.after_commit(move || {
            // After a commit that took longer than that, somebody else may have taken it up.
            if kept_at.elapsed() < HOLD / 2 {
                mailer.send_held(outbox, id, mail);
            }
        });
        Ok(())
    }

    /// Sends a mail that tells of nothing that is written, and returns at once. One that does is sent
    /// [in the transaction of that](Self::send_in).
    pub fn send(&self, mail: Mail) {
        let mailer = self.clone();
        self.spawn(async move { mailer.keep_and_send(&mail).await });
    }

    /// Does what leads to a mail, perhaps, and returns at once: finds out whether there is one to be sent, and
    /// [sends](Self::send_in) it. What is looked up and written for it takes the visitor no time, so that a page answers
    /// in the same time whether or not an address is known. It begins at a random time, 0.2 to 2 seconds later: whoever
    /// sends another request right after the answer does not hear it either. [`settle`](Self::settle) lets it begin at
    /// once.
    ///
    /// Until it begins it is in memory only: if the process is killed, nothing is written and no mail is sent.
    pub fn deliver<E>(&self, work: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: fmt::Display + Send + 'static,
    {
        let mailer = self.clone();
        self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(some_time()) => {}
                () = mailer.0.hurry.notified() => {}
            }
            let _turn = mailer.0.works_at_once.acquire().await;
            if let Err(error) = work.await {
                tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, %error);
            }
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if self.0.tasks.len() >= QUEUE {
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, error = "too many mails are waiting");
            return;
        }
        self.0.tasks.spawn(work);
    }

    /// Leaves what is not sent yet to other processes, and to the next start: the last thing before the process ends.
    /// Gives the number of mails that are left; without an [outbox](Self::kept_in), that are lost.
    pub async fn leave(&self) -> usize {
        let Some(outbox) = &self.0.outbox else { return self.0.tasks.len() };
        let held: Vec<Uuid> = self.held().drain().collect();
        for id in &held {
            if let Err(error) = outbox.hold(*id, Duration::ZERO).await {
                tracing::warn!(target: "sigra", %error, "a mail is sent only when it is no longer held");
            }
        }
        held.len()
    }

    /// Waits until all mails are sent or given up. For tests; and for a shutdown, with a time limit of its own.
    pub async fn settle(&self) {
        while !self.0.tasks.is_empty() {
            self.0.hurry.notify_waiters();
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

    /// Sends a mail that is kept until then.
    async fn keep_and_send(&self, mail: &Mail) {
        let Some(outbox) = &self.0.outbox else { return self.send_with_retries(mail).await };
        // Noted before it is kept: whoever leaves in between lets it go too.
        let id = Uuid::now_v7();
        self.held().insert(id);
        match outbox.put(id, mail, HOLD).await {
            Ok(()) => self.send_kept(outbox, id, mail).await,
            Err(error) => {
                self.held().remove(&id);
                tracing::warn!(target: "sigra", %error, "a mail is kept in memory only");
                self.send_with_retries(mail).await;
            }
        }
    }

    /// Sends a mail in the background that this process holds. If too many are waiting, it is taken up later.
    fn send_held(&self, outbox: Outbox, id: Uuid, mail: Mail) {
        if self.0.tasks.len() >= QUEUE {
            return;
        }
        // Noted before it is begun: whoever leaves in between lets it go too.
        self.held().insert(id);
        let mailer = self.clone();
        self.0.tasks.spawn(async move { mailer.send_kept(&outbox, id, &mail).await });
    }

    /// Sends a mail that this process holds, and forgets it.
    async fn send_kept(&self, outbox: &Outbox, id: Uuid, mail: &Mail) {
        self.ensure_rounds();
        self.send_with_retries(mail).await;
        if self.held().remove(&id)
            && let Err(error) = outbox.delete(id).await
        {
            tracing::warn!(target: "sigra", %error, "a mail that was sent is not forgotten, and may be sent again");
        }
    }

    /// Begins to look after what is kept.
    fn ensure_rounds(&self) {
        if self.0.outbox.is_some() && tokio::runtime::Handle::try_current().is_ok() {
            self.0.rounds.ensure_running(|| go_round(Arc::downgrade(&self.0)));
        }
    }

    /// Holds what this process sends, and takes up what nobody does.
    async fn go_round(&self, outbox: &Outbox) -> Result<(), Error> {
        let held: Vec<Uuid> = self.held().iter().copied().collect();
        for id in held {
            outbox.hold(id, HOLD).await?;
        }
        while self.0.tasks.len() < QUEUE {
            let taken = outbox.take(HOLD).await?;
            if taken.is_empty() {
                break;
            }
            for kept in taken {
                self.take_up(outbox, kept).await?;
            }
        }
        Ok(())
    }

    async fn take_up(&self, outbox: &Outbox, kept: Kept) -> Result<(), Error> {
        let Some(mail) = kept.mail.filter(|_| kept.age < TOO_OLD) else {
            let error = "it was kept for too long, or can't be decrypted";
            tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, error);
            return outbox.delete(kept.id).await;
        };
        self.send_held(outbox.clone(), kept.id, mail);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Looks after what is kept, for as long as there is a mailer.
async fn go_round(mailer: Weak<Inner>) {
    while let Some(inner) = mailer.upgrade() {
        let mailer = Mailer(inner);
        if let Some(outbox) = &mailer.0.outbox
            && let Err(error) = mailer.go_round(outbox).await
        {
            tracing::warn!(target: "sigra", %error, "mails that are kept can't be looked after");
        }
        drop(mailer);
        tokio::time::sleep(jittered(ROUND)).await;
    }
}

/// A time between the earliest and the latest.
fn some_time() -> Duration {
    let random = random_bytes().map_or(u16::MAX, u16::from_be_bytes);
    EARLIEST + (LATEST - EARLIEST) * u32::from(random) / u32::from(u16::MAX)
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("waiting", &self.0.tasks.len()).finish_non_exhaustive()
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

    fn mailer() -> Mailer {
        Mailer::from_url("memory:", "MyApp <hello@example.com>").expect("good settings")
    }

    /// Work that begins with the answer is heard by the next request (CWE-208).
    #[tokio::test]
    async fn invariant_5_composing_begins_at_a_random_time_after_the_answer() {
        let (begun, mailer) = (Instant::now(), mailer());
        let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..20 {
            let began = began.clone();
            mailer.deliver(async move {
                began.send(begun.elapsed()).expect("somebody waits");
                Ok::<_, MailError>(())
            });
        }
        drop(began);
        let mut waits = Vec::new();
        while let Some(wait) = begins.recv().await {
            waits.push(wait);
        }
        assert!(waits.len() == 20 && waits.iter().all(|wait| *wait >= EARLIEST), "{waits:?}");
        let first_half = waits.iter().filter(|wait| **wait < (EARLIEST + LATEST) / 2).count();
        assert!((1..20).contains(&first_half), "{waits:?}");
    }

    #[tokio::test]
    async fn whoever_waits_for_all_mails_waits_for_no_such_time() {
        let (mailer, begun, is_done) = (mailer(), Instant::now(), Arc::new(AtomicBool::new(false)));
        let done = is_done.clone();
        mailer.deliver(async move {
            done.store(true, Ordering::SeqCst);
            Ok::<_, MailError>(())
        });
        mailer.settle().await;
        assert!(is_done.load(Ordering::SeqCst));
        assert!(begun.elapsed() < EARLIEST);
    }
}
