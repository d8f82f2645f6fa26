//! Reverts a migration: writes the `.down.sql` for an `.up.sql`.

use std::collections::BTreeSet;

use sqlparser::ast::{AlterTableOperation, Statement};

use super::statements::{parsed, statements};
use crate::plan::choices::Database;

/// Returns the statements that revert a migration, in reverse order, with functions last, when nothing calls them
/// anymore. What is dropped together with its table needs no statement.
pub fn of(sql: &str, db: Database) -> String {
    let (mut dropped, mut functions, mut made) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (statement, _) in statements(sql, db).iter().filter_map(|tokens| parsed(tokens, db)) {
        match statement {
            Statement::CreateTable(table) if !table.temporary => {
                made.insert(table.name.to_string());
                dropped.push(format!("DROP TABLE {};\n", table.name));
            }
            Statement::CreateIndex(index) if !made.contains(&index.table_name.to_string()) => {
                dropped.extend(index.name.map(|name| format!("DROP INDEX {name};\n")));
            }
            Statement::CreateTrigger(trigger) => {
                let (name, table) = (&trigger.name, trigger.table_name.to_string());
                dropped.extend((!made.contains(&table)).then(|| match db {
                    Database::Sqlite => format!("DROP TRIGGER {name};\n"),
                    Database::Postgres => format!("DROP TRIGGER {name} ON {table};\n"),
                }));
            }
            Statement::CreateFunction(function) => functions.push(format!("DROP FUNCTION {};\n", function.name)),
            Statement::AlterTable(altered) => {
                let name = altered.name;
                dropped.extend(altered.operations.into_iter().filter_map(|operation| match operation {
                    AlterTableOperation::AddColumn { column_def, .. } => {
                        Some(format!("ALTER TABLE {name} DROP COLUMN {};\n", column_def.name))
                    }
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    dropped.into_iter().rev().chain(functions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_reverted_in_reverse_order() {
        let up = "ALTER TABLE users ADD COLUMN a TEXT;
            CREATE UNIQUE INDEX users_email ON users (lower(email));
            CREATE TABLE tokens (id BLOB PRIMARY KEY, user_id REFERENCES users (id));
            CREATE INDEX i ON tokens (user_id);
            UPDATE users SET a = 'b';
            CREATE TRIGGER t AFTER DELETE ON users BEGIN
                DELETE FROM tokens WHERE user_id = +OLD.id;
                DELETE FROM others WHERE user_id = +OLD.id;
            END;";
        let down = "DROP TRIGGER t;\nDROP TABLE tokens;\nDROP INDEX users_email;\nALTER TABLE users DROP COLUMN a;\n";
        assert_eq!(of(up, Database::Sqlite), down);
        let up = "CREATE TABLE tokens (id uuid);
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
            CREATE TRIGGER t AFTER UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION f();
            CREATE TRIGGER t AFTER UPDATE OR DELETE ON tokens FOR EACH ROW EXECUTE FUNCTION f();";
        assert_eq!(of(up, Database::Postgres), "DROP TRIGGER t ON users;\nDROP TABLE tokens;\nDROP FUNCTION f;\n");
    }
}
