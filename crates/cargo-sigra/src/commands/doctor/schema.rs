//! Checks that tables have the index and the triggers that accounts need. A table that is created again, as SQLite needs
//! it to change a column, has none. On PostgreSQL, an import may have turned triggers off.

use sqlx::{PgConnection, SqliteConnection};

use super::finding::Finding;

/// What a database lacks.
pub struct Lacks {
    /// Whether two users could have one email address.
    unique_email: bool,
    /// Triggers that don't run, each with its table.
    triggers: Vec<(String, String)>,
}

const ON_SQLITE: &str = "sigra_cascade";

/// Reads from a database that has the tables of accounts.
pub async fn of_sqlite(conn: &mut SqliteConnection, users: &str) -> sqlx::Result<Lacks> {
    let unique_email = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master
        WHERE type = 'index' AND tbl_name = $1 COLLATE NOCASE AND sql LIKE 'CREATE UNIQUE %'
          AND replace(replace(sql, ' ', ''), '\"', '') LIKE '%(lower(email))')";
    let unique_email = sqlx::query_scalar(unique_email).bind(users).fetch_one(&mut *conn).await?;
    let trigger = "SELECT EXISTS (SELECT 1 FROM sqlite_master
        WHERE type = 'trigger' AND name = $1 AND tbl_name = $2 COLLATE NOCASE)";
    let has_trigger: bool = sqlx::query_scalar(trigger).bind(ON_SQLITE).bind(users).fetch_one(conn).await?;
    let triggers = if has_trigger { Vec::new() } else { vec![(users.to_owned(), ON_SQLITE.to_owned())] };
    Ok(Lacks { unique_email, triggers })
}

/// Reads from a database that has the tables of accounts.
pub async fn of_postgres(conn: &mut PgConnection, users: &str) -> sqlx::Result<Lacks> {
    let unique_email = "SELECT NOT EXISTS (SELECT FROM pg_index
        WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid AND indpred IS NULL
          AND pg_get_expr(indexprs, indrelid) IN ('lower(email)', 'lower((email)::text)'))";
    let unique_email = sqlx::query_scalar(unique_email).bind(users).fetch_one(&mut *conn).await?;
    let triggers = "SELECT of.name, trigger.name
        FROM unnest(ARRAY[$1, 'users_tokens', 'api_tokens', 'oauth_grants', 'oauth_tokens']) AS of (name),
             unnest(ARRAY['sigra_announce', 'sigra_announce_truncate']) AS trigger (name)
        WHERE NOT EXISTS (SELECT FROM pg_trigger
            WHERE tgrelid = to_regclass(of.name) AND tgname = trigger.name AND tgenabled = 'A')";
    let triggers = sqlx::query_as(triggers).bind(users).fetch_all(conn).await?;
    Ok(Lacks { unique_email, triggers })
}

/// `folder` has the migrations.
pub fn check(lacks: &Lacks, users: &str, folder: &str) -> [Finding; 2] {
    [unique_email(lacks.unique_email, users), triggers(&lacks.triggers, folder)]
}

fn unique_email(is_lacking: bool, users: &str) -> Finding {
    if !is_lacking {
        return Finding::good("index", "no two users can have one email address");
    }
    Finding::warning(
        "index",
        format!("the table {users} has no unique index on lower(email), which registrations need"),
        format!("write `CREATE UNIQUE INDEX {users}_email ON \"{users}\" (lower(email));` in a new migration"),
    )
}

fn triggers(lacking: &[(String, String)], folder: &str) -> Finding {
    let Some((table, trigger)) = lacking.first() else { return Finding::good("triggers", "all run") };
    let all: Vec<String> = lacking.iter().map(|(table, trigger)| format!("{trigger} on {table}")).collect();
    let copy =
        format!("copy the statement `CREATE TRIGGER {trigger}` from the migrations in `{folder}` into a new one");
    if trigger == ON_SQLITE {
        let found = format!("{} is missing: where foreign keys are off, a deleted user leaves rows", all.join(", "));
        return Finding::warning("triggers", found, copy);
    }
    Finding::warning(
        "triggers",
        format!("these don't run, so nothing is cached: {}", all.join(", ")),
        format!(
            "for each, run `ALTER TABLE \"{table}\" ENABLE ALWAYS TRIGGER {trigger};`. If it doesn't exist, {copy}"
        ),
    )
}
