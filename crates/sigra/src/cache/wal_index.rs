//! SQLite: every commit, by any process, changes the header of the WAL index, which readers use to learn what they can
//! see (<https://www.sqlite.org/walformat.html>). As long as the header is unchanged, so is every row.
//!
//! `PRAGMA data_version` would show the same, but takes four times as long.

mod file;

use std::{
    fmt::{self, Display},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::{
    base::{task::Task, telemetry},
    cache::wal_index::file::{Header, IndexFile},
    model::feed::Feed,
};

const COMPARE_INTERVAL: Duration = Duration::from_secs(1);

/// The number of commits that the header must show before it is trusted again.
const PROOFS: u32 = 3;

/// Detects commits in a SQLite file in WAL mode. For any other database, it is never sure.
pub struct WalIndex {
    pool: SqlitePool,
    index: Arc<OnceLock<Option<Index>>>,
    task: Task,
}

struct Index {
    file: IndexFile,
    is_trusted: AtomicBool,
    /// While it is open, no process can leave WAL mode or delete the file.
    connection: tokio::sync::Mutex<SqliteConnection>,
}

impl fmt::Debug for WalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalIndex").finish_non_exhaustive()
    }
}

impl Feed for WalIndex {
    type Database = Sqlite;
    type Stamp = Header;
    type Subject = ();

    fn new(pool: SqlitePool, _: &'static str) -> Self {
        Self { pool, index: Arc::default(), task: Task::default() }
    }

    fn ensure_running(&self) {
        if self.index.get().is_none_or(Option::is_some) {
            self.task.ensure_running(|| watch(self.pool.clone(), self.index.clone()));
        }
    }

    fn stamp(&self) -> Option<Header> {
        let index = self.index.get()?.as_ref()?;
        index.is_trusted.load(Ordering::Relaxed).then(|| index.header()).flatten()
    }

    fn subject(_: &dyn Display, _: &dyn Display) {}

    fn is_unchanged(&self, (): &(), since: &Header) -> bool {
        self.stamp().as_ref() == Some(since)
    }

    /// Does nothing: the commit has changed the header.
    fn note(&self, _: &dyn Display) {}

    /// Never resolves: SQLite has no notifications, so live connections poll.
    #[cfg(feature = "live")]
    async fn changed(&self) {
        std::future::pending().await
    }

    #[cfg(feature = "testing")]
    async fn catch_up(&self) {}
}

impl Index {
    /// Returns the header, or `None` while a writer changes it.
    fn header(&self) -> Option<Header> {
        self.file.header()
    }

    /// Returns a number that changes with every commit of another connection, as SQLite itself counts.
    async fn data_version(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *self.connection.lock().await).await
    }
}

/// Opens the index, then keeps checking that it shows commits: a file system whose reads lag behind its memory maps
/// would hide them.
async fn watch(pool: SqlitePool, index: Arc<OnceLock<Option<Index>>>) {
    if index.get().is_none() {
        match open(&pool).await {
            Ok(opened) => drop(index.set(opened)),
            Err(error) => return bypass(&format!("could not open the WAL index: {error}")),
        }
    }
    let Some(Some(index)) = index.get() else { return bypass("the database is not a file in WAL mode") };
    tracing::info!(target: "sigra", event = telemetry::CACHE_RESUMED);
    let mut comparison = Comparison::default();
    loop {
        match look(index, async || {}).await {
            Ok(Some(look)) => match comparison.judge(look) {
                Verdict::Silent => {
                    index.distrust("the WAL index does not show commits: put the database on a local file system")
                }
                Verdict::Tells => index.trust(),
                Verdict::Unproven => {}
            },
            // A writer is changing the header.
            Ok(None) => {}
            Err(error) => {
                index.distrust(&format!("a query failed: {error}"));
                comparison.last = None;
                index.reconnect(&pool).await;
            }
        }
        tokio::time::sleep(COMPARE_INTERVAL).await;
    }
}

/// The header before SQLite returns its version, the version, and the header after that.
struct Look {
    before: Header,
    version: i64,
    after: Header,
}

/// Reads the headers and the version. Returns `None` while a writer changes the header. Tests commit something
/// `between` the version and the second header.
async fn look(index: &Index, between: impl AsyncFnOnce()) -> sqlx::Result<Option<Look>> {
    let before = index.header();
    let version = index.data_version().await?;
    between().await;
    let look = before.zip(index.header()).map(|(before, after)| Look { before, version, after });
    Ok(look)
}

/// Compares what the header shows with what SQLite reports.
#[derive(Default)]
struct Comparison {
    last: Option<Look>,
    proofs_missing: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The header did not show a commit.
    Silent,
    /// The header can be trusted.
    Tells,
    /// The header missed a commit before, and has shown too few since.
    Unproven,
}

