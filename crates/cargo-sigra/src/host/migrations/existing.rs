//! The effects of the host's migrations, and what they mean for ours.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    adoption,
    error::MigrationError,
    folder::{self, Folder, files},
    paths::shown,
    rehearsal,
    rows::{self, Rows},
    warnings,
};
use crate::{
    plan::{
        choices::{Database, Id},
        migrations::{Migrations, version, written_version},
        users::UserNames,
    },
    render::files::Files,
    sql::{
        objects::Objects,
        tables::{Table, Tables},
    },
    system::text_file::TextFile,
};

/// The host's migrations.
pub struct Existing {
    root: PathBuf,
    folder: Folder,
    /// The SQL of the folder that ours go to, and of other tools that create tables.
    texts: Vec<String>,
    migrations: Migrations,
}

impl Existing {
    /// Finds the migrations of a package. Asks which folder to use if there are several and `can_ask`.
    pub fn find(root: &Path, asked: Option<&Path>, can_ask: bool) -> Result<Self, MigrationError> {
        let folder = folder::find(root, asked, can_ask)?;
        let own = files(&folder.path)?;
        let newest = own.iter().filter_map(|(path, _)| Some((version(path)?, path))).max();
        let is_pair = |path: &Path| path.to_string_lossy().ends_with(".up.sql");
        let migrations = Migrations {
            folder: shown(root, &folder.path),
            after: newest.and_then(|(_, path)| written_version(path)),
            reversible: newest.is_some_and(|(_, path)| is_pair(path)),
            by_host: !folder.run_by.is_empty(),
            ..Migrations::default()
        };
        let mut texts = Vec::new();
        for other in &folder.of_diesel {
            texts.extend(files(other)?.into_iter().map(|(_, text)| text));
        }
        texts.extend(own.into_iter().map(|(_, text)| text));
        Ok(Self { root: root.to_owned(), folder, texts, migrations })
    }

    /// Returns where our migrations go, and who runs them.
    pub fn migrations(&self) -> Migrations {
        self.migrations.clone()
    }

    /// Returns all source code of the package and of those that it depends on, without generated files.
    pub fn sources(&self, is_generated: impl Fn(&Path) -> bool) -> Vec<String> {
        let own = self.folder.sources.iter().filter(|path| !is_generated(path));
        own.filter_map(|path| Some(TextFile::read(path).ok()?.text)).collect()
    }

    fn tables(&self, db: Database) -> Tables {
        let mut tables = Tables::default();
        self.texts.iter().for_each(|text| tables.read(text, db));
        tables
    }

    /// Returns the id type of the host's users table, if it has one.
    pub fn id_of(&self, users: &UserNames, db: Database) -> Option<Id> {
        let tables = self.tables(db);
        tables.get(&users.plural)?.column("id").and_then(|id| adoption::id_of(id, db))
    }

    /// Returns the SQL that makes the host's table the users table. `None` if it has none.
    pub fn adopted(
        &self,
        users: &UserNames,
        template: &str,
        id: Id,
        db: Database,
    ) -> Result<Option<String>, MigrationError> {
        let (theirs, mut ours) = (self.tables(db), Tables::default());
        ours.read(template, db);
        let table = users.plural.as_str();
        if let Some(statement) = theirs.unreadable(table) {
            return Err(MigrationError::Unparsed { table: table.to_owned(), statement: statement.to_owned() });
        }
        if let Some(taken) = ours.iter().find(|ours| ours.name != table && theirs.get(&ours.name).is_some()) {
            return Err(MigrationError::Taken(taken.name.clone()));
        }
        self.refuse_taken_names(template, db)?;
        let (Some(theirs), Some(ours)) = (theirs.get(table), ours.get(table)) else { return Ok(None) };
        let reasons = adoption::reasons_against(theirs, ours, id, db);
        if !reasons.is_empty() {
            return Err(MigrationError::Unusable { table: table.to_owned(), reasons });
        }
        Ok(Some(adoption::statements(theirs, ours, users, db)))
    }

