//! Hosts with their own users, migrations and pools.

use std::{fs, future::Future, path::Path, time::Duration};

use sigra::testing::PostgresCluster;
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, SqlitePool, migrate::Migrator,
    sqlite::SqliteConnectOptions,
};
use time::OffsetDateTime;

use crate::{
    generated::{said, sigra, sigra_with},
    host::{Host, UNRESOLVED},
};

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn migrations_go_to_the_package_with_the_users_table() {
    let host = Host::new("shop", "crates/server");
    let output = host.install(&[]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("INSERT INTO users (full_name, password_hash, email, "), "{text}");
    assert!(text.contains("UPDATE users SET hashed_password = password_hash"), "{text}");
    let unconfirmed =
        "uncomment `UPDATE … SET confirmed_at = …` in ../db/migrations/0003_create_users_auth_tables.up.sql";
    assert!(text.contains("become unconfirmed") && text.contains(unconfirmed), "{text}");
    assert!(text.contains("a user who has rows in `orders` can't be deleted"), "{text}");
    let (warned, installed) = (text.find("warning:"), text.find("Installed"));
    assert!(warned < installed, "the warning comes before anything is written: {text}");

    let up = host.read("../db/migrations/0003_create_users_auth_tables.up.sql");
    assert!(up.contains("ALTER TABLE users ADD COLUMN hashed_password TEXT;\n"), "{up}");
    assert!(up.contains("\n-- UPDATE users SET confirmed_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now');\n"), "{up}");
    assert!(
        host.read("../db/migrations/0003_create_users_auth_tables.down.sql")
            .ends_with("DROP COLUMN hashed_password;\n")
    );
    assert!(!host.root().join("migrations").exists());
    assert!(!host.read("src/auth/database.rs").contains("MIGRATIONS"), "the host runs them");
    let main = host.read("src/main.rs");
    assert!(main.contains("    let accounts_pool = pool.clone();\n    let app = web::router(pool);\n"), "{main}");
    assert!(main.contains("crate::auth::with_accounts_in(app, &accounts_pool)"), "{main}");

    host.fill_required_columns();
    host.commit();
    let again = said(&host.install(&[]));
    assert!(!again.contains("INSERT INTO"), "every column is filled: {again}");
    assert!(again.contains("Everything is already installed.") && !again.contains("become unconfirmed"), "{again}");
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "Everything is up to date.\n");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_workspace_with_its_own_users_and_pool_gets_accounts() {
    let host = Host::new("shop", "crates/server").installed(&[]);
    host.fill_required_columns();
    let host = host.checked();
    let mut server = host.serve("server");
    assert_eq!(server.get("/").2, "Hello, 1 customers!");
    server.use_accounts("users", "user", "/users/");
    assert_eq!(server.get("/").2, "Hello, 2 customers!", "they are in the host's own database");
}

/// Uncomments the statement that confirms the users that were there before.
fn confirm_users(migration: &Path) {
    let text = fs::read_to_string(migration).expect("text");
    let uncommented = text.replace("-- UPDATE users SET confirmed_at", "UPDATE users SET confirmed_at");
    assert_ne!(uncommented, text);
    fs::write(migration, uncommented).expect("written");
}

#[test]
fn users_that_were_there_can_be_confirmed_by_the_generated_migration() {
    let of_sqlite = Host::new("shop", "crates/server").installed(&[UNRESOLVED]);
    let folder = of_sqlite.root().join("../db/migrations");
    confirm_users(&folder.join("0003_create_users_auth_tables.up.sql"));
    wait_for(async {
        let file = of_sqlite.root().join("confirmed.db");
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file).create_if_missing(true)).await;
        let pool = pool.expect("a database");
        migrator(&folder).await.run(&pool).await.expect("migrated");
        let confirmed_at: OffsetDateTime =
            sqlx::query_scalar("SELECT confirmed_at FROM users").fetch_one(&pool).await.expect("confirmed");
        assert!((OffsetDateTime::now_utc() - confirmed_at).abs() < Duration::from_secs(60), "{confirmed_at}");
        pool.close().await;
    });

    let users = "CREATE TABLE users (id bigserial PRIMARY KEY, email text);
        INSERT INTO users (email) VALUES ('ada@example.com');";
    let of_postgres = Host::with("hello", &[("migrations/0001_users.sql", users)]);
    let of_postgres = of_postgres.installed(&["--db", "postgres", UNRESOLVED]);
    let folder = of_postgres.root().join("migrations");
    confirm_users(&folder.join("0002_create_users_auth_tables.sql"));
    let url = PostgresCluster::shared().expect("a cluster").create_database().expect("a database");
    wait_for(async {
        let pool = PgPool::connect(&url).await.expect("a database");
        migrator(&folder).await.run(&pool).await.expect("migrated");
        let confirmed: bool =
            sqlx::query_scalar("SELECT confirmed_at <= now() FROM users").fetch_one(&pool).await.expect("confirmed");
        assert!(confirmed);
        pool.close().await;
    });
}

