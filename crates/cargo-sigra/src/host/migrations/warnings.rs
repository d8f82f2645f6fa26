//! Warnings about a users table that is kept: what accounts need of its rows and columns, and don't have.

use super::{addresses, adoption, paths::quoted, rows::Rows};
use crate::{
    plan::{
        choices::{Database, Id},
        users::UserNames,
    },
    sql::tables::{Column, Reference, Table, Tables},
};

/// Returns warnings about users that no login finds.
pub fn unreachable(table: &Table, rows: &Rows) -> Vec<String> {
    let mut warnings = Vec::new();
    if rows.without > 0 {
        warnings.push(format!(
            "{} rows of `{}` have no email address: these users can't log in without one",
            rows.without, table.name
        ));
    }
    if rows.lost > 0 {
        warnings.push(format!(
            "{} rows of `{}` have an email address that isn't in normalized form: these users can't log in until you {}",
            rows.lost,
            table.name,
            addresses::FIX
        ));
    }
    warnings
}

/// Returns a warning about rows that couldn't be read.
pub fn unchecked(table: &Table, users: &UserNames) -> String {
    format!(
        "the migration fails if rows of `{0}` have email addresses that differ only in case. To find them: \
         SELECT lower(email) FROM {1} GROUP BY 1 HAVING count(*) > 1",
        table.name,
        users.in_sql()
    )
}

/// Returns a warning about users that were there before, unless the table says which of them are confirmed.
pub fn unconfirmed(table: &Table, migration: &str) -> Option<String> {
    table.column(adoption::CONFIRMED_AT).is_none().then(|| {
        format!(
            "the users in `{}` become unconfirmed: a login link deletes their password, and another user who proves that \
             they have the email address gets it. If your application has confirmed the addresses, uncomment `UPDATE … SET \
             {} = …` in {migration} before you run it",
            table.name,
            adoption::CONFIRMED_AT
        )
    })
}

/// Returns warnings about foreign keys that keep users from being deleted, such as at the end of the grace period.
pub fn undeletable(tables: &Tables, users: &UserNames, db: Database) -> Vec<String> {
    let referring = tables.iter().flat_map(|table| table.references.iter().map(move |reference| (table, reference)));
    let keeping = referring.filter(|(_, reference)| reference.keeps && reference.table == users.plural);
    keeping.map(|(table, reference)| undeletable_because(&table.name, reference, users, db)).collect()
}

fn undeletable_because(table: &str, reference: &Reference, users: &UserNames, db: Database) -> String {
    let (columns, users) = (reference.columns.join(", "), users.in_sql());
    let how = match db {
        Database::Sqlite => format!(
            "create the table again with `REFERENCES {users} (id) ON DELETE CASCADE`: see \
             https://www.sqlite.org/lang_altertable.html#otheralter"
        ),
        Database::Postgres => format!(
            "write `ALTER TABLE {table} DROP CONSTRAINT {}, ADD FOREIGN KEY ({columns}) REFERENCES {users} (id) ON DELETE \
             CASCADE;`",
            reference.name
        ),
    };
    format!(
        "a user who has rows in `{table}` can't be deleted, because the foreign key `{columns}` has no ON DELETE. With a \
         migration of your own, {how}. Or keep these rows, with ON DELETE SET NULL"
    )
}

/// Returns a warning about a table of SQLite that gives the id of a deleted user to the next one.
pub fn reused_ids(table: &Table, db: Database) -> Option<String> {
    let id = table.column("id").filter(|id| db == Database::Sqlite && adoption::id_of(id, db) == Some(Id::Bigint))?;
    (!id.is_autoincrement).then(|| {
        format!(
            "`{0}` has no AUTOINCREMENT: if the newest user is deleted, SQLite gives their `id` to the next one, together with \
             what is left of them, such as audit events and rows of your own tables. With a migration of your own, create the \
             table again with `id INTEGER PRIMARY KEY AUTOINCREMENT`: see https://www.sqlite.org/lang_altertable.html#otheralter",
            table.name
        )
    })
}