    /// Refuses names of indexes and functions that our migration needs.
    fn refuse_taken_names(&self, template: &str, db: Database) -> Result<(), MigrationError> {
        let (mut theirs, mut ours) = (Objects::default(), Objects::default());
        self.texts.iter().for_each(|text| theirs.read(text, db));
        ours.read(template, db);
        match ours.iter().find_map(|ours| theirs.with_name_of(ours)) {
            Some(taken) => Err(MigrationError::of_name(taken, db)),
            None => Ok(()),
        }
    }

    /// Runs the migrations in memory, if possible, and checks the rows of a database that can be reached.
    pub fn rehearse(&self, users: &UserNames, files: &Files, db: Database) -> Result<(), MigrationError> {
        let ours = files.iter().filter(|(path, _)| self.migrations.has(path) && !path.ends_with(".down.sql"));
        let ours: Vec<String> = ours.map(|(_, text)| text.clone()).collect();
        if db == Database::Sqlite
            && let Some(error) = rehearsal::on_sqlite(&self.texts, &ours)
        {
            return Err(MigrationError::Fails(error));
        }
        let Some(table) = self.tables(db).get(&users.plural).cloned() else { return Ok(()) };
        match self.rows(&table, db).filter(|rows| !rows.same.is_empty()) {
            Some(rows) => Err(MigrationError::SameAddress { table: table.name, ids: rows.shown() }),
            None => Ok(()),
        }
    }

    /// Returns warnings about a table that is kept.
    pub fn warnings(&self, users: &UserNames, files: &Files, db: Database) -> Vec<String> {
        let tables = self.tables(db);
        let Some(table) = tables.get(&users.plural) else { return Vec::new() };
        let mut warnings = Vec::new();
        match self.rows(table, db) {
            Some(rows) => warnings.extend(warnings::unreachable(table, &rows)),
            None if self.is_migrated(&tables) => {}
            None => warnings.push(warnings::unchecked(table, users)),
        }
        let migration = files.keys().find(|path| self.migrations.has(path) && !path.ends_with(".down.sql"));
        warnings.extend(migration.and_then(|path| warnings::unconfirmed(table, path)));
        warnings.extend(warnings::reused_ids(table, db));
        warnings.extend(warnings::undeletable(&tables, users, db));
        let code = files.iter().find(|(path, _)| path.ends_with("accounts/registration.rs"));
        warnings.extend(code.and_then(|(path, code)| {
            // The host may have changed the file.
            let code = fs::read_to_string(self.root.join(path)).unwrap_or_else(|_| code.clone());
            warnings::unfilled(table, users, path, &code, db)
        }));
        warnings
    }

    fn rows(&self, table: &Table, db: Database) -> Option<Rows> {
        rows::rows(&self.root, &self.folder.workspace, &table.name, db)
    }

    /// Returns whether our migrations are already among them.
    fn is_migrated(&self, tables: &Tables) -> bool {
        tables.get("users_tokens").is_some()
    }

