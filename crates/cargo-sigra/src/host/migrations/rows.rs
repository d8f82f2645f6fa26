//! Reads the database that `DATABASE_URL` names, if it is reachable, to find rows that would make our migration fail.

use std::{collections::BTreeMap, env, path::Path, time::Duration};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::timeout;

use super::addresses;
use crate::plan::choices::Database;

/// The time after which a database counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest number of rows that a message names.
const SHOWN: usize = 10;

/// Problems in the existing users table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The ids of users whose email addresses differ only in case, in groups.
    pub same: Vec<String>,
    /// The number of users without an email address.
    pub without: i64,
    /// The number of users whose email address no login finds.
    pub lost: usize,
}

impl Rows {
    /// Returns the groups of ids as text.
    pub fn shown(&self) -> String {
        let more = if self.same.len() > SHOWN { ", and others" } else { "" };
        self.same.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ") + more
    }
}

/// Returns the problems of the users table. `None` if the database or the table doesn't exist.
pub fn rows(root: &Path, workspace: &Path, table: &str, db: Database) -> Option<Rows> {
    let url = url(&[root, workspace])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = async {
        match db {
            Database::Sqlite if url.starts_with("sqlite:") => of_sqlite(root, &url, table).await.ok().flatten(),
            Database::Postgres if url.starts_with("postgres") => of_postgres(&url, table).await.ok().flatten(),
            _ => None,
        }
    };
    runtime.block_on(async { timeout(PATIENCE, asked).await.ok().flatten() })
}

/// Returns the URL that the application would use.
fn url(folders: &[&Path]) -> Option<String> {
    const NAME: &str = "DATABASE_URL";
    let in_file = |folder: &&Path| {
        let lines: BTreeMap<String, String> =
            dotenvy::from_path_iter(folder.join(".env")).ok()?.filter_map(Result::ok).collect();
        lines.get(NAME).cloned()
    };
    env::var(NAME).ok().or_else(|| folders.iter().find_map(in_file)).filter(|url| !url.is_empty())
}

async fn of_sqlite(root: &Path, url: &str, table: &str) -> sqlx::Result<Option<Rows>> {
    let options: SqliteConnectOptions = url.parse()?;
    let file = root.join(options.get_filename());
    if !file.is_file() {
        return Ok(None);
    }
    let options = options.filename(file).create_if_missing(false).read_only(true);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let columns = "SELECT count(*) FROM pragma_table_info($1) WHERE name IN ('id', 'email')";
    let columns: i64 = sqlx::query_scalar(columns).bind(table).fetch_one(&mut conn).await?;
    if columns < 2 {
        return Ok(None);
    }
    let id = "CASE typeof(id) WHEN 'blob' THEN lower(hex(id)) ELSE id END";
    let same = format!(
        "SELECT group_concat({id}, ' and ') FROM (SELECT id, email FROM \"{table}\" ORDER BY id) WHERE email IS NOT NULL
         GROUP BY lower(email) HAVING count(*) > 1"
    );
    let same = sqlx::query_scalar(AssertSqlSafe(same)).fetch_all(&mut conn).await?;
    let without = format!("SELECT count(*) FROM \"{table}\" WHERE email IS NULL OR email = ''");
    let without = sqlx::query_scalar(AssertSqlSafe(without)).fetch_one(&mut conn).await?;
    let unusual = addresses::unusual(table, Database::Sqlite);
    let unusual = sqlx::query_scalar(AssertSqlSafe(unusual)).fetch_all(&mut conn).await?;
    conn.close().await?;
    Ok(Some(Rows { same, without, lost: lost(unusual) }))
}

async fn of_postgres(url: &str, table: &str) -> sqlx::Result<Option<Rows>> {
    let mut conn = PgConnection::connect(url).await?;
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname IN ('id', 'email')";
    let columns: i64 = sqlx::query_scalar(columns).bind(table).fetch_one(&mut conn).await?;
    if columns < 2 {
        return Ok(None);
    }
    let same = format!(
        "SELECT string_agg(id::text, ' and ' ORDER BY id) FROM \"{table}\" WHERE email IS NOT NULL
         GROUP BY lower(email::text COLLATE \"C\") HAVING count(*) > 1"
    );
    let same = sqlx::query_scalar(AssertSqlSafe(same)).fetch_all(&mut conn).await?;
    let without = format!("SELECT count(*) FROM \"{table}\" WHERE email IS NULL OR email::text = ''");
    let without = sqlx::query_scalar(AssertSqlSafe(without)).fetch_one(&mut conn).await?;
    let unusual = addresses::unusual(table, Database::Postgres);
    let unusual = sqlx::query_scalar(AssertSqlSafe(unusual)).fetch_all(&mut conn).await?;
    conn.close().await?;
    Ok(Some(Rows { same, without, lost: lost(unusual) }))
}

/// Returns how many addresses no login finds. Empty ones are counted elsewhere.
fn lost(mut unusual: Vec<String>) -> usize {
    unusual.retain(|address| !address.is_empty());
    addresses::count_lost(&unusual)
}
