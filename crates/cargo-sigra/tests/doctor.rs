//! `cargo sigra doctor` in generated applications, with real databases.

mod generated;

use std::{collections::BTreeMap, fs, future::Future, path::Path};

use generated::{Generated, said, sigra_with};
use serde_json::Value;
use sigra::testing::PostgresCluster;
use sqlx::{PgPool, SqlitePool, migrate::Migrator, sqlite::SqliteConnectOptions};

/// The output of the doctor.
struct Report {
    is_ok: bool,
    findings: BTreeMap<String, Value>,
}

impl Report {
    fn of(app: &Generated, settings: &[(&str, &str)]) -> Self {
        let output = sigra_with(&app.root(), settings, &["doctor", "--json"]);
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", said(&output));
        });
        let findings =
            findings.into_iter().map(|finding| (finding["check"].as_str().unwrap_or_default().into(), finding));
        Self { is_ok: output.status.success(), findings: findings.collect() }
    }

    #[track_caller]
    fn assert(&self, check: &str, status: &str, found: &str) {
        let finding = self.findings.get(check).unwrap_or_else(|| panic!("no {check} in {:?}", self.findings));
        assert_eq!(finding["status"], status, "{finding}");
        assert!(finding["found"].as_str().is_some_and(|text| text.contains(found)), "{finding}");
        assert_eq!(finding["fix"].is_string(), status != "good", "{finding}");
        let is_bad = |finding: &Value| finding["status"] == "bad";
        assert_eq!(self.is_ok, !self.findings.values().any(is_bad), "the exit status shows whether there are problems");
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

async fn add_user(pool: &SqlitePool, email: &str) {
    let insert = "INSERT INTO users (id, email, inserted_at, updated_at) VALUES (randomblob(16), $1, 0, 0)";
    sqlx::query(insert).bind(email).execute(pool).await.expect("added");
}

async fn migrations(root: &Path) -> Migrator {
    Migrator::new(root.join("migrations")).await.expect("migrations")
}

#[test]
fn an_application_on_sqlite_is_checked() {
    let app = Generated::new("notes", &[]);
    let path = app.root().join("notes.db");
    let url = format!("sqlite://{}", path.display());
    let settings = [("DATABASE_URL", &*url)];
    Report::of(&app, &settings).assert("database", "warning", "the database file does not exist yet");

    wait_for(async {
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path).create_if_missing(true)).await;
        let pool = pool.expect("a database");
        migrations(&app.root()).await.run(&pool).await.expect("migrated");
        pool.close().await;
    });
    let report = Report::of(&app, &settings);
    report.assert("database", "good", "can connect to SQLite");
    report.assert("migrations", "good", "the only one is applied");
    report.assert("clock", "good", "");
    report.assert("addresses", "good", "");
    report.assert("orphans", "good", "");
    report.assert("index", "good", "");
    report.assert("triggers", "good", "");
    assert!(!report.findings.contains_key("ids"), "UUIDs are never reused");
    wait_for(async {
        let pool = SqlitePool::connect(&url).await.expect("a database");
        add_user(&pool, "Ada@example.com").await;
        add_user(&pool, "ada@b\u{fc}cher.example").await;
        pool.close().await;
    });
    Report::of(&app, &settings).assert("addresses", "warning", "1 in the table users");

    let migrations = app.root().join("migrations");
    fs::write(migrations.join("20990101000000_add_notes.sql"), "CREATE TABLE notes (id INTEGER);").expect("written");
    Report::of(&app, &settings).assert("migrations", "warning", "1 of 2 are not applied");
    let first = fs::read_dir(&migrations).expect("a folder").flatten().map(|entry| entry.path()).min().expect("a file");
    fs::write(&first, "CREATE TABLE users (id INTEGER);").expect("written");
    Report::of(&app, &settings).assert("migrations", "bad", "was changed after it was applied");
}

