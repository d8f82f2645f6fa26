//! The suite on PostgreSQL.
#![cfg(all(
    feature = "postgres",
    feature = "testing",
    feature = "oauth",
    feature = "passkeys",
    feature = "api-tokens",
    feature = "oauth-server",
    feature = "device-bound"
))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "postgres/deadlocks.rs"]
mod deadlocks;
#[cfg(feature = "legacy-hashes")]
#[path = "postgres/imports.rs"]
mod imports;
#[path = "postgres/locks.rs"]
mod locks;
mod suite;

mod database {
    use std::sync::LazyLock;

    use sigra::{schema, testing::PostgresCluster};
    use sqlx::{PgPool, postgres::PgPoolOptions};

    pub type Database = sqlx::Postgres;

    /// PostgreSQL has no such setting.
    pub const FOREIGN_KEYS_OFF: &str = "";

    /// What shows the plan of a statement that follows, for a large table.
    pub const EXPLAIN: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN";

    /// The number of histories that the model is compared with.
    pub const HISTORIES: u32 = 60;

    /// Makes updates fail, as if the disk were full.
    pub const REFUSE_UPDATES: &str =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$;
         CREATE TRIGGER no_updates BEFORE UPDATE ON users_tokens EXECUTE FUNCTION refuse()";

    /// Makes commits fail that end a program's access.
    pub const REFUSE_COMMITS: &str =
        "CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$;
         CREATE CONSTRAINT TRIGGER no_commits AFTER DELETE ON oauth_grants DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION refuse_commit()";

    /// Undoes that.
    pub const ALLOW_COMMITS: &str = "DROP TRIGGER no_commits ON oauth_grants";

    /// Leaves no user code free.
    pub const REFUSE_USER_CODES: &str =
        "CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER no_codes BEFORE INSERT ON oauth_device_codes FOR EACH ROW EXECUTE FUNCTION ignore()";

    /// Isolation levels that can be the default of a role or a database.
    pub const ISOLATION_LEVELS: &[&str] = &["read committed", "repeatable read", "serializable"];

    /// Begin transactions at levels where row locks don't prevent stale reads.
    pub const UNSAFE_BEGINS: &[&str] = &["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"];

    /// Times outside the range of `time`.
    pub const INVALID_TIMES: &[&str] = &["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31'"];

    /// Columns have only valid IDs.
    pub const INVALID_ID: Option<&str> = None;

    /// The latest time that `time` can represent.
    pub const LAST_TIME: &str = "'9999-12-31T23:59:59Z'";

    const USERS_WITH_UUIDS: &str = "CREATE TABLE users (
        id uuid PRIMARY KEY,
        email text NOT NULL,
        hashed_password text,
        suspended boolean NOT NULL DEFAULT false,
        admin boolean NOT NULL DEFAULT false,
        nickname text
    );
    CREATE UNIQUE INDEX users_email ON users (lower(email))";
    const USERS_WITH_BIGINTS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, email text, hashed_password text)";

    static TOKENS_WITH_BIGINTS: LazyLock<String> = LazyLock::new(|| {
        let with_bigint = |line: &str| match line.split_whitespace().next() {
            Some("user_id" | "actor_id") => line.replacen("uuid", "bigint", 1) + "\n",
            _ => line.to_owned() + "\n",
        };
        let replaced: String = schema::POSTGRES.lines().map(with_bigint).collect();
        assert_eq!(replaced.matches("bigint").count(), schema::POSTGRES.matches("bigint").count() + 12);
        replaced
    });

    /// A database for each test, in the cluster of the run.
    #[derive(Clone)]
    pub struct TestDatabase {
        url: String,
    }

    impl TestDatabase {
        pub async fn with_uuids() -> Self {
            let database = Self::empty();
            create_tables(&database.connect().await, USERS_WITH_UUIDS, schema::POSTGRES).await;
            database
        }

        pub async fn with_bigints() -> Self {
            let database = Self::empty();
            create_tables(&database.connect().await, USERS_WITH_BIGINTS, &TOKENS_WITH_BIGINTS).await;
            database
        }

        fn empty() -> Self {
            let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
            Self { url: cluster.create_database().unwrap_or_else(|error| panic!("{error}")) }
        }

        /// Sets the default isolation level of new connections.
        pub async fn default_to(&self, level: &'static str) {
            let set = format!(
                "DO $$ BEGIN EXECUTE format($q$ALTER DATABASE %I SET default_transaction_isolation = '{level}'$q$, current_database()); END $$"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&self.connect().await).await.unwrap();
        }

        pub async fn connect(&self) -> PgPool {
            PgPoolOptions::new().max_connections(8).connect(&self.url).await.unwrap()
        }

        /// The content of the files of all tables and indexes.
        pub async fn files(&self) -> Vec<Vec<u8>> {
            const FIRST_USER_OID: i32 = 16384;
            let pool = self.connect().await;
            sqlx::query("CHECKPOINT").execute(&pool).await.unwrap();
            let files = "SELECT pg_read_binary_file(file) FROM pg_class, pg_relation_filepath(oid) AS file
                         WHERE oid::integer >= $1 AND file IS NOT NULL";
            sqlx::query_scalar(files).bind(FIRST_USER_OID).fetch_all(&pool).await.unwrap()
        }
    }

    /// Has no users yet; their IDs will be bigints. Always the same database, because the model empties it often.
    pub async fn emptied_database() -> PgPool {
        static DATABASE: LazyLock<TestDatabase> = LazyLock::new(TestDatabase::empty);
        let pool = PgPoolOptions::new().max_connections(1).connect(&DATABASE.url).await.unwrap();
        sqlx::raw_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").execute(&pool).await.unwrap();
        create_tables(&pool, USERS_WITH_BIGINTS, &TOKENS_WITH_BIGINTS).await;
        pool
    }

    async fn create_tables(pool: &PgPool, users: &'static str, users_tokens: &'static str) {
        sqlx::raw_sql(users).execute(pool).await.unwrap();
        sqlx::raw_sql(users_tokens).execute(pool).await.unwrap();
    }
}