    /// Updates the modification time of the files that embed migrations, because Cargo doesn't notice a new file in a
    /// folder.
    pub fn touch(&self) -> Result<(), MigrationError> {
        for path in &self.folder.run_by {
            let opened = File::options().append(true).open(path);
            let touched = opened.and_then(|file| file.set_modified(SystemTime::now()));
            touched.map_err(|error| MigrationError::Untouchable { path: path.clone(), error })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "CREATE TABLE users (\n id BLOB NOT NULL PRIMARY KEY,\n email TEXT NOT NULL,\n hashed_password TEXT, -- PHC\n inserted_at TEXT NOT NULL\n);
        CREATE TABLE audit_events (id BLOB);";
    const MANIFEST: &str = "[package]\nname = \"host\"\nedition = \"2024\"\n[dependencies]\nsqlx = \"0.9\"\n";

    /// Creates a folder with these files.
    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    fn found(folder: &Path, package: &str, asked: Option<&str>) -> Result<Existing, MigrationError> {
        let root = folder.join(package).canonicalize().expect("a folder");
        Existing::find(&root, asked.map(Path::new), false)
    }

    fn existing(sql: &str) -> Existing {
        let folder = host(&[
            ("Cargo.toml", MANIFEST),
            ("src/main.rs", "fn main() {}"),
            ("migrations/20240102030405_users.sql", sql),
        ]);
        found(folder.path(), "", None).expect("migrations")
    }

    fn adopted(host: &Existing, users: &UserNames, id: Id) -> Result<Option<String>, MigrationError> {
        host.adopted(users, OURS, id, Database::Sqlite)
    }

    #[test]
    fn an_adopted_users_table_gets_its_missing_columns() {
        let host = existing(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, full_name TEXT NOT NULL, password_hash TEXT NOT NULL);",
        );
        let users = UserNames::default();
        assert_eq!(host.migrations().after.as_deref(), Some("20240102030405"));
        assert_eq!(host.id_of(&users, Database::Sqlite), Some(Id::Bigint));
        let sql = adopted(&host, &users, Id::Bigint).expect("good").expect("a table");
        assert!(
            sql.ends_with(
                "ALTER TABLE users ADD COLUMN hashed_password TEXT;\n\
                 ALTER TABLE users ADD COLUMN inserted_at TEXT NOT NULL DEFAULT '1970-01-01T00:00:00Z';\n"
            ),
            "{sql}"
        );
    }

    #[test]
    fn a_table_that_is_not_suitable_for_users_is_refused() {
        let users = UserNames::default();
        let of_names = existing("create table users (id integer primary key, username text not null);");
        let refused = adopted(&of_names, &users, Id::Bigint).expect_err("no address").to_string();
        assert!(refused.contains("has no column `email`: add one first"), "{refused}");
        let members = UserNames::parse("Member", None).expect("names");
        let of_members = OURS.replace("users", "members");
        let beside = of_names.adopted(&members, &of_members, Id::Uuid, Database::Sqlite);
        assert!(beside.expect("a table beside it").is_none());
        let of_texts = existing("CREATE TABLE \"users\" (id TEXT PRIMARY KEY, email TEXT);");
        assert!(matches!(adopted(&of_texts, &users, Id::Uuid), Err(MigrationError::Unusable { .. })));
        let taken = existing("CREATE TABLE audit_events (id INTEGER);");
        assert!(matches!(adopted(&taken, &users, Id::Uuid), Err(MigrationError::Taken(_))));
        let unparsed =
            existing("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT); ALTER TABLE users FROBNICATE;");
        assert!(matches!(adopted(&unparsed, &users, Id::Bigint), Err(MigrationError::Unparsed { .. })));
    }

    #[test]
    fn adopting_a_table_fails_with_a_clear_message_if_addresses_are_equal() {
        let host = existing("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);");
        let sql = adopted(&host, &UserNames::default(), Id::Bigint).expect("good").expect("a table");
        let with_rows = |rows: &str| {
            let rows = format!(
                "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT); INSERT INTO users (email) VALUES {rows};"
            );
            rehearsal::on_sqlite(&[rows], std::slice::from_ref(&sql))
        };
        assert_eq!(
            with_rows(
                "('ada@x.example'), ('grace@x.example'), (NULL), (NULL), ('\u{dc}@x.example'), ('\u{fc}@x.example')"
            ),
            None
        );
        let failed = with_rows("('Ada@x.example'), ('ada@x.example')").expect("two rows with the same address");
        assert!(failed.contains("have addresses that differ only in case: merge them first"), "{failed}");
    }

    const WORKSPACE: &str = "[workspace]\nresolver = \"3\"\nmembers = [\"server\", \"db\", \"other\"]\n";
    const SERVER: &str =
        "[package]\nname = \"server\"\nedition = \"2024\"\n[dependencies]\ndb = { path = \"../db\" }\n";
    const DB: &str = "[package]\nname = \"db\"\nedition = \"2024\"\n[dependencies]\nsqlx = \"0.9\"\n";
    const OTHER: &str = "[package]\nname = \"other\"\nedition = \"2024\"\n[dependencies]\nsqlx = \"0.9\"\n";
    const RUN: &str = "pub static M: sqlx::migrate::Migrator = sqlx::migrate!();\n";

    fn workspace_with(more: &[(&str, &str)]) -> tempfile::TempDir {
        let base = [
            ("Cargo.toml", WORKSPACE),
            ("server/Cargo.toml", SERVER),
            ("server/src/main.rs", "fn main() {}"),
            ("db/Cargo.toml", DB),
            ("other/Cargo.toml", OTHER),
            ("other/src/lib.rs", ""),
        ];
        host(&[&base[..], more].concat())
    }

    #[test]
    fn migrations_of_another_package_are_found_and_run_by_it() {
        let folder = workspace_with(&[
            ("db/src/lib.rs", RUN),
            ("db/migrations/0001_a.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);"),
            ("db/migrations/0001_a.down.sql", "DROP TABLE users;"),
        ]);
        let host = found(folder.path(), "server", None).expect("migrations");
        let expected = Migrations {
            folder: "../db/migrations".into(),
            after: Some("0001".into()),
            reversible: true,
            by_host: true,
            ..Migrations::default()
        };
        assert_eq!(host.migrations(), expected);
        assert_eq!(host.id_of(&UserNames::default(), Database::Sqlite), Some(Id::Bigint));
        let own = found(folder.path(), "server", Some("migrations")).expect("migrations").migrations();
        assert_eq!(own, Migrations::default());
    }

    #[test]
    fn an_ambiguous_folder_requires_a_flag() {
        let sql = ("other/migrations/1_a.sql", "CREATE TABLE a (id int);");
        let unrelated = workspace_with(&[("db/src/lib.rs", ""), sql]);
        let refused = found(unrelated.path(), "server", None).err().expect("ambiguous").to_string();
        assert!(refused.contains("`../other/migrations`") && refused.contains("`migrations`"), "{refused}");

        let two = "fn f() { sqlx::migrate!(\"./a\"); sqlx::migrate!(\"./b\"); }";
        let two = workspace_with(&[("db/src/lib.rs", two), ("db/a/1_a.sql", ""), ("db/b/1_b.sql", "")]);
        let refused = found(two.path(), "server", None).err().expect("ambiguous").to_string();
        assert!(refused.contains("`--migrations ../db/a`"), "{refused}");
        assert!(found(two.path(), "server", Some("../db/b")).expect("said").migrations().by_host);

        let nothing = workspace_with(&[("db/src/lib.rs", "")]);
        assert_eq!(found(nothing.path(), "server", None).expect("its own").migrations(), Migrations::default());
    }

    #[test]
    fn tables_of_other_tools_are_found_or_require_a_flag() {
        let diesel = "[package]\nname = \"db\"\nedition = \"2024\"\n[dependencies]\ndiesel = \"2\"\n";
        let up = (
            "db/migrations/2024-01-01-000000_users/up.sql",
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);",
        );
        let folder = workspace_with(&[("db/Cargo.toml", diesel), ("db/src/lib.rs", ""), up]);
        let refused = found(folder.path(), "server", None).err().expect("Diesel").to_string();
        assert!(
            refused.starts_with("Diesel creates the tables") && refused.contains("`--migrations sql`"),
            "{refused}"
        );
        assert!(matches!(found(folder.path(), "server", Some("../db/migrations")), Err(MigrationError::OfDiesel(_))));
        let host = found(folder.path(), "server", Some("sql")).expect("said");
        assert_eq!(host.id_of(&UserNames::default(), Database::Sqlite), Some(Id::Bigint), "its tables are known");
    }
}
