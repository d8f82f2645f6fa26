//! Checks that the database is reachable and has the schema of the application's migrations.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{
    clock,
    finding::Finding,
    leftovers,
    schema::{self, Lacks},
    variables::Variables,
};
use crate::{
    host::migrations::{addresses, sqlx_toml::table_around},
    manifest::Manifest,
    plan::{choices::Database, migrations::Migrations},
};

/// The time after which a database counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(5);

/// Data that was read from the database.
struct Contents {
    /// The checksums of the applied migrations, by version.
    applied: BTreeMap<i64, Vec<u8>>,
    /// The time of the database server. `None` if the database is on this machine.
    now: Option<OffsetDateTime>,
    /// When the newest token was created.
    newest: Option<OffsetDateTime>,
    /// Users' email addresses with unusual characters or dots.
    addresses: Vec<String>,
    /// What the tables of accounts lack. `None` if the database doesn't have them yet.
    lacks: Option<Lacks>,
}

/// The database of an application, and what `DATABASE_URL` must look like for it.
struct Kind {
    database: Database,
    name: &'static str,
    schemes: &'static [&'static str],
    example: &'static str,
}

impl Kind {
    fn of(database: Database) -> Self {
        let (name, schemes, example) = match database {
            Database::Sqlite => ("SQLite", &["sqlite:"][..], "sqlite:///var/lib/my_app/my_app.db"),
            Database::Postgres => {
                ("PostgreSQL", &["postgres:", "postgresql:"][..], "postgres://user:password@host/database")
            }
        };
        Self { database, name, schemes, example }
    }

    fn set_url(&self) -> String {
        format!("DATABASE_URL={}", self.example)
    }
}

pub async fn check(root: &Path, manifest: &Manifest, env: &Variables) -> Vec<Finding> {
    let kind = Kind::of(manifest.choices.db);
    match url(manifest, env, &kind) {
        Ok(url) => {
            let mut findings = connected(root, manifest, &url, &kind).await;
            findings.extend(of_deleted_users(manifest, &url, &kind).await);
            findings
        }
        Err(finding) => vec![finding],
    }
}

/// Returns the URL of the database, or why it can't be used. Connects to nothing.
fn url(manifest: &Manifest, env: &Variables, kind: &Kind) -> Result<String, Finding> {
    let given = env.get("DATABASE_URL");
    let is_unset = given.is_none() && env.is_prod();
    let url = given.map_or_else(|| default_url(manifest), |url| with_scheme(url, kind.database));
    if is_unset {
        let found = format!("DATABASE_URL is not set: the database is {url}, as in development");
        return Err(Finding::warning("database", found, kind.set_url()));
    }
    if !kind.schemes.iter().any(|known| url.starts_with(known)) {
        let scheme = url.split_once(':').map_or(url.as_str(), |(scheme, _)| scheme);
        let found = format!("DATABASE_URL begins with `{scheme}:`, but the application is built for {}", kind.name);
        return Err(Finding::bad("database", found, kind.set_url()));
    }
    if env.is_prod() && (url.contains(":memory:") || url.contains("mode=memory")) {
        let found = "DATABASE_URL is in memory: a restart deletes all users";
        return Err(Finding::bad("database", found, kind.set_url()));
    }
    if kind.database == Database::Sqlite && !file_exists(&url) {
        let fix = "start the application, which creates and migrates it";
        return Err(Finding::warning("database", "the database file does not exist yet", fix));
    }
    Ok(url)
}

fn default_url(manifest: &Manifest) -> String {
    match manifest.choices.db {
        Database::Sqlite => format!("sqlite://{}_dev.db", manifest.app.ident()),
        Database::Postgres => format!("postgres://localhost/{}_dev", manifest.app.ident()),
    }
}

/// Adds the scheme to a path that names a file, like the application.
fn with_scheme(url: String, database: Database) -> String {
    let is_path = database == Database::Sqlite && (!url.contains(':') || url == ":memory:");
    if is_path { format!("sqlite://{url}") } else { url }
}

