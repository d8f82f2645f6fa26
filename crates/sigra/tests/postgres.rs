//! The suite on PostgreSQL.
#![cfg(all(feature = "postgres", feature = "testing", feature = "passkeys"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "postgres/giving_way.rs"]
mod giving_way;
mod suite;

mod database {
    use std::sync::LazyLock;

    use sigra::{store::POSTGRES_SCHEMA, testing::PostgresCluster};
    use sqlx::{PgPool, postgres::PgPoolOptions};

    pub type Database = sqlx::Postgres;

    /// How many histories the model is compared with.
    pub const HISTORIES: u32 = 60;

    /// As if the disk were full.
    pub const REFUSE_UPDATES: &str =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$;
         CREATE TRIGGER no_updates BEFORE UPDATE ON users_tokens EXECUTE FUNCTION refuse()";

    /// Levels of isolation that a role or a database may default to.
    pub const ISOLATION_LEVELS: &[&str] = &["read committed", "repeatable read", "serializable"];

    /// How transactions begin whose locks are not enough.
    pub const WRONG_BEGINNINGS: &[&str] =
        &["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"];

    /// Times that nobody can compute with.
    pub const NO_TIMES: &[&str] = &["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31'"];

    /// The last time that can be told.
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
        let replaced: String = POSTGRES_SCHEMA.lines().map(with_bigint).collect();
        assert_eq!(replaced.matches("bigint").count(), POSTGRES_SCHEMA.matches("bigint").count() + 6);
        replaced
    });

    /// A database of the test's own, in the cluster of the run.
    #[derive(Clone)]
    pub struct TestDatabase {
        url: String,
    }

    impl TestDatabase {
        pub async fn with_uuids() -> Self {
            let database = Self::empty();
            create_tables(&database.connect().await, USERS_WITH_UUIDS, POSTGRES_SCHEMA).await;
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

        /// What transactions are by default from the next connection on.
        pub async fn default_to(&self, level: &'static str) {
            let set = format!(
                "DO $$ BEGIN EXECUTE format($q$ALTER DATABASE %I SET default_transaction_isolation = '{level}'$q$, current_database()); END $$"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&self.connect().await).await.unwrap();
        }

        pub async fn connect(&self) -> PgPool {
            PgPoolOptions::new().max_connections(8).connect(&self.url).await.unwrap()
        }

        /// All bytes that it has written: the files of its tables and indexes.
        pub async fn files(&self) -> Vec<Vec<u8>> {
            const FIRST_OF_OURS: i32 = 16384;
            let pool = self.connect().await;
            sqlx::query("CHECKPOINT").execute(&pool).await.unwrap();
            let files = "SELECT pg_read_binary_file(file) FROM pg_class, pg_relation_filepath(oid) AS file
                         WHERE oid::integer >= $1 AND file IS NOT NULL";
            sqlx::query_scalar(files).bind(FIRST_OF_OURS).fetch_all(&pool).await.unwrap()
        }
    }

    /// Without users, whose ids will be bigints. It is always the same one, for there will be hundreds, one
    /// after the other.
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
