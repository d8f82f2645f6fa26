//! PostgreSQL.

use std::{
    borrow::Cow,
    io::ErrorKind,
    str::FromStr,
    time::{Duration, Instant},
};

// <migrates>
use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
// </migrates>
use sqlx::{
    ConnectOptions, Connection as _, Executor, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

// <install>
use super::error::DatabaseError;
// </install>

/// The database that the application is built for.
pub type Database = sqlx::Postgres;

// <migrates>
/// The application's schema, compiled in.
pub const MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");
// </migrates>

pub(super) const NAME: &str = "PostgreSQL";
// <template>
pub(super) const EXAMPLE: &str = "postgres://user:password@host/database, or build it with the feature `sqlite`";
// </template>
// <!template>
// pub(super) const EXAMPLE: &str = "postgres://user:password@host/database";
// </!template>
pub(super) const SCHEMES: &[&str] = &["postgres:", "postgresql:"];

/// How long a statement waits for a lock, such as a migration's, before the response is 503.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

/// How long a connection that was used can take to respond before it is closed.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a start waits for a server that accepts no connections yet.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_RETRY_DELAY: Duration = Duration::from_millis(500);

// <migrates>
/// How long a migration waits for a lock before it lets the others go first that have queued up behind it. Lookups of
/// sessions wait for two seconds.
const MIGRATION_LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
const NO_LOCK_TIMEOUT: &str = "SET lock_timeout = 0";

/// How long a migration is tried.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(5);
const MIGRATION_RETRY_DELAY: Duration = Duration::from_secs(4);
// </migrates>

pub(super) fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        // The server may have restarted since the connection was last used.
        .test_before_acquire(true)
        // A server that vanished never responds. Without a limit, its connections would keep their places in the pool.
        .after_release(|conn, _| Box::pin(responds(conn)))
        .after_connect(|conn, _| Box::pin(async move { conn.execute(LOCK_TIMEOUT).await.map(drop) }))
}

/// Fails if the server doesn't respond.
async fn responds(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let silent = |_| sqlx::Error::Io(ErrorKind::TimedOut.into());
    timeout(RESPONSE_TIMEOUT, conn.ping()).await.map_err(silent)?.map(|()| true)
}

pub(super) fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    // Poolers refuse this parameter, and the default of PostgreSQL 12 and newer is as exact.
    Ok(PgConnectOptions::from_str(url)?.extra_float_digits(None))
}

/// Waits for a server that accepts no connections yet, as after a reboot of its machine.
pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let begun = Instant::now();
    let mut is_first = true;
    loop {
        match options.connect().await {
            Err(error) if may_be_starting(&error) && begun.elapsed() < START_TIMEOUT => {
                if std::mem::take(&mut is_first) {
                    tracing::warn!(%error, "waiting up to {} seconds for the database", START_TIMEOUT.as_secs());
                }
                sleep(START_RETRY_DELAY).await;
            }
            connected => return connected,
        }
    }
}

/// Returns whether a server that refused a connection may accept it in a moment.
fn may_be_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof
        ),
        // It starts or stops, or has too many connections, in
        // https://www.postgresql.org/docs/current/errcodes-appendix.html.
        error => code(error).is_some_and(|code| code.starts_with("57P0") || code == "53300"),
    }
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// Returns the name of the database, if the server has no such database.
pub(super) fn missing_database<'a>(options: &'a PgConnectOptions, error: &sqlx::Error) -> Option<&'a str> {
    let is_missing = code(error)? == "3D000";
    options.get_database().filter(|_| is_missing)
}

// <migrates>
/// Other servers that start at the same moment wait, and find nothing left to do.
pub(super) async fn migrate(migrations: &Migrator, conn: &mut PgConnection) -> Result<(), MigrateError> {
    let lock_timeout: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut *conn).await?;
    conn.execute(NO_LOCK_TIMEOUT).await?;
    conn.lock().await?;
    let migrated = migrate_locked(migrations, conn).await;
    // If a migration fails, sqlx keeps its lock.
    conn.execute("SELECT pg_advisory_unlock_all()").await?;
    let restore = sqlx::query("SELECT set_config('lock_timeout', $1, false)").bind(lock_timeout);
    restore.execute(conn).await?;
    migrated
}

/// Limits how long migrations wait for locks, except those without a transaction: they can't be tried again, and
/// `CREATE INDEX CONCURRENTLY` blocks nobody while it waits.
async fn migrate_locked(migrations: &Migrator, conn: &mut PgConnection) -> Result<(), MigrateError> {
    for alike in migrations.iter().as_slice().chunk_by(|one, next| one.no_tx == next.no_tx) {
        let Some(last) = alike.last() else { continue };
        conn.execute(if last.no_tx { NO_LOCK_TIMEOUT } else { MIGRATION_LOCK_TIMEOUT }).await?;
        migrate_to(last.version, migrations, conn).await?;
    }
    Ok(())
}