/// Connects, and checks what the database contains.
async fn connected(root: &Path, manifest: &Manifest, url: &str, kind: &Kind) -> Vec<Finding> {
    let users = &*manifest.users.plural;
    let table = table_around(&root.join(&manifest.migrations.folder));
    let answers = match kind.database {
        Database::Sqlite => timeout(PATIENCE, of_sqlite(url, users, &table)).await,
        Database::Postgres => timeout(PATIENCE, of_postgres(url, users, &table)).await,
    };
    let failed =
        |found: String| vec![Finding::bad("database", found, "check DATABASE_URL, and that the database is running")];
    match answers {
        Ok(Ok(answers)) => {
            let mut findings = vec![
                Finding::good("database", format!("can connect to {}", kind.name)),
                migrations(root, &manifest.migrations, &answers.applied).await,
                clock::check(OffsetDateTime::now_utc(), answers.now, answers.newest),
                of_addresses(&answers.addresses, users),
            ];
            let lacks = answers.lacks.iter();
            findings.extend(lacks.flat_map(|lacks| schema::check(lacks, users, &manifest.migrations.folder)));
            findings
        }
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("it does not respond within {} seconds", PATIENCE.as_secs())),
    }
}

/// Checks what is left of deleted users, which reads whole tables. Returns nothing if that takes too long, or if there
/// is no users table.
async fn of_deleted_users(manifest: &Manifest, url: &str, kind: &Kind) -> Vec<Finding> {
    let users = &*manifest.users.plural;
    if kind.database == Database::Postgres {
        return Vec::new();
    }
    match timeout(PATIENCE, leftovers::read(url, users)).await {
        Ok(Ok(read)) => leftovers::check(&read, users, manifest.choices.id),
        _ => Vec::new(),
    }
}

fn file_exists(url: &str) -> bool {
    let options: Result<SqliteConnectOptions, _> = url.parse();
    options.is_ok_and(|options| options.get_filename().exists())
}

async fn of_sqlite(url: &str, users: &str, migrations: &str) -> sqlx::Result<Contents> {
    let options: SqliteConnectOptions = url.parse()?;
    let mut conn = SqliteConnection::connect_with(&options.create_if_missing(false).read_only(true)).await?;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut conn).await?;
    let exists = |table: &str| tables.iter().any(|name| name == table);
    let applied = if exists(migrations) {
        sqlx::query_as(AssertSqlSafe(applied(migrations))).fetch_all(&mut conn).await?
    } else {
        Vec::new()
    };
    let newest = if exists("users_tokens") {
        sqlx::query("SELECT max(inserted_at) FROM users_tokens").try_map(milliseconds).fetch_one(&mut conn).await?
    } else {
        None
    };
    let addresses = if exists(users) {
        sqlx::query_scalar(AssertSqlSafe(addresses::unusual(users, Database::Sqlite))).fetch_all(&mut conn).await?
    } else {
        Vec::new()
    };
    let lacks = match exists(users) && exists("users_tokens") {
        true => Some(schema::of_sqlite(&mut conn, users).await?),
        false => None,
    };
    conn.close().await?;
    Ok(Contents { applied: applied.into_iter().collect(), now: None, newest, addresses, lacks })
}

/// Selects the applied migrations from the table of sqlx, or the one that `sqlx.toml` names instead.
fn applied(migrations: &str) -> String {
    format!("SELECT version, checksum FROM {migrations} WHERE success ORDER BY version")
}

fn milliseconds(row: SqliteRow) -> sqlx::Result<Option<OffsetDateTime>> {
    let at: Option<i64> = sqlx::Row::try_get(&row, 0)?;
    Ok(at.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000).ok()))
}

async fn of_postgres(url: &str, users: &str, migrations: &str) -> sqlx::Result<Contents> {
    let mut conn = PgConnection::connect(url).await?;
    let exists = async |conn: &mut PgConnection, table: &str| -> sqlx::Result<bool> {
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(conn).await
    };
    let applied = if exists(&mut conn, migrations).await? {
        sqlx::query_as(AssertSqlSafe(applied(migrations))).fetch_all(&mut conn).await?
    } else {
        Vec::new()
    };
    let newest = if exists(&mut conn, "users_tokens").await? {
        sqlx::query_scalar("SELECT max(inserted_at) FROM users_tokens").fetch_one(&mut conn).await?
    } else {
        None
    };
    let addresses = if exists(&mut conn, users).await? {
        sqlx::query_scalar(AssertSqlSafe(addresses::unusual(users, Database::Postgres))).fetch_all(&mut conn).await?
    } else {
        Vec::new()
    };
    let lacks = match exists(&mut conn, users).await? && exists(&mut conn, "users_tokens").await? {
        true => Some(schema::of_postgres(&mut conn, users).await?),
        false => None,
    };
    let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(Contents { applied: applied.into_iter().collect(), now: Some(now), newest, addresses, lacks })
}