#[test]
fn ids_of_32_bits_and_case_insensitive_addresses_are_refused_with_a_fix() {
    let users = "CREATE TABLE users (id serial PRIMARY KEY, email citext NOT NULL, full_name text NOT NULL);";
    let host = Host::with("hello", &[("migrations/20240101000000_users.sql", users)]);
    let refused = host.install(&["--db", "postgres"]);
    let text = said(&refused);
    assert!(!refused.status.success(), "{text}");
    for fix in [
        "ALTER TABLE users ALTER COLUMN id TYPE bigint;",
        "ALTER TABLE users ALTER COLUMN email TYPE text COLLATE \"C\";",
        "`--user Member --table members`",
    ] {
        assert!(text.contains(fix), "{text}");
    }
    assert_eq!(host.changes(), "");

    let fixed = "ALTER TABLE users ALTER COLUMN id TYPE bigint, ALTER COLUMN email TYPE text;";
    fs::write(host.root().join("migrations/20240102000000_fix.sql"), fixed).expect("written");
    host.commit();
    let installed = host.install(&["--db", "postgres"]);
    assert!(installed.status.success(), "{}", said(&installed));
    let ours = host.read("migrations/20260101000000_create_users_auth_tables.sql");
    assert!(ours.contains("ALTER TABLE users ALTER COLUMN email TYPE text COLLATE \"C\";"), "{ours}");
}

#[test]
fn rows_with_equal_addresses_are_reported_before_anything_is_written() {
    let host = Host::new("users", "");
    let file = host.root().join("forum.db");
    let url = format!("sqlite://{}", file.display());
    wait_for(async {
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.expect("a database");
        Migrator::new(host.root().join("migrations")).await.expect("migrations").run(&pool).await.expect("migrated");
        pool.execute("INSERT INTO users (email) VALUES ('Ada@Example.com'), ('grace@example.com')")
            .await
            .expect("rows");
        pool.close().await;
    });
    let settings = [("DATABASE_URL", &*url)];
    let refused = sigra_with(&host.root(), &settings, &["install", "--yes"]);
    let text = said(&refused);
    assert!(!refused.status.success() && text.contains("addresses that differ only in case: 1 and 2"), "{text}");
    assert_eq!(host.changes(), "");

    // Without a database, the migration fails as a whole with this message.
    assert!(said(&host.install(&[])).contains("GROUP BY 1 HAVING count(*) > 1"));
    wait_for(async {
        let pool = SqlitePool::connect(&url).await.expect("a database");
        let migrations = Migrator::new(host.root().join("migrations")).await.expect("migrations");
        let failed = migrations.run(&pool).await.expect_err("two rows with equal addresses").to_string();
        assert!(failed.contains("have addresses that differ only in case: merge them first"), "{failed}");
        let columns = "SELECT count(*) FROM pragma_table_info('users')";
        let columns: i64 = sqlx::query_scalar(columns).fetch_one(&pool).await.expect("a number");
        assert_eq!(columns, 3);
    });
}

#[test]
fn rows_with_equal_addresses_are_reported_on_postgres() {
    let users = "CREATE TABLE users (id bigserial PRIMARY KEY, email varchar(255));
        INSERT INTO users (email) VALUES ('Ada@example.com'), ('ada@example.com'), (NULL), (NULL);";
    let host = Host::with("hello", &[("migrations/20240101000000_users.sql", users)]);
    let cluster = PostgresCluster::shared().expect("a cluster");
    let url = cluster.create_database().expect("a database");
    let execute = |sql: &'static str| {
        wait_for(async {
            let mut conn = PgConnection::connect(&url).await.expect("a database");
            conn.execute(sql).await.expect("done");
        });
    };
    wait_for(async {
        let pool = PgPool::connect(&url).await.expect("a database");
        Migrator::new(host.root().join("migrations")).await.expect("migrations").run(&pool).await.expect("migrated");
        pool.close().await;
    });
    let install = || sigra_with(&host.root(), &[("DATABASE_URL", &url)], &["install", "--yes", "--db", "postgres"]);
    let refused = install();
    assert!(!refused.status.success() && said(&refused).contains("differ only in case: 1 and 2"), "{}", said(&refused));
    assert_eq!(host.changes(), "");

    assert!(host.install(&["--db", "postgres"]).status.success());
    let migrate = || {
        wait_for(async {
            let pool = PgPool::connect(&url).await.expect("a database");
            let migrations = Migrator::new(host.root().join("migrations")).await.expect("migrations");
            let ran = migrations.run(&pool).await.map_err(|error| error.to_string());
            pool.close().await;
            ran
        })
    };
    let failed = migrate().expect_err("two rows with equal addresses");
    assert!(failed.contains("have addresses that differ only in case: merge them first"), "{failed}");
    execute("DELETE FROM users WHERE id = 2; INSERT INTO users (email) VALUES ('\u{dc}nal@example.com')");
    migrate().expect("no conflict is left");
    // Letters outside ASCII are compared exactly.
    execute("INSERT INTO users (email, inserted_at, updated_at) VALUES ('\u{fc}nal@example.com', now(), now())");
}

