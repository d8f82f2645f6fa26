//! Several processes that start concurrently for the first time.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use my_app::database;
use tokio::runtime::Runtime;

use crate::support::TestDatabase;

const STARTS: usize = 6;
/// Longer than any step takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn concurrent_first_starts_all_find_the_database_ready() {
    for _ in 0..5 {
        let database = TestDatabase::create();
        let start = || {
            Runtime::new().expect("a runtime").block_on(async {
                let pool = database::open(&database.url).await.unwrap_or_else(|error| panic!("{error}"));
                let users: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&pool).await.expect("users");
                assert_eq!(users, 0);
                pool.close().await;
            });
        };
        thread::scope(|scope| (0..STARTS).for_each(|_| drop(scope.spawn(start))));
    }
}

/// A process and its output.
struct Process(Child, std::path::PathBuf);

impl Process {
    fn start(number: usize, folder: &Path, database_url: &str) -> Self {
        let log = folder.join(format!("{number}.log"));
        let to_log = || Stdio::from(File::options().create(true).append(true).open(&log).expect("the log"));
        let child = Command::new(env!("CARGO_BIN_EXE_my_app"))
            .current_dir(folder)
            .envs([("APP_ENV", "dev"), ("DATABASE_URL", database_url), ("RUST_LOG", "info"), ("NO_COLOR", "1")])
            // Any free port: no test connects to it.
            .env("PORT", "0")
            .env_remove("SECRET_KEY_BASE")
            .stdin(Stdio::null())
            .stdout(to_log())
            .stderr(to_log())
            .spawn()
            .expect("the application");
        Self(child, log)
    }

    fn wait_until_it_listens(&mut self) {
        let begun = Instant::now();
        loop {
            let log = fs::read_to_string(&self.1).unwrap_or_default();
            if log.contains("listening") {
                return;
            }
            assert!(self.0.try_wait().expect("a child").is_none(), "the process has ended: {log}");
            assert!(begun.elapsed() < TIMEOUT, "the process does not listen: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_start_concurrently_share_a_database_a_secret_and_the_demo_user() {
    let (database, folder) = (TestDatabase::create(), tempfile::tempdir().expect("a folder"));
    let mut processes: Vec<_> =
        (0..STARTS).map(|number| Process::start(number, folder.path(), &database.url)).collect();
    processes.iter_mut().for_each(Process::wait_until_it_listens);
    Runtime::new().expect("a runtime").block_on(async {
        let pool = database::open(&database.url).await.unwrap_or_else(|error| panic!("{error}"));
        let emails: Vec<String> = sqlx::query_scalar("SELECT email FROM users").fetch_all(&pool).await.expect("users");
        assert_eq!(emails, ["demo@example.com"]);
    });
    assert!(folder.path().join(".my_app_dev_secret").exists());
}

/// Records that the database has a migration that this program doesn't have.
async fn record_migration(url: &str, version: i64) {
    let pool = database::open(url).await.unwrap_or_else(|error| panic!("{error}"));
    let record = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        SELECT $1, 'another', success, checksum, 0 FROM _sqlx_migrations";
    sqlx::query(record).bind(version).execute(&pool).await.expect("recorded");
    pool.close().await;
}

/// As after a rollback, and when an old process restarts while others are replaced.
#[tokio::test]
async fn an_old_version_starts_beside_newer_migrations() {
    let database = TestDatabase::create();
    record_migration(&database.url, 99_990_101_000_000).await;
    for _ in 0..2 {
        let pool = database::open(&database.url).await.unwrap_or_else(|error| panic!("{error}"));
        sqlx::query("SELECT 1 FROM users").execute(&pool).await.expect("the table exists");
        pool.close().await;
    }
}

#[tokio::test]
async fn a_migration_of_another_branch_is_refused() {
    let database = TestDatabase::create();
    record_migration(&database.url, 1).await;
    let refused = database::open(&database.url).await.expect_err("refused").to_string();
    assert!(refused.contains("can't be migrated: migration 1 "), "{refused}");
}