#[test]
fn what_is_left_of_deleted_users_on_sqlite_is_reported() {
    let app = Generated::new("diary", &["--id", "bigint"]);
    let path = app.root().join("diary.db");
    let url = format!("sqlite://{}", path.display());
    let settings = [("DATABASE_URL", &*url)];
    let execute = |sql: &'static str| {
        wait_for(async {
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(false);
            let pool = SqlitePool::connect_with(options).await.expect("a database");
            migrations(&app.root()).await.run(&pool).await.expect("migrated");
            sqlx::raw_sql(sql).execute(&pool).await.expect("done");
            pool.close().await;
        });
    };
    execute(
        "CREATE TABLE notes (author INTEGER REFERENCES users (id), text TEXT);
         INSERT INTO users (email, inserted_at, updated_at) VALUES ('ada@example.com', '', '');
         INSERT INTO notes VALUES (1, 'hers'), (NULL, 'nobody''s')",
    );
    let report = Report::of(&app, &settings);
    report.assert("ids", "good", "no user gets the id of a deleted one");
    report.assert("orphans", "good", "");

    // In `sqlite3`, foreign keys are off.
    execute("DELETE FROM users");
    let report = Report::of(&app, &settings);
    report.assert("orphans", "warning", "rows refer to users who don't exist: 1 in notes. Foreign keys were off");
    let fix = report.findings["orphans"]["fix"].as_str().expect("a fix").to_owned();
    let delete = "DELETE FROM \"notes\" WHERE \"author\" IS NOT NULL AND \"author\" NOT IN (SELECT id FROM \"users\");";
    assert!(fix.contains(delete), "{fix}");
    execute("DELETE FROM \"notes\" WHERE \"author\" IS NOT NULL AND \"author\" NOT IN (SELECT id FROM \"users\")");
    Report::of(&app, &settings).assert("orphans", "good", "");
    let left = wait_for(async {
        let pool = SqlitePool::connect(&url).await.expect("a database");
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notes").fetch_one(&pool).await.expect("a count")
    });
    assert_eq!(left, 1, "the note without an author stays");

    execute(
        "PRAGMA legacy_alter_table = ON; ALTER TABLE users RENAME TO old;
         CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT)",
    );
    Report::of(&app, &settings).assert("ids", "warning", "the table users has no AUTOINCREMENT");
}

#[test]
fn a_users_table_that_was_created_again_on_sqlite_lacks_its_index_and_its_trigger() {
    let app = Generated::new("diary", &["--user", "Member", "--table", "order"]);
    let path = app.root().join("diary.db");
    let url = format!("sqlite://{}", path.display());
    let settings = [("DATABASE_URL", &*url)];
    let execute = |sql: &str| {
        wait_for(async {
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(false);
            let pool = SqlitePool::connect_with(options).await.expect("a database");
            migrations(&app.root()).await.run(&pool).await.expect("migrated");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect("done");
            pool.close().await;
        });
    };
    execute("ALTER TABLE \"order\" ADD COLUMN name TEXT");
    let report = Report::of(&app, &settings);
    report.assert("index", "good", "");
    report.assert("triggers", "good", "");

    execute(
        "CREATE TABLE again AS SELECT * FROM \"order\"; DROP TABLE \"order\"; ALTER TABLE again RENAME TO \"order\"",
    );
    let report = Report::of(&app, &settings);
    report.assert("index", "warning", "the table order has no unique index on lower(email), which registrations need");
    report.assert("triggers", "warning", "sigra_cascade on order is missing");

    let fix = report.findings["index"]["fix"].as_str().expect("a fix");
    let index = fix.split('`').nth(1).expect("a statement");
    assert!(report.findings["triggers"]["fix"].as_str().is_some_and(|fix| fix.contains("in `migrations`")));
    let migration = fs::read_dir(app.root().join("migrations")).expect("a folder").flatten().next().expect("a file");
    let migration = fs::read_to_string(migration.path()).expect("SQL");
    let trigger = migration.find("CREATE TRIGGER sigra_cascade").map(|at| &migration[at..]).expect("the trigger");
    execute(&format!("{index} {trigger}"));
    let report = Report::of(&app, &settings);
    report.assert("index", "good", "");
    report.assert("triggers", "good", "");
}

