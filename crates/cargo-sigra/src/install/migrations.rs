//! The host's migrations: how far they go, and whether they make a table of users that is to be kept.

mod tables;

use std::{fs, io, path::Path, path::PathBuf};

use self::tables::{Column, Table, tables_in};
use super::id_of_type;
use crate::{choices::Id, generate::Files, users::UserNames};

/// Columns without which a table is none of users.
const INDISPENSABLE: [&str; 2] = ["id", "email"];

/// What a row has had from before a column was required.
const DEFAULTS: [(&str, &str); 2] = [("timestamptz", "now()"), ("text", "'1970-01-01T00:00:00Z'")];

/// Why the host's table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("`{path}` can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "the table `{table}`, which your migrations make, has no column `{column}`: add one first, by a migration of your own, \
         or let accounts have a table beside it: `--user Member --table members`"
    )]
    Lacks { table: String, column: &'static str },
    #[error(
        "the column `{table}.id` is of type `{ty}`, and users need a UUID or a 64-bit integer: change it first, by a migration of your own"
    )]
    Id { table: String, ty: String },
}

/// What the host's migrations do.
pub struct Existing {
    /// The version of the newest one.
    pub newest: Option<u64>,
    tables: Vec<Table>,
}

impl Existing {
    pub fn find(root: &Path) -> Result<Self, MigrationError> {
        let folder = root.join("migrations");
        let unreadable = |path: &Path, error| MigrationError::Unreadable { path: path.to_owned(), error };
        let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(&folder, error)),
        };
        paths.retain(|path| {
            path.extension().is_some_and(|end| end == "sql") && !path.to_string_lossy().ends_with(".down.sql")
        });
        paths.sort();
        let mut tables = Vec::new();
        for path in &paths {
            let sql = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            tables_in(&sql, &mut tables);
        }
        Ok(Self { newest: paths.iter().filter_map(|path| version(path)).max(), tables })
    }

    /// What the ids of the host's users are, if it has any.
    pub fn id_of(&self, users: &UserNames) -> Result<Option<Id>, MigrationError> {
        let Some(table) = self.table(users) else { return Ok(None) };
        let id = table.column("id").ok_or_else(|| lacks(users, "id"))?;
        let id = id_of_type(&id.definition).ok_or_else(|| MigrationError::Id {
            table: users.plural.clone(),
            ty: id.definition.split_whitespace().next().unwrap_or_default().to_owned(),
        })?;
        Ok(Some(id))
    }

    /// What makes the host's table one of users. `None` if it has none.
    pub fn adopted(&self, users: &UserNames, template: &str) -> Result<Option<String>, MigrationError> {
        let Some(table) = self.table(users) else { return Ok(None) };
        if let Some(column) = INDISPENSABLE.into_iter().find(|column| table.column(column).is_none()) {
            return Err(lacks(users, column));
        }
        let mut ours = Vec::new();
        tables_in(template, &mut ours);
        let ours = ours.into_iter().find(|table| table.name == users.plural).map(|table| table.columns);
        let missing = ours.unwrap_or_default().into_iter().filter(|column| table.column(&column.name).is_none());
        let added =
            missing.map(|column| format!("ALTER TABLE {} ADD COLUMN {};\n", users.plural, with_default(&column)));
        Ok(Some(added.collect()))
    }

    /// Columns that every row must have, and that the generated code does not know.
    pub fn unfilled(&self, users: &UserNames, files: &Files) -> Vec<String> {
        let code =
            files.iter().find(|(path, _)| path.ends_with("accounts/registration.rs")).map(|(_, text)| text.as_str());
        let code = code.unwrap_or_default();
        let columns = self.table(users).map(|table| table.columns.as_slice()).unwrap_or_default();
        let insert = format!("INSERT INTO {} (", users.plural);
        let given = code.split_once(&insert).and_then(|(_, rest)| rest.split_once(')')).map(|(names, _)| names);
        let given: Vec<&str> = given.unwrap_or_default().split(',').map(str::trim).collect();
        let unfilled = columns.iter().filter(|column| column.is_required() && !given.contains(&column.name.as_str()));
        unfilled.map(|column| column.name.clone()).collect()
    }

    fn table(&self, users: &UserNames) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == users.plural)
    }
}

fn lacks(users: &UserNames, column: &'static str) -> MigrationError {
    MigrationError::Lacks { table: users.plural.clone(), column }
}

/// Rows that are there already need something in a column that must not be empty.
fn with_default(column: &Column) -> String {
    let definition = format!("{} {}", column.name, column.definition);
    let default = DEFAULTS.iter().find(|(ty, _)| column.definition.to_ascii_lowercase().starts_with(ty));
    match default {
        Some((_, default)) if column.is_required() => format!("{definition} DEFAULT {default}"),
        _ => definition,
    }
}

/// `20260101000000` of `20260101000000_create_users.sql`.
pub fn version(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.split_once('_')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "CREATE TABLE users (\n id BLOB NOT NULL PRIMARY KEY,\n email TEXT NOT NULL,\n hashed_password TEXT, -- PHC\n inserted_at TEXT NOT NULL\n);";

    fn existing(sql: &str) -> Existing {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("migrations")).expect("made");
        fs::write(folder.path().join("migrations/20240102030405_users.sql"), sql).expect("written");
        Existing::find(folder.path()).expect("migrations")
    }

    #[test]
    fn a_table_of_users_gets_what_it_lacks() {
        let host =
            existing("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL);");
        let users = UserNames::default();
        assert_eq!(host.newest, Some(20240102030405));
        assert_eq!(host.id_of(&users).expect("an id"), Some(Id::Bigint));
        assert_eq!(
            host.adopted(&users, OURS).expect("good").as_deref(),
            Some(
                "ALTER TABLE users ADD COLUMN hashed_password TEXT;\n\
                 ALTER TABLE users ADD COLUMN inserted_at TEXT NOT NULL DEFAULT '1970-01-01T00:00:00Z';\n"
            )
        );
        let code =
            Files::from([("src/auth/accounts/registration.rs".to_owned(), "INSERT INTO users (email)".to_owned())]);
        assert_eq!(host.unfilled(&users, &code), ["name"]);
    }

    #[test]
    fn a_table_that_can_be_none_of_users_is_refused() {
        let users = UserNames::default();
        let of_names = existing("create table users (id integer primary key, username text not null);");
        assert!(matches!(of_names.adopted(&users, OURS), Err(MigrationError::Lacks { column: "email", .. })));
        let members = UserNames::parse("Member", None).expect("names");
        assert!(of_names.adopted(&members, OURS).expect("a table beside it").is_none());
        let of_texts = existing("CREATE TABLE \"users\" (id TEXT PRIMARY KEY, email TEXT);");
        assert!(matches!(of_texts.id_of(&users), Err(MigrationError::Id { .. })));
        assert!(of_texts.id_of(&UserNames::parse("Member", None).expect("names")).expect("no table").is_none());
    }
}
