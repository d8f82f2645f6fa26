//! Runs all migrations in memory: if the host's succeed there, ours must too.

use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

/// Statements that would write files.
const LEAVES_MEMORY: [&str; 2] = ["ATTACH", "VACUUM"];

/// Returns the error of running our migrations after the host's. `None` if they succeed, or if the host's need more
/// than plain SQLite, so that nothing is known.
pub fn on_sqlite(hosts: &[String], ours: &[String]) -> Option<String> {
    if hosts.iter().any(|sql| LEAVES_MEMORY.iter().any(|word| sql.to_ascii_uppercase().contains(word))) {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.ok()?;
        for sql in hosts {
            conn.execute(AssertSqlSafe(sql.clone())).await.ok()?;
        }
        for sql in ours {
            if let Err(error) = conn.execute(AssertSqlSafe(sql.clone())).await {
                return Some(error.to_string());
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rehearsed(hosts: &str, ours: &str) -> Option<String> {
        on_sqlite(&[hosts.to_owned()], &[ours.to_owned()])
    }

    #[test]
    fn conflicts_with_the_hosts_schema_are_found() {
        let ours = "CREATE TABLE audit_events (id BLOB);";
        assert_eq!(rehearsed("CREATE TABLE users (id INTEGER PRIMARY KEY);", ours), None);
        let failed = rehearsed("CREATE VIEW audit_events AS SELECT 1;", ours).expect("a conflict");
        assert!(failed.contains("audit_events already exists"), "{failed}");
        assert_eq!(rehearsed("SELECT of_an_extension();", ours), None, "nothing is known");
    }
}
