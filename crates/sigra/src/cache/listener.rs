//! PostgreSQL: triggers announce every change of a session, a bearer token or a user on a channel, and every process
//! listens.
//!
//! Announcements are delivered in the order of their commits. A heartbeat that is sent through another connection and
//! comes back therefore proves that everything committed before it has been received. Without a heartbeat for
//! [`LEASE`], the feed is sure of nothing.

use std::{
    convert::Infallible,
    fmt::{self, Display},
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{PgConnection, PgPool, Postgres, postgres::PgListener};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use crate::{
    base::{
        task::{Task, jittered},
        telemetry,
    },
    model::feed::Feed,
};

/// The channel of the triggers in `schema::POSTGRES`.
const CHANNEL: &str = "sigra";
/// Sent instead of an ID: everything may have changed.
const EVERYTHING: &str = "*";

const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long one heartbeat is valid, from when it was sent.
const LEASE: Duration = Duration::from_millis(1500);
/// The time between attempts to reconnect, plus or minus half of it.
const RECONNECT: Duration = Duration::from_secs(1);

/// The number of slots for changes, by a hash of the ID. If two IDs share a slot, a change of one also ends the cached
/// scopes of the other, which costs a query. There are so many slots that a purge, which announces every row, affects
/// few cached scopes.
const SLOTS: usize = 65_536;

/// Listens for changes in a PostgreSQL database.
pub struct Listener {
    pool: PgPool,
    users: &'static str,
    heard: Arc<Heard>,
    task: Task,
}

/// The changes heard so far. Every change has a number.
struct Heard {
    changes: AtomicU64,
    last_change: Box<[AtomicU64]>,
    last_change_of_everything: AtomicU64,
    born: Instant,
    /// In milliseconds after `born`. 0 if sure of nothing.
    sure_until: AtomicU64,
    changed: Notify,
    beat_now: Notify,
    /// When the last heartbeat that came back was sent.
    beat: watch::Sender<u64>,
}

/// A session and a user, by a hash of their IDs.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    session: u64,
    user: u64,
}

#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error("the database returned an error: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the listening connection was lost")]
    Lost,
    #[error("the triggers of sigra::schema::POSTGRES are missing or disabled: create them in a migration")]
    NoTriggers,
    #[error(
        "heartbeats don't come back: connect without a pooler, or with one that pools by session, not by transaction"
    )]
    NoHeartbeat,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl Feed for Listener {
    type Database = Postgres;
    type Stamp = u64;
    type Subject = Subject;

    fn new(pool: PgPool, users: &'static str) -> Self {
        Self { pool, users, heard: Arc::new(Heard::new()), task: Task::default() }
    }

    fn ensure_running(&self) {
        self.task.ensure_running(|| run(self.pool.clone(), self.users, self.heard.clone()));
    }

    fn stamp(&self) -> Option<u64> {
        self.heard.is_sure().then(|| self.heard.changes.load(Ordering::SeqCst))
    }

    fn subject(session: &dyn Display, user: &dyn Display) -> Subject {
        Subject { session: hash(session), user: hash(user) }
    }

    fn is_unchanged(&self, subject: &Subject, since: &u64) -> bool {
        self.heard.is_sure()
            && (self.heard.changes.load(Ordering::SeqCst) == *since || self.heard.has_kept(subject, *since))
    }

    fn note(&self, changed: &dyn Display) {
        self.heard.change(self.heard.slot(hash(changed)));
    }

    #[cfg(feature = "live")]
    async fn changed(&self) {
        self.heard.changed.notified().await;
    }

    #[cfg(feature = "testing")]
    async fn catch_up(&self) {
        let asked = self.heard.milliseconds();
        let mut beat = self.heard.beat.subscribe();
        while self.heard.is_sure() && *beat.borrow_and_update() <= asked {
            self.heard.beat_now.notify_one();
            drop(timeout(Duration::from_millis(10), beat.changed()).await);
        }
    }
}

impl Heard {
    fn new() -> Self {
        Self {
            changes: AtomicU64::new(0),
            last_change: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            last_change_of_everything: AtomicU64::new(0),
            born: Instant::now(),
            sure_until: AtomicU64::new(0),
            changed: Notify::new(),
            beat_now: Notify::new(),
            beat: watch::Sender::new(0),
        }
    }

    fn milliseconds(&self) -> u64 {
        milliseconds(self.born.elapsed())
    }

    fn is_sure(&self) -> bool {
        self.milliseconds() < self.sure_until.load(Ordering::SeqCst)
    }

    fn slot(&self, id: u64) -> &AtomicU64 {
        // The remainder is less than `SLOTS`, which fits into `usize`.
        &self.last_change[usize::try_from(id % SLOTS as u64).unwrap_or_default()]
    }

