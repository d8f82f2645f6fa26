//! Checks that nothing of a deleted user is left for another user, on SQLite: it can give an id to a second user, and
//! deletes no rows that refer to a user where foreign keys are off, as in the program `sqlite3`.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::finding::Finding;
use crate::plan::choices::Id;

/// What was read from the database.
pub struct Leftovers {
    /// How the users table was created.
    created_by: String,
    /// Columns that refer to users who don't exist, with the number of such rows.
    orphans: Vec<(String, String, i64)>,
}

/// Reads from a database that has the users table.
pub async fn read(url: &str, users: &str) -> sqlx::Result<Leftovers> {
    let options: SqliteConnectOptions = url.parse()?;
    let mut conn = SqliteConnection::connect_with(&options.create_if_missing(false).read_only(true)).await?;
    let created_by = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = $1 COLLATE NOCASE";
    let created_by = sqlx::query_scalar(created_by).bind(users).fetch_one(&mut conn).await?;
    let referring = "SELECT t.name, f.\"from\" FROM sqlite_master t, pragma_foreign_key_list(t.name) f \
        WHERE t.type = 'table' AND f.\"table\" = $1 COLLATE NOCASE ORDER BY 1, 2";
    let referring: Vec<(String, String)> = sqlx::query_as(referring).bind(users).fetch_all(&mut conn).await?;
    let mut orphans = Vec::new();
    for (table, column) in referring {
        let count = format!("SELECT count(*) {}", orphans_in(&table, &column, users));
        match sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut conn).await? {
            0 => {}
            count => orphans.push((table, column, count)),
        }
    }
    conn.close().await?;
    Ok(Leftovers { created_by, orphans })
}

fn orphans_in(table: &str, column: &str, users: &str) -> String {
    // NULL is not in an empty table of users either.
    format!("FROM \"{table}\" WHERE \"{column}\" IS NOT NULL AND \"{column}\" NOT IN (SELECT id FROM \"{users}\")")
}

pub fn check(leftovers: &Leftovers, users: &str, id: Id) -> Vec<Finding> {
    let mut findings = Vec::new();
    if id == Id::Bigint {
        findings.push(ids(&leftovers.created_by, users));
    }
    findings.push(orphans(&leftovers.orphans, users));
    findings
}

fn ids(created_by: &str, users: &str) -> Finding {
    if created_by.to_ascii_uppercase().contains("AUTOINCREMENT") {
        return Finding::good("ids", "no user gets the id of a deleted one");
    }
    Finding::warning(
        "ids",
        format!("the table {users} has no AUTOINCREMENT: the id of a deleted user can become another user's"),
        "create the table again with `id INTEGER PRIMARY KEY AUTOINCREMENT`: see https://www.sqlite.org/lang_altertable.html#otheralter",
    )
}

fn orphans(orphans: &[(String, String, i64)], users: &str) -> Finding {
    if orphans.is_empty() {
        return Finding::good("orphans", "all rows that refer to a user have one");
    }
    let counts: Vec<String> = orphans.iter().map(|(table, _, count)| format!("{count} in {table}")).collect();
    let deletes = orphans.iter().map(|(table, column, _)| format!("DELETE {};", orphans_in(table, column, users)));
    Finding::warning(
        "orphans",
        format!("rows refer to users who don't exist: {}. Foreign keys were off", counts.join(", ")),
        format!(
            "run `{}`, and `PRAGMA foreign_keys = ON` wherever you delete users",
            deletes.collect::<Vec<_>>().join(" ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Status;

    #[test]
    fn ids_are_checked_only_where_they_are_numbers() {
        let of = |created_by: &str, id| {
            let leftovers = Leftovers { created_by: created_by.to_owned(), orphans: Vec::new() };
            let findings = check(&leftovers, "users", id);
            findings.iter().map(|finding| (finding.check, finding.status)).collect::<Vec<_>>()
        };
        let good = ("orphans", Status::Good);
        assert_eq!(of("CREATE TABLE users (id BLOB PRIMARY KEY)", Id::Uuid), [good]);
        let reused = "CREATE TABLE users (id INTEGER PRIMARY KEY)";
        assert_eq!(of(reused, Id::Bigint), [("ids", Status::Warning), good]);
        let kept = "create table users (id integer primary key autoincrement)";
        assert_eq!(of(kept, Id::Bigint), [("ids", Status::Good), good]);
    }
}