/// Tries again while another transaction, such as that of a backup, uses a table that a migration changes.
async fn migrate_to(version: i64, migrations: &Migrator, conn: &mut PgConnection) -> Result<(), MigrateError> {
    let begun = Instant::now();
    loop {
        match migrations.run_to(version, &mut *conn).await {
            Err(MigrateError::ExecuteMigration(error, version))
                if code(&error).is_some_and(|code| code == "55P03") && begun.elapsed() < MIGRATION_TIMEOUT =>
            {
                tracing::warn!(version, %error, "a migration waits until no other transaction uses its tables");
                sleep(MIGRATION_RETRY_DELAY).await;
            }
            migrated => return migrated,
        }
    }
}
// </migrates>

// <install>
/// Checks the settings of a pool that the application has opened by itself.
pub(super) async fn check_settings(conn: &mut PgConnection, database: &str) -> Result<(), DatabaseError> {
    let unreachable = |error| DatabaseError::Unreachable { database: database.to_owned(), error };
    let lock_timeout: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(conn).await.map_err(unreachable)?;
    if lock_timeout == "0" {
        tracing::warn!("lock_timeout is 0: requests wait indefinitely for locks, such as those of a migration");
    }
    Ok(())
}
// </install>

// <template>
#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use sigra::testing::PostgresCluster;
    use sqlx::{
        SqlSafeStr as _,
        migrate::{Migration, MigrationType},
    };

    use super::*;

    fn database() -> String {
        let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
        cluster.create_database().unwrap_or_else(|error| panic!("{error}"))
    }

    fn migration(version: i64, sql: &'static str, no_tx: bool) -> Migration {
        Migration::new(version, "a change".into(), MigrationType::Simple, sql.into_sql_str(), no_tx)
    }

    async fn connection(url: &str) -> PgConnection {
        PgConnection::connect(url).await.expect("a connection")
    }

    /// As behind a dump: it only reads, and the migration waits for its end. Readers must not wait as long.
    #[tokio::test]
    async fn readers_go_on_while_a_migration_waits_for_another_transaction() {
        let url = database();
        let (mut dump, mut reader) = (connection(&url).await, connection(&url).await);
        dump.execute("CREATE TABLE users (id integer PRIMARY KEY)").await.expect("created");
        dump.execute("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE").await.expect("locked");
        let mut migrating = connection(&url).await;
        let migrations = Migrator::with_migrations(vec![
            migration(1, "CREATE TABLE posts (id integer)", false),
            migration(2, "ALTER TABLE users ADD COLUMN shoe_size integer", false),
            migration(3, "CREATE INDEX CONCURRENTLY sizes ON users (shoe_size)", true),
        ]);
        migrating.execute("SET lock_timeout = '7s'").await.expect("set");
        let dump_ends = async {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(7) {
                let read = timeout(Duration::from_secs(2), reader.execute("SELECT 1 FROM users"));
                read.await.expect("readers wait too long").expect("read");
                sleep(Duration::from_millis(50)).await;
            }
            dump.execute("COMMIT").await.expect("ended");
        };
        let (migrated, ()) = tokio::join!(migrate(&migrations, &mut migrating), dump_ends);
        migrated.expect("migrated once the dump has ended");
        reader.execute("SELECT shoe_size FROM users").await.expect("the column is there");
        let kept: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut migrating).await.expect("set");
        assert_eq!(kept, "7s");
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(sqlx::query_scalar::<_, i64>(locks).fetch_one(&mut reader).await.expect("a number"), 0);
    }

    /// A pooler such as PgBouncer refuses parameters that it doesn't know.
    #[test]
    fn a_connection_starts_with_parameters_that_poolers_know() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("an address").port();
        let options = options(&format!("postgres://app@127.0.0.1:{port}/app?sslmode=disable")).expect("a URL");
        let sent = std::thread::spawn(move || {
            let (mut client, _) = server.accept().expect("a client");
            let mut sent = [0; 1024];
            let length = client.read(&mut sent).expect("a message");
            client.write_all(b"nonsense").expect("a response");
            String::from_utf8_lossy(&sent[8..length]).into_owned()
        });
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(options.connect()).expect_err("not a server");
        let sent = sent.join().expect("a message");
        let names: Vec<_> = sent.split('\0').step_by(2).take_while(|name| !name.is_empty()).collect();
        assert_eq!(names, ["user", "database", "DateStyle", "client_encoding", "TimeZone"]);
    }
}
// </template>