#[test]
fn rows_with_addresses_that_no_login_finds_are_counted() {
    let users = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT);
        INSERT INTO users (email) VALUES ('Ada@example.com'), ('grace@b\u{fc}cher.example'), (' ken@example.com'), (''), (NULL);";
    let host = Host::with("hello", &[("migrations/20240101000000_users.sql", users)]);
    let url = format!("sqlite://{}", host.root().join("hello.db").display());
    wait_for(async {
        let options: SqliteConnectOptions = url.parse().expect("a URL");
        let pool = SqlitePool::connect_with(options.create_if_missing(true)).await.expect("a database");
        migrator(&host.root().join("migrations")).await.run(&pool).await.expect("migrated");
        pool.close().await;
    });
    let dry_run = ["install", "--yes", "--dry-run", UNRESOLVED];
    let of_sqlite = said(&sigra_with(&host.root(), &[("DATABASE_URL", &*url)], &dry_run));

    let users = users.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "bigserial PRIMARY KEY");
    let host = Host::with("hello", &[("migrations/20240101000000_users.sql", &users)]);
    let url = PostgresCluster::shared().expect("a cluster").create_database().expect("a database");
    wait_for(async {
        let pool = PgPool::connect(&url).await.expect("a database");
        migrator(&host.root().join("migrations")).await.run(&pool).await.expect("migrated");
        pool.close().await;
    });
    let dry_run = [&dry_run[..], &["--db", "postgres"]].concat();
    let of_postgres = said(&sigra_with(&host.root(), &[("DATABASE_URL", &*url)], &dry_run));
    for text in [of_sqlite, of_postgres] {
        assert!(text.contains("2 rows of `users` have no email address"), "{text}");
        let lost =
            "2 rows of `users` have an email address that isn't in normalized form: these users can't log in until";
        assert!(text.contains(lost) && text.contains("`sigra::mail::normalize_address`"), "{text}");
        assert!(!text.contains("grace"), "{text}");
    }
}

#[test]
fn ids_that_sqlite_gives_to_the_next_user_are_reported() {
    for (id, is_reused) in [("INTEGER PRIMARY KEY", true), ("INTEGER PRIMARY KEY AUTOINCREMENT", false)] {
        let users = format!("CREATE TABLE users (id {id}, email TEXT);");
        let host = Host::with("hello", &[("migrations/20240101000000_users.sql", &users)]);
        let text = said(&host.install(&["--dry-run", UNRESOLVED]));
        let warned = text.contains("create the table again with `id INTEGER PRIMARY KEY AUTOINCREMENT`");
        assert_eq!(warned, is_reused, "{text}");
    }
}

#[test]
fn tables_that_keep_users_from_being_deleted_are_reported() {
    for (on_delete, keeps) in [("", true), ("ON DELETE CASCADE", false), ("ON DELETE SET NULL", false)] {
        let tables = format!(
            "CREATE TABLE users (id bigserial PRIMARY KEY, email text);
             CREATE TABLE posts (id bigserial PRIMARY KEY, author bigint REFERENCES users (id) {on_delete});"
        );
        let host = Host::with("hello", &[("migrations/20240101000000_tables.sql", &tables)]);
        let text = said(&host.install(&["--db", "postgres", "--dry-run", UNRESOLVED]));
        assert_eq!(text.contains("a user who has rows in `posts` can't be deleted"), keeps, "{text}");
        assert_eq!(
            text.contains("`ALTER TABLE posts DROP CONSTRAINT posts_author_fkey, ADD FOREIGN KEY"),
            keeps,
            "{text}"
        );
    }
    let beside = Host::new("shop", "crates/server").install(&["--user", "Member", "--table", "members", UNRESOLVED]);
    assert!(!said(&beside).contains("can't be deleted"), "{}", said(&beside));
}