/// Checks that stored email addresses are normalized. Users with other addresses can't log in.
fn of_addresses(unusual: &[String], users: &str) -> Finding {
    match addresses::count_lost(unusual) {
        0 => Finding::good("addresses", "all are in normalized form"),
        count => Finding::warning(
            "addresses",
            format!("{count} in the table {users} are not in normalized form: their users can't log in"),
            addresses::FIX,
        ),
    }
}

async fn migrations(root: &Path, place: &Migrations, applied: &BTreeMap<i64, Vec<u8>>) -> Finding {
    let folder = &place.folder;
    let own = match Migrator::new(root.join(folder)).await {
        Ok(own) => own,
        Err(error) => {
            return Finding::bad("migrations", format!("can't read `{folder}`: {error}"), "restore the folder");
        }
    };
    let own: BTreeMap<i64, Vec<u8>> = own
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
        .map(|migration| (migration.version, migration.checksum.to_vec()))
        .collect();
    compare(place, &own, applied)
}

fn compare(place: &Migrations, own: &BTreeMap<i64, Vec<u8>>, applied: &BTreeMap<i64, Vec<u8>>) -> Finding {
    let folder = &place.folder;
    let is_other = |(version, checksum): &(&i64, &Vec<u8>)| own.get(version).is_some_and(|own| own != *checksum);
    if let Some((version, _)) = applied.iter().find(is_other) {
        let fix = format!("restore its file in `{folder}`, and put the change into a new migration");
        return Finding::bad("migrations", format!("{version} was changed after it was applied"), fix);
    }
    if let Some(version) = applied.keys().find(|version| !own.contains_key(version)) {
        let fix = format!(
            "restore its file in `{folder}`, or use the version of the application that has it. If another folder has it, two \
             folders of migrations are applied to one database: merge them"
        );
        return Finding::bad(
            "migrations",
            format!("{version} is applied to the database, but is not in `{folder}`"),
            fix,
        );
    }
    match own.keys().filter(|version| !applied.contains_key(version)).count() {
        0 => Finding::good(
            "migrations",
            match own.len() {
                1 => "the only one is applied".to_owned(),
                several => format!("all {several} are applied"),
            },
        ),
        count => Finding::warning(
            "migrations",
            format!("{count} of {} are not applied", own.len()),
            if place.by_host {
                format!("apply those in `{folder}` as your application does, before accounts start")
            } else {
                "start the application, which applies them".to_owned()
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Status;

    #[test]
    fn addresses_that_are_not_normalized_are_found() {
        let all = |addresses: &[&str]| addresses.iter().map(|address| (*address).to_owned()).collect::<Vec<_>>();
        assert_eq!(of_addresses(&all(&["Ada@Example.com"]), "users").status, Status::Good);
        let lost = of_addresses(&all(&["ada@b\u{fc}cher.example", "ada@example.com."]), "users");
        assert_eq!(lost.status, Status::Warning);
        assert!(lost.found.starts_with("2 in the table users") && !lost.found.contains("ada"), "{lost:?}");
    }

    #[test]
    fn migrations_are_compared_by_their_checksums() {
        let files = |versions: &[(i64, u8)]| versions.iter().map(|(version, sum)| (*version, vec![*sum])).collect();
        for (own, applied, status, said) in [
            (&[(1, 1), (2, 2)][..], &[(1, 1), (2, 2)][..], Status::Good, "all 2"),
            (&[(1, 1), (2, 2)], &[(1, 1)], Status::Warning, "1 of 2"),
            (&[(1, 1)], &[(1, 9)], Status::Bad, "1 was changed"),
            (&[(1, 1)], &[(1, 1), (2, 2)], Status::Bad, "2 is applied"),
        ] {
            let finding = compare(&Migrations::default(), &files(own), &files(applied));
            assert_eq!(finding.status, status);
            assert!(finding.found.contains(said), "{finding:?}");
        }
    }
}