/// Returns a warning about required columns that the generated code doesn't fill, with the code to write.
pub fn unfilled(table: &Table, users: &UserNames, path: &str, code: &str, db: Database) -> Option<String> {
    let begins = format!("INSERT INTO {} (", users.in_rust());
    let (columns, rest) = code.split_once(&begins)?.1.split_once(')')?;
    let (values, rest) = rest.split_once("VALUES (")?.1.split_once(')')?;
    // Such as `ON CONFLICT (lower(email)) DO NOTHING RETURNING *`, without which each registration looks like a second
    // one.
    let ends = rest.split('"').next()?.split_whitespace().collect::<Vec<_>>().join(" ");
    let given: Vec<&str> = columns.split(',').map(str::trim).collect();
    let is_unfilled = |column: &&Column| column.is_required() && !given.contains(&column.name.as_str());
    let missing: Vec<&Column> = table.columns.iter().filter(is_unfilled).collect();
    if missing.is_empty() {
        return None;
    }
    let names = missing.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let placeholders = missing.iter().map(|column| adoption::placeholder(column, db)).collect::<Vec<_>>().join(", ");
    let mut said = format!(
        "every row of `{}` must have {}, which registrations don't fill: they fail until you write this in {path}:\n\n    \
         {begins}{names}, {columns}) VALUES ({placeholders}, {values}) {ends}\n",
        table.name,
        quoted(&missing.iter().map(|column| column.name.clone()).collect::<Vec<_>>()),
    );
    if let Some(hash) = missing.iter().find(|column| column.name.contains("pass") || column.name.contains("pwd")) {
        said += &format!(
            "\n  To keep existing hashes in `{0}`, if they are PHC strings or bcrypt hashes: UPDATE {1} SET hashed_password = {0}",
            hash.name,
            users.in_sql()
        );
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sql: &str, db: Database) -> Table {
        let mut tables = Tables::default();
        tables.read(sql, db);
        tables.get("users").expect("users").clone()
    }

    #[test]
    fn required_columns_are_listed_with_the_insert_that_fills_them() {
        let table = table(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, full_name TEXT NOT NULL, password_hash TEXT NOT NULL);",
            Database::Sqlite,
        );
        let code =
            "\"INSERT INTO users (email)\n VALUES ($1)\n    ON CONFLICT (lower(email)) DO NOTHING RETURNING *\";";
        let path = "src/auth/accounts/registration.rs";
        let said = unfilled(&table, &UserNames::default(), path, code, Database::Sqlite).expect("a warning");
        let insert = "    INSERT INTO users (full_name, password_hash, email) VALUES ('', '', $1) \
            ON CONFLICT (lower(email)) DO NOTHING RETURNING *\n";
        assert!(said.contains(insert), "{said}");
        assert!(said.contains("UPDATE users SET hashed_password = password_hash"), "{said}");
    }

    #[test]
    fn foreign_keys_that_keep_users_are_named() {
        let said = |sql: &str, db| {
            let mut tables = Tables::default();
            tables.read("CREATE TABLE users (id bigint PRIMARY KEY, email text);", db);
            tables.read(sql, db);
            undeletable(&tables, &UserNames::default(), db).join("\n")
        };
        let orders = "CREATE TABLE orders (buyer bigint REFERENCES users (id), seller bigint);";
        let of_postgres = said(orders, Database::Postgres);
        let fix = "`ALTER TABLE orders DROP CONSTRAINT orders_buyer_fkey, ADD FOREIGN KEY (buyer) REFERENCES users (id) \
            ON DELETE CASCADE;`";
        assert!(of_postgres.contains("rows in `orders`") && of_postgres.contains(fix), "{of_postgres}");
        assert!(
            said(orders, Database::Sqlite).contains("create the table again with `REFERENCES users (id) ON DELETE")
        );
        for harmless in [
            "CREATE TABLE orders (buyer bigint REFERENCES users (id) ON DELETE CASCADE);",
            "CREATE TABLE orders (item bigint REFERENCES items (id));",
        ] {
            assert_eq!(said(harmless, Database::Postgres), "");
        }
    }

    #[test]
    fn ids_that_sqlite_reuses_are_named() {
        for (id, db, is_reused) in [
            ("INTEGER PRIMARY KEY", Database::Sqlite, true),
            ("INTEGER PRIMARY KEY AUTOINCREMENT", Database::Sqlite, false),
            ("BLOB PRIMARY KEY", Database::Sqlite, false),
            ("bigserial PRIMARY KEY", Database::Postgres, false),
        ] {
            let table = table(&format!("CREATE TABLE users (id {id}, email TEXT);"), db);
            assert_eq!(reused_ids(&table, db).is_some(), is_reused, "{id}");
        }
    }

    #[test]
    fn users_without_a_confirmation_are_named() {
        let made = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);";
        let said = unconfirmed(&table(made, Database::Sqlite), "migrations/2_auth.sql").expect("a warning");
        assert!(said.contains("`users` become unconfirmed") && said.contains("in migrations/2_auth.sql"), "{said}");
        let made = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, confirmed_at TEXT);";
        assert_eq!(unconfirmed(&table(made, Database::Sqlite), "migrations/2_auth.sql"), None);
    }
}