    /// Returns whether no change since a moment was one of this subject. It takes two loads from anywhere in a large
    /// table.
    fn has_kept(&self, subject: &Subject, since: u64) -> bool {
        let is_older = |change: &AtomicU64| change.load(Ordering::SeqCst) <= since;
        is_older(self.slot(subject.session))
            && is_older(self.slot(subject.user))
            && is_older(&self.last_change_of_everything)
    }

    fn change(&self, slot: &AtomicU64) {
        slot.fetch_max(self.changes.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn hear_change(&self, id: &str) {
        match id {
            EVERYTHING => self.change(&self.last_change_of_everything),
            id => self.change(self.slot(hash(&id))),
        }
        self.changed.notify_one();
    }

    fn hear_heartbeat(&self, sent_at: &str) {
        // Any user of the database can send anything here.
        let Some(sent_at) = sent_at.parse::<u64>().ok().filter(|sent_at| *sent_at <= self.milliseconds()) else {
            return;
        };
        let until = sent_at.saturating_add(milliseconds(LEASE));
        let was_sure = self.milliseconds() < self.sure_until.fetch_max(until, Ordering::SeqCst);
        self.beat.send_replace(sent_at);
        if !was_sure && self.is_sure() {
            tracing::info!(target: "sigra", event = telemetry::CACHE_RESUMED);
        }
    }
}

/// Listens, and starts again after each failure.
async fn run(pool: PgPool, users: &'static str, heard: Arc<Heard>) {
    loop {
        let Err(reason) = listen(&pool, users, &heard).await;
        heard.sure_until.store(0, Ordering::SeqCst);
        tracing::warn!(target: "sigra", event = telemetry::CACHE_BYPASSED, %reason);
        sleep(jittered(RECONNECT)).await;
    }
}

async fn listen(pool: &PgPool, users: &str, heard: &Heard) -> Result<Infallible, Deaf> {
    let mut listener = PgListener::connect_with(&alone(pool)).await?;
    listener.eager_reconnect(false);
    let heartbeats = format!("{CHANNEL}_{}", uuid::Uuid::now_v7().simple());
    listener.listen_all([CHANNEL, &heartbeats]).await?;
    // Earlier announcements may have been missed.
    heard.hear_change(EVERYTHING);
    tokio::try_join!(receive(listener, heard), beat(pool, users, heard, &heartbeats)).map(|(never, _)| never)
}

/// Returns a pool for the listening connection. When `PgListener` is dropped, it waits for the server without a limit, so
/// it must not keep its place in a pool that others need.
fn alone(pool: &PgPool) -> PgPool {
    pool.options().clone().max_connections(1).connect_lazy_with((*pool.connect_options()).clone())
}

async fn receive(mut listener: PgListener, heard: &Heard) -> Result<Infallible, Deaf> {
    loop {
        let notification = listener.try_recv().await?.ok_or(Deaf::Lost)?;
        match notification.channel() {
            CHANNEL => heard.hear_change(notification.payload()),
            _ => heard.hear_heartbeat(notification.payload()),
        }
    }
}

async fn beat(pool: &PgPool, users: &str, heard: &Heard, channel: &str) -> Result<Infallible, Deaf> {
    let begun = heard.milliseconds();
    loop {
        let mut conn = pool.acquire().await?;
        let sent = timeout(LEASE, send_heartbeat(&mut conn, users, heard, channel)).await;
        if !matches!(sent, Ok(Ok(()))) {
            conn.close_on_drop();
        }
        drop(conn);
        sent.map_err(|_| Deaf::NoHeartbeat)??;
        drop(timeout(HEARTBEAT, heard.beat_now.notified()).await);
        let silent_since = begun.max(*heard.beat.borrow());
        if heard.milliseconds().saturating_sub(silent_since) > milliseconds(2 * LEASE) {
            return Err(Deaf::NoHeartbeat);
        }
    }
}

/// Checks that the triggers are enabled, and sends a heartbeat, which proves that changes were announced until now.
async fn send_heartbeat(conn: &mut PgConnection, users: &str, heard: &Heard, channel: &str) -> Result<(), Deaf> {
    let triggers = "SELECT count(*) FROM pg_trigger
        WHERE tgrelid IN (to_regclass($1), to_regclass('users_tokens'), to_regclass('api_tokens'),
              to_regclass('oauth_grants'), to_regclass('oauth_tokens'))
          AND tgname IN ('sigra_announce', 'sigra_announce_truncate') AND tgenabled = 'A'";
    let sent_at = heard.milliseconds();
    let triggers: i64 = sqlx::query_scalar(triggers).bind(users).fetch_one(&mut *conn).await?;
    if triggers != 10 {
        return Err(Deaf::NoTriggers);
    }
    sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(sent_at.to_string()).execute(&mut *conn).await?;
    Ok(())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Hashes the text of an ID, so that the hash equals that of the ID in an announcement.
fn hash(id: &dyn Display) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(id.to_string().as_bytes());
    hasher.finish()
}
