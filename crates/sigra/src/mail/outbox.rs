//! Emails that outlive the process that was to send them.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    base::{error::Error, telemetry},
    mail::{held::Held, mail::Mail, transport::MailError},
    model::{transaction::Transaction, user::AuthUser},
    sigra::Sigra,
    store::{self, KeptMail},
};

/// Where emails wait until they are sent: in encrypted rows of the database. If a process ends, any other takes over
/// its emails. Created by [`Sigra::outbox`].
#[derive(Clone)]
pub struct Outbox(Arc<dyn Rows>);

/// How long a process holds an email, so that no other sends it, unless it extends that.
pub(super) const HOLD: Duration = Duration::from_secs(30);

/// How often a process extends the hold of its emails, and takes over those that no process holds.
pub(super) const ROUND: Duration = Duration::from_secs(8);

/// The time between the attempts after the last retry.
const PAUSE: Duration = Duration::from_mins(30);

/// The age from which an email is tried once at a time, because its retries have failed.
const OLD: Duration = Duration::from_mins(20);

/// How long an email that this process can't decrypt is left to others.
const UNREADABLE: Duration = Duration::from_mins(5);

/// The age from which an email is no longer taken over, because its links have expired.
const TOO_OLD: Duration = Duration::from_hours(24);

/// How many emails are taken over at a time.
const BATCH: i64 = 20;

/// The context that the emails are encrypted for.
const CONTEXT: &str = "outgoing mail";

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// An email from the outbox.
struct Kept {
    id: Uuid,
    /// `None` if it can't be decrypted, because its key is no longer known.
    mail: Option<Mail>,
    age: Duration,
}

/// An email to send.
pub(super) struct Taken {
    pub id: Uuid,
    pub mail: Mail,
    /// Whether it was retried before.
    pub is_old: bool,
}

trait Rows: Send + Sync {
    fn seal(&self, mail: &Mail) -> Result<Vec<u8>, Error>;
    fn put<'a>(&'a self, id: Uuid, mail: &'a Mail, hold: Duration) -> BoxFuture<'a, ()>;
    fn hold<'a>(&'a self, ids: &'a [Uuid], hold: Duration) -> BoxFuture<'a, ()>;
    fn release<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, ()>;
    fn release_those_held_for_longer_than(&self, hold: Duration) -> BoxFuture<'_, ()>;
    fn take(&self, hold: Duration) -> BoxFuture<'_, Vec<Kept>>;
    fn delete(&self, id: Uuid) -> BoxFuture<'_, ()>;
}

impl Outbox {
    /// Keeps an email under an id, and holds it for that long.
    pub(super) async fn put(&self, id: Uuid, mail: &Mail, hold: Duration) -> Result<(), Error> {
        self.0.put(id, mail, hold).await
    }

    /// Keeps an email in a transaction.
    pub(super) async fn put_in<U: AuthUser>(
        &self,
        tx: &mut Transaction<U>,
        id: Uuid,
        mail: &Mail,
        hold: Duration,
    ) -> Result<(), Error> {
        Ok(store::outgoing_mails::put::<U::Database>(tx, id, &self.0.seal(mail)?, hold).await?)
    }

    /// Extends the hold of emails. Never shortens it.
    async fn hold(&self, ids: &[Uuid], hold: Duration) -> Result<(), Error> {
        if ids.is_empty() { Ok(()) } else { self.0.hold(ids, hold).await }
    }

    /// Releases emails to other processes.
    pub(super) async fn release(&self, ids: &[Uuid]) -> Result<(), Error> {
        if ids.is_empty() { Ok(()) } else { self.0.release(ids).await }
    }

    /// Releases all emails that are held for longer than a duration, whatever process holds them.
    pub(super) async fn release_those_held_for_longer_than(&self, hold: Duration) -> Result<(), Error> {
        self.0.release_those_held_for_longer_than(hold).await
    }

    /// Takes over emails that no process holds.
    async fn take(&self, hold: Duration) -> Result<Vec<Kept>, Error> {
        self.0.take(hold).await
    }

    /// Deletes an email that was sent or has failed.
    pub(super) async fn delete(&self, id: Uuid) -> Result<(), Error> {
        self.0.delete(id).await
    }
}

/// Rounds.
impl Outbox {
    /// Extends the hold of this process's emails, and takes over those that no process holds, as long as there is room.
    pub(super) async fn go_round(
        &self,
        held: &Held,
        has_room: impl Fn() -> bool,
        send: impl Fn(Taken),
    ) -> Result<(), Error> {
        let mut touched = held.ids();
        self.hold(&touched, HOLD).await?;
        while has_room() && !held.is_closed() {
            let taken = self.take(HOLD).await?;
            if taken.is_empty() {
                break;
            }
            touched.extend(taken.iter().map(|kept| kept.id));
            for kept in taken {
                self.take_up(kept).await?.into_iter().for_each(&send);
            }
        }
        // A concurrent `release_unsent` may have released them before they were held.
        if held.is_closed() { self.release(&touched).await } else { Ok(()) }
    }