#[test]
fn an_application_on_postgres_is_checked() {
    let app = Generated::new("photo-blog", &["--db", "postgres"]);
    let cluster = PostgresCluster::start().expect("a cluster");
    let url = cluster.create_database().expect("a database");
    let settings = [("DATABASE_URL", &*url)];
    let report = Report::of(&app, &settings);
    report.assert("database", "good", "can connect to PostgreSQL");
    report.assert("migrations", "warning", "1 of 1 are not applied");

    wait_for(async {
        let pool = PgPool::connect(&url).await.expect("a database");
        migrations(&app.root()).await.run(&pool).await.expect("migrated");
    });
    let report = Report::of(&app, &settings);
    report.assert("migrations", "good", "the only one is applied");
    report.assert("clock", "good", "");
    report.assert("addresses", "good", "");
    report.assert("index", "good", "");
    report.assert("triggers", "good", "");
    let execute = |sql: &'static str| {
        wait_for(async {
            let pool = PgPool::connect(&url).await.expect("a database");
            sqlx::raw_sql(sql).execute(&pool).await.expect("done");
            pool.close().await;
        });
    };
    // As imports do. `ENABLE` leaves out changes that replication writes.
    execute("ALTER TABLE users DISABLE TRIGGER ALL; ALTER TABLE users ENABLE TRIGGER ALL; DROP INDEX users_email");
    let report = Report::of(&app, &settings);
    report.assert("index", "warning", "the table users has no unique index on lower(email)");
    let off = "these don't run, so nothing is cached: sigra_announce on users, sigra_announce_truncate on users";
    report.assert("triggers", "warning", off);
    execute(
        "ALTER TABLE \"users\" ENABLE ALWAYS TRIGGER sigra_announce;
         ALTER TABLE \"users\" ENABLE ALWAYS TRIGGER sigra_announce_truncate;
         CREATE UNIQUE INDEX users_email ON \"users\" (lower(email))",
    );
    let report = Report::of(&app, &settings);
    report.assert("index", "good", "");
    report.assert("triggers", "good", "");
    wait_for(async {
        let pool = PgPool::connect(&url).await.expect("a database");
        for email in ["Ada@example.com", "ada@b\u{fc}cher.example"] {
            let insert =
                "INSERT INTO users (id, email, inserted_at, updated_at) VALUES (gen_random_uuid(), $1, now(), now())";
            sqlx::query(insert).bind(email).execute(&pool).await.expect("added");
        }
        pool.close().await;
    });
    Report::of(&app, &settings).assert("addresses", "warning", "1 in the table users");

    Report::of(&app, &[("DATABASE_URL", "sqlite://photos.db")]).assert("database", "bad", "built for PostgreSQL");
    cluster.stop().expect("stopped");
    let report = Report::of(&app, &settings);
    report.assert("database", "bad", "");
    assert!(!report.findings.contains_key("migrations"), "they are unknown");
    let password = "hunter2-hunter2";
    let with_password = url.replacen("postgres://", &format!("postgres://ada:{password}@"), 1);
    let output = sigra_with(&app.root(), &[("DATABASE_URL", &with_password)], &["doctor"]);
    assert!(!output.status.success() && !said(&output).contains(password), "{}", said(&output));
}

#[test]
fn missing_settings_are_problems_in_production() {
    let app = Generated::new("notes", &[]);
    let report = Report::of(&app, &[("APP_ENV", "prod")]);
    report.assert("secret", "bad", "");
    report.assert("address", "bad", "");

    let secret = said(&sigra_with(&app.root(), &[], &["gen", "secret"]));
    let good = [("APP_ENV", "prod"), ("SECRET_KEY_BASE", secret.trim()), ("PUBLIC_URL", "https://notes.example.com")];
    let report = Report::of(&app, &good);
    report.assert("secret", "good", "");
    report.assert("address", "good", "");
    report.assert("mail", "warning", "users can't reset their passwords");
    report.assert("database", "warning", "as in development");
    let in_memory = [&good[..], &[("DATABASE_URL", "sqlite::memory:")]].concat();
    Report::of(&app, &in_memory).assert("database", "bad", "is in memory");
}

#[test]
fn an_unset_environment_is_reported() {
    let app = Generated::new("notes", &[]);
    let report = Report::of(&app, &[("PUBLIC_URL", "https://notes.example.com")]);
    report.assert(
        "environment",
        "bad",
        "APP_ENV is not set, which means dev, but PUBLIC_URL is https://notes.example.com",
    );
    let report = Report::of(&app, &[("APP_ENV", "dev"), ("HOST", "0.0.0.0")]);
    report.assert("environment", "warning", "anyone who can connect can log in");
}

#[test]
fn environment_variables_override_settings_of_a_file() {
    let app = Generated::new("notes", &[]);
    fs::write(app.root().join(".env"), "APP_ENV=test\nPUBLIC_URL=\"https://notes.example.com\"\n").expect("written");
    let report = Report::of(&app, &[]);
    report.assert("environment", "good", "APP_ENV is test");
    report.assert("address", "good", "https://notes.example.com");
    Report::of(&app, &[("APP_ENV", "dev")]).assert("environment", "warning", "APP_ENV is dev");

    fs::write(app.root().join("service.env"), "APP_ENV=prod\n").expect("written");
    let output = sigra_with(&app.root(), &[], &["doctor", "--env-file", "service.env"]);
    assert!(said(&output).contains("APP_ENV is prod") && said(&output).contains("PUBLIC_URL is not set"));
    let output = sigra_with(&app.root(), &[], &["doctor", "--env-file", "none.env"]);
    assert!(!output.status.success() && said(&output).contains("can't read `none.env`"), "{}", said(&output));

    fs::write(app.root().join(".env"), "SECRET_KEY_BASE=hunter2 hunter2\n").expect("written");
    let output = sigra_with(&app.root(), &[], &["doctor"]);
    assert!(!output.status.success() && said(&output).contains("`.env` has a line that isn't a setting"));
    assert!(!said(&output).contains("hunter2"), "{}", said(&output));
}