impl Comparison {
    /// Judges the header. A commit between two versions came after the header that was read before the first version,
    /// and before the header that was read after the second. If those headers are equal, the header is silent. A commit
    /// between a header and its version alone doesn't prove that.
    fn judge(&mut self, look: Look) -> Verdict {
        let last = self.last.as_ref();
        let has_commits = last.is_some_and(|last| last.version != look.version);
        let is_silent = has_commits && last.is_some_and(|last| last.before == look.after);
        self.last = Some(look);
        if is_silent {
            self.proofs_missing = PROOFS;
            return Verdict::Silent;
        }
        self.proofs_missing = self.proofs_missing.saturating_sub(u32::from(has_commits));
        if self.proofs_missing == 0 { Verdict::Tells } else { Verdict::Unproven }
    }
}

impl Index {
    fn trust(&self) {
        if !self.is_trusted.swap(true, Ordering::Relaxed) {
            tracing::info!(target: "sigra", event = telemetry::CACHE_RESUMED);
        }
    }

    fn distrust(&self, reason: &str) {
        if self.is_trusted.swap(false, Ordering::Relaxed) {
            bypass(reason);
        }
    }

    /// Replaces a connection that may be broken, if a new one opens the same file.
    async fn reconnect(&self, pool: &SqlitePool) {
        match open(pool).await {
            Ok(Some(opened)) if opened.file == self.file => {
                *self.connection.lock().await = opened.connection.into_inner();
            }
            Ok(_) => {
                tracing::warn!(target: "sigra", "the database file was replaced: restart the application")
            }
            Err(error) => tracing::debug!(target: "sigra", %error, "could not open the WAL index"),
        }
    }
}

async fn open(pool: &SqlitePool) -> sqlx::Result<Option<Index>> {
    let mut connection = pool.acquire().await?;
    let in_wal_mode = "SELECT (SELECT journal_mode FROM pragma_journal_mode) = 'wal'
        AND (SELECT locking_mode FROM pragma_locking_mode) = 'normal'
        -- Reading the schema opens the index.
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

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

    use super::*;

    async fn database() -> (tempfile::TempDir, SqlitePool, Index) {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("test.db")).create_if_missing(true);
        let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (n INTEGER)").execute(&pool).await.unwrap();
        let index = open(&pool).await.unwrap().unwrap();
        (folder, pool, index)
    }

    async fn commit(pool: &SqlitePool) {
        sqlx::raw_sql("INSERT INTO t VALUES (1)").execute(pool).await.unwrap();
    }

    #[tokio::test]
    async fn a_commit_between_two_reads_does_not_cause_distrust() {
        let (_folder, pool, index) = database().await;
        let mut comparison = Comparison::default();
        for round in 0..5 {
            let looked = look(&index, async || commit(&pool).await).await.unwrap().unwrap();
            assert_ne!(looked.before, looked.after, "the commit came between");
            assert_eq!(comparison.judge(looked), Verdict::Tells, "{round}");
            let looked = look(&index, async || {}).await.unwrap().unwrap();
            assert_eq!(comparison.judge(looked), Verdict::Tells, "{round}");
        }
    }

    #[tokio::test]
    async fn a_header_that_misses_commits_is_distrusted_until_it_shows_enough_of_them() {
        let (_folder, pool, index) = database().await;
        let mut comparison = Comparison::default();
        let silent = index.header().unwrap();
        let stale = |look: Look| Look { before: silent, after: silent, ..look };
        let looked = look(&index, async || {}).await.unwrap().unwrap();
        assert_eq!(comparison.judge(stale(looked)), Verdict::Tells, "there was no commit");
        commit(&pool).await;
        let looked = look(&index, async || {}).await.unwrap().unwrap();
        assert_eq!(comparison.judge(stale(looked)), Verdict::Silent);
        for missing in (0..PROOFS).rev() {
            commit(&pool).await;
            let looked = look(&index, async || {}).await.unwrap().unwrap();
            let verdict = comparison.judge(looked);
            assert_eq!(verdict == Verdict::Tells, missing == 0, "{missing}: {verdict:?}");
        }
    }

    #[tokio::test]
    async fn the_index_is_trusted_again_after_a_temporary_error() {
        let (_folder, pool, index) = database().await;
        index.distrust("as after an error");
        assert!(index.header().is_some());
        // A closed connection, as after its thread died.
        let gone = open(&pool).await.unwrap().unwrap().connection.into_inner();
        let kept = std::mem::replace(&mut *index.connection.lock().await, gone);
        sqlx::Connection::close(kept).await.unwrap();
        index.reconnect(&pool).await;
        let looked = look(&index, async || {}).await.unwrap().unwrap();
        assert_eq!(Comparison::default().judge(looked), Verdict::Tells);
        index.trust();
        assert!(index.is_trusted.load(Ordering::Relaxed));
    }
}
