//! SQLite: every commit, by whatever process, changes the header of the WAL index, where readers look to
//! learn what they may see (<https://www.sqlite.org/walformat.html>). As long as it is the same, so is every
//! row.
//!
//! `PRAGMA data_version` would tell the same, four times as slowly.

mod file;

use std::{
    fmt::Display,
    future::pending,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use self::file::IndexFile;
use super::Feed;
use crate::{task::Task, telemetry};

/// The header is there twice, one copy after the other, lest somebody read one that is half written.
const HEADER: usize = 48;

const COMPARE_INTERVAL: Duration = Duration::from_secs(1);

/// Tells of a SQLite file in WAL mode whether anything was committed. Of any other database it is never
/// sure.
pub struct WalIndex {
    pool: SqlitePool,
    index: Arc<OnceLock<Option<Index>>>,
    task: Task,
}

struct Index {
    file: IndexFile,
    is_trusted: AtomicBool,
    /// While it is open, nobody can leave WAL mode, and nobody deletes the file.
    connection: tokio::sync::Mutex<SqliteConnection>,
}

impl Feed for WalIndex {
    type Database = Sqlite;
    type Stamp = [u8; HEADER];
    type Subject = ();

    fn new(pool: SqlitePool, _: &'static str) -> Self {
        Self { pool, index: Arc::default(), task: Task::default() }
    }

    fn ensure_running(&self) {
        if self.index.get().is_none_or(Option::is_some) {
            self.task.ensure_running(|| watch(self.pool.clone(), self.index.clone()));
        }
    }

    fn stamp(&self) -> Option<[u8; HEADER]> {
        let index = self.index.get()?.as_ref()?;
        index.is_trusted.load(Ordering::Relaxed).then(|| index.header()).flatten()
    }

    fn subject(_: &dyn Display, _: &dyn Display) {}

    fn is_unchanged(&self, (): &(), since: &[u8; HEADER]) -> bool {
        self.stamp().as_ref() == Some(since)
    }

    /// The commit has changed the header.
    fn note(&self, _: &dyn Display) {}

    /// Nobody tells; one has to look.
    #[cfg(feature = "live")]
    async fn changed(&self) {
        pending().await
    }

    #[cfg(feature = "testing")]
    async fn catch_up(&self) {}
}

impl Index {
    /// The header, unless a writer is at it.
    fn header(&self) -> Option<[u8; HEADER]> {
        let mut copies = [0; 2 * HEADER];
        self.file.read_start(&mut copies).ok()?;
        let (first, second) = copies.split_at(HEADER);
        if first == second { first.try_into().ok() } else { None }
    }

    /// A number that changes with every commit of another connection, by SQLite's own account.
    async fn data_version(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *self.connection.lock().await).await
    }
}

/// Opens the index, and then makes sure that it tells of commits: a file system whose reads lag behind its
/// memory maps would hide them.
async fn watch(pool: SqlitePool, index: Arc<OnceLock<Option<Index>>>) {
    if index.get().is_none() {
        match open(&pool).await {
            Ok(opened) => drop(index.set(opened)),
            Err(error) => return bypass(&format!("the WAL index can't be opened: {error}")),
        }
    }
    match index.get() {
        Some(Some(index)) => {
            tracing::info!(target: "sigra", event = telemetry::CACHE_RESUMED);
            let reason = compare(index).await;
            index.is_trusted.store(false, Ordering::Relaxed);
            bypass(&reason);
            // Not to begin again.
            pending().await
        }
        _ => bypass("the database is not a file in WAL mode"),
    }
}

/// Compares what the index tells with what SQLite tells, until they differ.
async fn compare(index: &Index) -> String {
    let mut before = index.header();
    let mut last_version = None;
    loop {
        let version = match index.data_version().await {
            Ok(version) => version,
            Err(error) => return format!("the database can't be asked: {error}"),
        };
        let after = index.header();
        let has_commits = last_version.replace(version).is_some_and(|last| last != version);
        if has_commits && after.is_some() && after == before {
            return "the WAL index does not tell of commits: is the database on a local file system?".to_owned();
        }
        before = after;
        tokio::time::sleep(COMPARE_INTERVAL).await;
    }
}

async fn open(pool: &SqlitePool) -> sqlx::Result<Option<Index>> {
    let mut connection = pool.acquire().await?;
    let in_wal_mode = "SELECT (SELECT journal_mode FROM pragma_journal_mode) = 'wal'
        AND (SELECT locking_mode FROM pragma_locking_mode) = 'normal'
        -- A look at the schema opens the index.
        AND (SELECT count(*) FROM sqlite_schema) >= 0";
    let in_wal_mode: bool = sqlx::query_scalar(in_wal_mode).fetch_one(&mut *connection).await?;
    if !in_wal_mode {
        return Ok(None);
    }
    let path = "SELECT file || '-shm' FROM pragma_database_list WHERE name = 'main'";
    let path: String = sqlx::query_scalar(path).fetch_one(&mut *connection).await?;
    let Some(file) = IndexFile::open(path.as_ref())? else { return Ok(None) };
    let connection = tokio::sync::Mutex::new(connection.detach());
    Ok(Some(Index { file, is_trusted: AtomicBool::new(true), connection }))
}

fn bypass(reason: &str) {
    tracing::info!(target: "sigra", event = telemetry::CACHE_BYPASSED, reason);
}