#[test]
fn names_of_indexes_that_accounts_need_are_refused_with_a_fix() {
    let users = "CREATE TABLE users (id bigserial PRIMARY KEY, email text);";
    for (sql, fix) in [
        ("CREATE INDEX users_email ON users (email);", "`ALTER INDEX users_email RENAME TO …;`"),
        (
            "ALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email);",
            "`ALTER TABLE users RENAME CONSTRAINT users_email TO …;`",
        ),
        (
            "CREATE FUNCTION sigra_announce() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;",
            "`ALTER FUNCTION sigra_announce RENAME TO …;`",
        ),
    ] {
        let host = Host::with("hello", &[("migrations/20240101000000_users.sql", &format!("{users}{sql}"))]);
        let refused = host.refuses(&[], &["--db", "postgres", UNRESOLVED]);
        assert!(refused.contains("but accounts need that name") && refused.contains(fix), "{refused}");
    }
    let users = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT);
        CREATE INDEX users_email ON users (email);";
    let host = Host::with("hello", &[("migrations/20240101000000_users.sql", users)]);
    let refused = host.refuses(&[], &[UNRESOLVED]);
    let fix = "`DROP INDEX users_email; CREATE INDEX users_… ON users (…);`";
    assert!(refused.contains("create an index `users_email`") && refused.contains(fix), "{refused}");
    let renamed = "DROP INDEX users_email; CREATE INDEX users_by_email ON users (email);";
    fs::write(host.root().join("migrations/20240102000000_rename.sql"), renamed).expect("written");
    host.commit();
    let host = host.installed(&[UNRESOLVED]);
    assert!(host.read("migrations/20260101000000_create_users_auth_tables.sql").contains("INDEX users_email"));
}

/// Returns everything that a schema consists of.
const OF_SQLITE: &str = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE name NOT LIKE '%sqlx%' \
     AND name NOT LIKE 'sqlite%' ORDER BY name)";
const OF_POSTGRES: &str = "SELECT string_agg(line, ';' ORDER BY line) FROM (
     SELECT table_name || '.' || column_name || ' ' || data_type AS line FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '%sqlx%'
     UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '%sqlx%'
     UNION SELECT trigger_name FROM information_schema.triggers
     UNION SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'public') AS lines";

#[test]
fn reverting_a_migration_restores_the_schema() {
    let of_sqlite = Host::new("shop", "crates/server").installed(&[UNRESOLVED]);
    let folder = of_sqlite.root().join("../db/migrations");
    wait_for(async {
        let file = of_sqlite.root().join("undone.db");
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file).create_if_missing(true)).await;
        let pool = pool.expect("a database");
        let schema = async || -> String {
            sqlx::query_scalar(AssertSqlSafe(OF_SQLITE)).fetch_one(&pool).await.expect("a schema")
        };
        let migrations = migrator(&folder).await;
        migrations.run_to(2, &pool).await.expect("migrated");
        let before = schema().await;
        migrations.run(&pool).await.expect("migrated");
        assert!(schema().await.contains("users_tokens"));
        migrations.undo(&pool, 2).await.expect("undone");
        assert_eq!(schema().await, before);
    });

    let users = "CREATE TABLE users (id bigserial PRIMARY KEY, email text COLLATE \"C\" NOT NULL);";
    let files = [("migrations/0001_users.up.sql", users), ("migrations/0001_users.down.sql", "DROP TABLE users;")];
    let of_postgres = Host::with("hello", &files).installed(&["--db", "postgres", UNRESOLVED]);
    let cluster = PostgresCluster::shared().expect("a cluster");
    let url = cluster.create_database().expect("a database");
    wait_for(async {
        let pool = PgPool::connect(&url).await.expect("a database");
        let schema = async || -> String {
            sqlx::query_scalar(AssertSqlSafe(OF_POSTGRES)).fetch_one(&pool).await.expect("a schema")
        };
        let migrations = migrator(&of_postgres.root().join("migrations")).await;
        migrations.run_to(1, &pool).await.expect("migrated");
        let before = schema().await;
        migrations.run(&pool).await.expect("migrated");
        assert!(schema().await.contains("users_tokens"));
        migrations.undo(&pool, 1).await.expect("undone");
        assert_eq!(schema().await, before);
        pool.close().await;
    });
}

async fn migrator(folder: &Path) -> Migrator {
    Migrator::new(folder.to_owned()).await.expect("migrations")
}
