//! The suite on SQLite.
#![cfg(all(
    feature = "sqlite",
    feature = "testing",
    feature = "oauth",
    feature = "passkeys",
    feature = "api-tokens",
    feature = "oauth-server",
    feature = "device-bound"
))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "sqlite/deleted_users.rs"]
mod deleted_users;
mod suite;

mod database {
    use std::{
        fs,
        sync::{Arc, LazyLock},
        time::Duration,
    };

    use sigra::schema;
    use sqlx::{
        AssertSqlSafe, SqlitePool,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    };
    use tempfile::TempDir;

    pub type Database = sqlx::Sqlite;

    /// The number of histories that the model is compared with.
    pub const HISTORIES: u32 = 300;

    /// Makes updates fail, as if the disk were full.
    pub const REFUSE_UPDATES: &str =
        "CREATE TRIGGER no_updates BEFORE UPDATE ON users_tokens BEGIN SELECT RAISE(ABORT, 'full'); END";

    /// Makes commits fail that end a program's access.
    pub const REFUSE_COMMITS: &str = "CREATE TABLE never (id INTEGER PRIMARY KEY);
        CREATE TABLE owed (id INTEGER REFERENCES never (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER no_commits AFTER DELETE ON oauth_grants BEGIN INSERT INTO owed VALUES (1); END";

    /// Undoes that.
    pub const ALLOW_COMMITS: &str = "DROP TRIGGER no_commits";

    /// Leaves no user code free.
    pub const REFUSE_USER_CODES: &str =
        "CREATE TRIGGER no_codes BEFORE INSERT ON oauth_device_codes BEGIN SELECT RAISE(IGNORE); END";

    /// Turns foreign keys off for one connection, as they are in the program `sqlite3`.
    pub const FOREIGN_KEYS_OFF: &str = "PRAGMA foreign_keys = OFF";

    /// What shows the plan of a statement that follows.
    pub const EXPLAIN: &str = "EXPLAIN QUERY PLAN";

    /// SQLite has only one level.
    pub const ISOLATION_LEVELS: &[&str] = &["serializable"];

    /// SQLite has no unsafe level.
    pub const UNSAFE_BEGINS: &[&str] = &[];

    /// Times outside the range of `time`, and garbage.
    pub const INVALID_TIMES: &[&str] =
        &["'garbage'", "9223372036854775807", "-9223372036854775808", "253402300800000", "-62135596800001"];

    /// An ID that isn't one, which columns of SQLite can have.
    pub const INVALID_ID: Option<&str> = Some("x'00'");

    /// The latest time that `time` can represent.
    pub const LAST_TIME: &str = "253402300799999";

    const USERS_WITH_UUIDS: &str = "CREATE TABLE users (
        id BLOB PRIMARY KEY,
        email TEXT NOT NULL UNIQUE COLLATE NOCASE,
        hashed_password TEXT,
        suspended INTEGER NOT NULL DEFAULT 0,
        admin INTEGER NOT NULL DEFAULT 0,
        nickname TEXT
    )";
    const USERS_WITH_BIGINTS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, hashed_password TEXT)";

    /// A file for each test.
    #[derive(Clone)]
    pub struct TestDatabase {
        directory: Arc<TempDir>,
    }

    impl TestDatabase {
        pub async fn with_uuids() -> Self {
            Self::with(USERS_WITH_UUIDS).await
        }

        pub async fn with_bigints() -> Self {
            Self::with(USERS_WITH_BIGINTS).await
        }

        async fn with(users: &'static str) -> Self {
            let database = Self { directory: Arc::new(TempDir::new().unwrap()) };
            create_tables(&database.connect().await, users).await;
            database
        }

        pub async fn default_to(&self, _level: &'static str) {}

        pub async fn connect(&self) -> SqlitePool {
            let options = SqliteConnectOptions::new()
                .filename(self.directory.path().join("test.db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(30));
            SqlitePoolOptions::new().max_connections(8).connect_with(options).await.unwrap()
        }

        /// The content of all files of the database.
        pub async fn files(&self) -> Vec<Vec<u8>> {
            let files = fs::read_dir(self.directory.path()).unwrap();
            files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
        }
    }

    /// Has no users yet; their IDs will be bigints. In memory, because the model empties it hundreds of times.
    pub async fn emptied_database() -> SqlitePool {
        static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| match TempDir::new_in("/dev/shm") {
            Ok(in_memory) => in_memory,
            Err(_) => TempDir::new().unwrap(),
        });
        let options = SqliteConnectOptions::new()
            .filename(DIRECTORY.path().join("model.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        for table in [
            "users_tokens",
            "users_totp",
            "users_passkeys",
            "users_backup_codes",
            "passkey_ceremonies",
            "user_identities",
            "api_tokens",
            "oauth_flows",
            "oauth_tokens",
            "oauth_codes",
            "oauth_device_codes",
            "oauth_grants",
            "oauth_clients",
            "audit_events",
            "auth_attempts",
            "outgoing_mails",
            "write_probes",
            "users",
        ] {
            sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE IF EXISTS {table}"))).execute(&pool).await.unwrap();
        }
        create_tables(&pool, USERS_WITH_BIGINTS).await;
        pool
    }

    async fn create_tables(pool: &SqlitePool, users: &'static str) {
        sqlx::raw_sql(users).execute(pool).await.unwrap();
        sqlx::raw_sql(schema::SQLITE).execute(pool).await.unwrap();
    }
}