    /// Returns the email if it is to be sent now. One that is too old is deleted, and one that can't be decrypted is
    /// left to other processes.
    async fn take_up(&self, kept: Kept) -> Result<Option<Taken>, Error> {
        if kept.age >= TOO_OLD {
            log_too_old(&kept);
            self.delete(kept.id).await?;
            return Ok(None);
        }
        let Some(mail) = kept.mail else {
            // While a secret is rotated, old processes don't know the key of new ones.
            tracing::warn!(target: "sigra", "an email in the outbox can't be decrypted: it is left to other processes");
            self.hold(&[kept.id], UNREADABLE).await?;
            return Ok(None);
        };
        Ok(Some(Taken { id: kept.id, mail, is_old: kept.age >= OLD }))
    }

    /// Leaves an email in the outbox until the next attempt. One that is too old by then is deleted when it is taken.
    pub(super) async fn put_off(&self, id: Uuid, mail: &Mail, error: &MailError) {
        tracing::error!(
            target: "sigra", event = telemetry::MAIL_DELAYED, subject = mail.subject, %error,
            "the mail server still fails: check its settings. The email is kept for a day, and tried every half hour and \
             at each start"
        );
        if let Err(error) = self.hold(&[id], PAUSE).await {
            tracing::warn!(target: "sigra", %error, "an email can't be put off: it is tried again in a moment");
        }
    }
}

fn log_too_old(kept: &Kept) {
    let error = match kept.mail {
        Some(_) => "it is older than a day",
        None => "it is older than a day, and can't be decrypted: keep old secrets as fallbacks when you rotate them",
    };
    tracing::error!(target: "sigra", event = telemetry::MAIL_FAILED, error);
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the outbox that keeps the emails of a [`Mailer`](super::Mailer) until they are sent: in
    /// `outgoing_mails`, encrypted like all secrets. See [`Mailer::with_outbox`](super::Mailer::with_outbox).
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox(Arc::new(self.clone()))
    }

    fn open_mail(&self, kept: KeptMail) -> Kept {
        let opened = self.parts.encryption_keys.decrypt(&kept.sealed, CONTEXT);
        let mail = opened.and_then(|json| serde_json::from_slice(&json).ok());
        Kept { id: kept.id, mail, age: kept.age }
    }
}

impl<U: AuthUser> Rows for Sigra<U> {
    fn seal(&self, mail: &Mail) -> Result<Vec<u8>, Error> {
        let json = zeroize::Zeroizing::new(serde_json::to_vec(mail)?);
        self.parts.encryption_keys.encrypt(&json, CONTEXT)
    }

    fn put<'a>(&'a self, id: Uuid, mail: &'a Mail, hold: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let sealed = self.seal(mail)?;
            let mut conn = self.pool().acquire().await?;
            Ok(store::outgoing_mails::put::<U::Database>(&mut conn, id, &sealed, hold).await?)
        })
    }

    fn hold<'a>(&'a self, ids: &'a [Uuid], hold: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            Ok(store::outgoing_mails::hold::<U::Database>(&mut *self.pool().acquire().await?, ids, hold).await?)
        })
    }

    fn release<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            Ok(store::outgoing_mails::release::<U::Database>(&mut *self.pool().acquire().await?, ids).await?)
        })
    }

    fn release_those_held_for_longer_than(&self, hold: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut conn = self.pool().acquire().await?;
            Ok(store::outgoing_mails::release_those_held_for_longer_than::<U::Database>(&mut conn, hold).await?)
        })
    }

    fn take(&self, hold: Duration) -> BoxFuture<'_, Vec<Kept>> {
        Box::pin(async move {
            let mut conn = self.pool().acquire().await?;
            let taken = store::outgoing_mails::take::<U::Database>(&mut conn, hold, BATCH).await?;
            Ok(taken.into_iter().map(|kept| self.open_mail(kept)).collect())
        })
    }

    fn delete(&self, id: Uuid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            Ok(store::outgoing_mails::delete::<U::Database>(&mut *self.pool().acquire().await?, id).await?)
        })
    }
}

/// Never shows its emails.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// An outbox in memory.
#[cfg(test)]
pub(super) mod fake {
    use std::sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// The rows of an outbox that are waiting, and how often holds were extended.
    #[derive(Default)]
    pub struct FakeRows {
        pub waiting: Mutex<Vec<Uuid>>,
        pub holds: AtomicUsize,
    }

    impl FakeRows {
        pub fn outbox(self: &Arc<Self>) -> Outbox {
            Outbox(self.clone())
        }
    }

    impl Rows for FakeRows {
        fn seal(&self, _: &Mail) -> Result<Vec<u8>, Error> {
            Ok(Vec::new())
        }

        fn put<'a>(&'a self, _: Uuid, _: &'a Mail, _: Duration) -> BoxFuture<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn hold<'a>(&'a self, _: &'a [Uuid], _: Duration) -> BoxFuture<'a, ()> {
            self.holds.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        }

        fn release<'a>(&'a self, _: &'a [Uuid]) -> BoxFuture<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn release_those_held_for_longer_than(&self, _: Duration) -> BoxFuture<'_, ()> {
            Box::pin(async { Ok(()) })
        }

        fn take(&self, _: Duration) -> BoxFuture<'_, Vec<Kept>> {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = waiting.len().min(usize::try_from(BATCH).unwrap_or_default());
            let mail = || Some(Mail::new("ada@example.com", "Hello", "How are you?"));
            let taken = waiting.drain(..batch).map(|id| Kept { id, mail: mail(), age: Duration::ZERO }).collect();
            Box::pin(async { Ok(taken) })
        }

        fn delete(&self, _: Uuid) -> BoxFuture<'_, ()> {
            Box::pin(async { Ok(()) })
        }
    }
}
