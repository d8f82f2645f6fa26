//! Finds the tables that migrations create.

use sqlparser::{
    ast::{
        AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateTable, Ident, ObjectName,
        ObjectNamePart, ObjectType, RenameTableNameKind, Statement, TableConstraint,
    },
    keywords::Keyword,
    tokenizer::Token,
};

use super::statements::{is_word, parsed, statements};
use crate::plan::choices::Database;

/// Schemas of names that are written without one.
const DEFAULT_SCHEMAS: [&str; 2] = ["public", "main"];

/// Types that generate their values.
const SERIAL: [&str; 6] = ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];

/// All tables, in the order of their creation.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Table>,
    /// Statements about tables that can't be parsed, each with the names in it.
    unreadable: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// The columns of its primary key and of each unique constraint.
    keys: Vec<Vec<String>>,
    /// Whether it is created from another table, so that its columns are unknown.
    pub is_copy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The type in lowercase: `integer`, `varchar(100)`.
    pub ty: String,
    pub collation: Option<String>,
    pub is_not_null: bool,
    /// Whether it has a value in rows that don't set it.
    has_default: bool,
    /// Whether SQLite never generates a value twice, even if the row with the highest one was deleted.
    pub is_autoincrement: bool,
    /// The whole definition, as written.
    pub definition: String,
}

impl Tables {
    pub fn get(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter()
    }

    /// Returns a statement that could have done anything to this table.
    pub fn unreadable(&self, name: &str) -> Option<&str> {
        let has = |names: &[String]| names.iter().any(|found| found.eq_ignore_ascii_case(name));
        self.unreadable.iter().find(|(_, names)| has(names)).map(|(statement, _)| statement.as_str())
    }

    /// Adds the effects of a file.
    pub fn read(&mut self, sql: &str, db: Database) {
        let names = Names(db);
        for tokens in statements(sql, db) {
            match parsed(&tokens, db) {
                Some((statement, collation)) => self.apply(statement, collation, names),
                None if is_about_tables(&tokens) => {
                    let words = tokens.iter().filter_map(|token| match token {
                        Token::Word(word) => Some(word.value.clone()),
                        _ => None,
                    });
                    self.unreadable.push((text_of(&tokens), words.collect()));
                }
                None => {}
            }
        }
    }

    fn apply(&mut self, statement: Statement, collation: Option<String>, names: Names) {
        match statement {
            Statement::CreateTable(created) if !created.temporary => {
                let name = names.of(&created.name);
                if !(created.if_not_exists && self.get(&name).is_some()) {
                    self.tables.retain(|table| table.name != name);
                    self.tables.push(Table::of(&created, name, names));
                }
            }
            Statement::AlterTable(altered) => self.alter(altered, collation.as_deref(), names),
            Statement::Drop { object_type: ObjectType::Table, names: dropped, .. } => {
                let dropped: Vec<_> = dropped.iter().map(|name| names.of(name)).collect();
                self.tables.retain(|table| !dropped.contains(&table.name));
            }
            _ => {}
        }
    }

    fn alter(&mut self, altered: AlterTable, collation: Option<&str>, names: Names) {
        let mut name = names.of(&altered.name);
        for operation in altered.operations {
            let Some(table) = self.tables.iter_mut().find(|table| table.name == name) else { return };
            match operation {
                AlterTableOperation::RenameTable {
                    table_name: RenameTableNameKind::To(new) | RenameTableNameKind::As(new),
                } => {
                    name = names.of(&new);
                    table.name.clone_from(&name);
                }
                operation => table.alter(operation, collation, names),
            }
        }
    }
}

impl Table {
    fn of(created: &CreateTable, name: String, names: Names) -> Self {
        let mut table = Self {
            name,
            columns: Vec::new(),
            keys: Vec::new(),
            is_copy: created.query.is_some() || created.like.is_some() || created.clone.is_some(),
        };
        created.columns.iter().for_each(|column| table.add(column, names));
        created.constraints.iter().for_each(|constraint| table.constrain(constraint, names));
        table
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns whether the values of a column are unique.
    pub fn is_key(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.len() == 1 && key[0] == name)
    }

    fn add(&mut self, column: &ColumnDef, names: Names) {
        let added = Column::of(column, names);
        let is_key = |option: &ColumnOption| matches!(option, ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_));
        if column.options.iter().any(|option| is_key(&option.option)) {
            self.keys.push(vec![added.name.clone()]);
        }
        self.columns.retain(|other| other.name != added.name);
        self.columns.push(added);
    }

    fn constrain(&mut self, constraint: &TableConstraint, names: Names) {
        let (columns, is_primary) = match constraint {
            TableConstraint::PrimaryKey(key) => (&key.columns, true),
            TableConstraint::Unique(key) => (&key.columns, false),
            _ => return,
        };
        let key: Vec<String> = columns.iter().map(|column| names.fold(&column.column.expr.to_string())).collect();
        if is_primary {
            for column in self.columns.iter_mut().filter(|column| key.contains(&column.name)) {
                column.is_not_null = true;
                column.has_default |= column.ty == "integer" && key.len() == 1 && names.is_sqlite();
            }
        }
        self.keys.push(key);
    }

    fn alter(&mut self, operation: AlterTableOperation, collation: Option<&str>, names: Names) {
        match operation {
            AlterTableOperation::AddColumn { column_def, if_not_exists, .. }
                if !(if_not_exists && self.column(&names.ident(&column_def.name)).is_some()) =>
            {
                self.add(&column_def, names);
            }
            AlterTableOperation::DropColumn { column_names, .. } => {
                let dropped: Vec<_> = column_names.iter().map(|name| names.ident(name)).collect();
                self.columns.retain(|column| !dropped.contains(&column.name));
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                let (old, new) = (names.ident(&old_column_name), names.ident(&new_column_name));
                let columns = self.columns.iter_mut().map(|column| &mut column.name);
                for name in columns.chain(self.keys.iter_mut().flatten()).filter(|name| **name == old) {
                    name.clone_from(&new);
                }
            }
            AlterTableOperation::AddConstraint { constraint, .. } => self.constrain(&constraint, names),
            AlterTableOperation::AlterColumn { column_name, op } => {
                let name = names.ident(&column_name);
                if let Some(column) = self.columns.iter_mut().find(|column| column.name == name) {
                    column.alter(op, collation);
                }
            }
            _ => {}
        }
    }
}

impl Column {
    fn of(column: &ColumnDef, names: Names) -> Self {
        let ty = column.data_type.to_string().to_ascii_lowercase();
        let has = |is: fn(&ColumnOption) -> bool| column.options.iter().any(|option| is(&option.option));
        let collation = column.options.iter().find_map(|option| match &option.option {
            ColumnOption::Collation(name) => Some(names.of(name)),
            _ => None,
        });
        let is_primary = has(|option| matches!(option, ColumnOption::PrimaryKey(_)));
        let is_given = has(|option| matches!(option, ColumnOption::Default(_) | ColumnOption::Generated { .. }));
        let is_autoincrement = |option: &ColumnOption| match option {
            ColumnOption::DialectSpecific(tokens) => tokens.iter().any(|it| is_word(it, Keyword::AUTOINCREMENT)),
            _ => false,
        };
        Self {
            name: names.ident(&column.name),
            is_not_null: is_primary || has(|option| matches!(option, ColumnOption::NotNull)),
            has_default: is_given
                || SERIAL.contains(&ty.as_str())
                || (ty == "integer" && is_primary && names.is_sqlite()),
            is_autoincrement: has(is_autoincrement),
            collation,
            ty,
            definition: column.to_string(),
        }
    }

    /// Returns whether each new row must set the column.
    pub fn is_required(&self) -> bool {
        self.is_not_null && !self.has_default
    }

    /// Returns whether the column has a value in rows that don't set it.
    pub fn has_default(&self) -> bool {
        self.has_default
    }

    fn alter(&mut self, operation: AlterColumnOperation, collation: Option<&str>) {
        match operation {
            AlterColumnOperation::SetNotNull => self.is_not_null = true,
            AlterColumnOperation::DropNotNull => self.is_not_null = false,
            AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::AddGenerated { .. } => {
                self.has_default = true
            }
            AlterColumnOperation::DropDefault => self.has_default = false,
            AlterColumnOperation::SetDataType { data_type, .. } => {
                self.ty = data_type.to_string().to_ascii_lowercase();
                self.collation = collation.map(str::to_owned);
            }
            AlterColumnOperation::GenericOptions { .. } => {}
        }
    }
}

/// How a database compares names: SQLite ignores case, and PostgreSQL does so unless the name is quoted.
#[derive(Clone, Copy)]
struct Names(Database);

impl Names {
    fn is_sqlite(self) -> bool {
        self.0 == Database::Sqlite
    }

    fn ident(self, ident: &Ident) -> String {
        if self.is_sqlite() || ident.quote_style.is_none() {
            ident.value.to_ascii_lowercase()
        } else {
            ident.value.clone()
        }
    }

    /// Returns a name with its schema, unless that is a default one.
    fn of(self, name: &ObjectName) -> String {
        let parts = name.0.iter().filter_map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(self.ident(ident)),
            ObjectNamePart::Function(_) => None,
        });
        let parts: Vec<String> = parts.collect();
        match &parts[..] {
            [schema, name] if DEFAULT_SCHEMAS.contains(&schema.as_str()) => name.clone(),
            parts => parts.join("."),
        }
    }

    /// Returns the name of a column that is written as an expression.
    fn fold(self, written: &str) -> String {
        let bare = written.trim_matches(['"', '`', '[', ']']);
        if self.is_sqlite() || bare == written { bare.to_ascii_lowercase() } else { bare.to_owned() }
    }
}

/// Returns whether a statement begins with `CREATE`, `ALTER` or `DROP`, and soon has `TABLE`.
fn is_about_tables(tokens: &[Token]) -> bool {
    let begins = [Keyword::CREATE, Keyword::ALTER, Keyword::DROP];
    tokens.first().is_some_and(|first| begins.iter().any(|keyword| is_word(first, *keyword)))
        && tokens.iter().take(4).any(|token| is_word(token, Keyword::TABLE))
}

fn text_of(tokens: &[Token]) -> String {
    tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str, db: Database) -> Tables {
        let mut tables = Tables::default();
        tables.read(sql, db);
        tables
    }

    fn names(sql: &str, db: Database) -> Vec<String> {
        let columns =
            |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(" ");
        read(sql, db).iter().map(|table| format!("{}: {}", table.name, columns(table))).collect()
    }

    #[test]
    fn common_forms_of_sql_are_read() {
        let sql = "
            create table if not exists users (
                id INTEGER PRIMARY KEY, -- the number; and no more
                balance numeric(10, 2) DEFAULT 0,
                note TEXT DEFAULT 'a, b;)', /* CREATE TABLE c (id int); */
                CONSTRAINT unique_note UNIQUE (note)
            );
            CREATE TABLE public.posts (id int);
            ALTER TABLE users ADD COLUMN email TEXT;
            CREATE TABLE IF NOT EXISTS users (other int);
            CREATE TEMP TABLE t (id int);
            CREATE TABLE gone (id int); DROP TABLE gone;
            CREATE INDEX i ON users (id);";
        for db in [Database::Sqlite, Database::Postgres] {
            assert_eq!(names(sql, db), ["users: id balance note email", "posts: id"], "{db:?}");
        }
    }

    #[test]
    fn later_migrations_are_applied() {
        let made = "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT NOT NULL, age int);";
        for (then, left) in [
            ("DROP TABLE IF EXISTS users;", vec![]),
            ("ALTER TABLE users RENAME TO people;", vec!["people: id mail age"]),
            (
                "ALTER TABLE users RENAME COLUMN mail TO email; ALTER TABLE users DROP COLUMN age;",
                vec!["users: id email"],
            ),
            (
                "CREATE TABLE u2 (id INTEGER PRIMARY KEY); INSERT INTO u2 SELECT id FROM users; DROP TABLE users;
                 ALTER TABLE u2 RENAME TO users;",
                vec!["users: id"],
            ),
        ] {
            for db in [Database::Sqlite, Database::Postgres] {
                assert_eq!(names(&format!("{made}{then}"), db), left, "{then} {db:?}");
            }
        }
    }

    #[test]
    fn types_and_constraints_change_too() {
        let tables = read(
            "CREATE TABLE users (id serial, email varchar(100), name text NOT NULL, PRIMARY KEY (id));
             ALTER TABLE users ALTER COLUMN id TYPE bigint, ALTER COLUMN email SET NOT NULL, ALTER name SET DEFAULT '';
             ALTER TABLE ONLY users ALTER COLUMN email SET DATA TYPE text COLLATE \"C\";
             ALTER TABLE users ADD CONSTRAINT one UNIQUE (email);",
            Database::Postgres,
        );
        let users = tables.get("users").expect("users");
        let column = |name| users.column(name).expect("a column");
        assert_eq!((column("id").ty.as_str(), column("id").has_default), ("bigint", true));
        assert_eq!((column("email").ty.as_str(), column("email").collation.as_deref()), ("text", Some("C")));
        assert!(column("email").is_required() && !column("name").is_required());
        assert!(users.is_key("id") && users.is_key("email") && !users.is_key("name"));
    }

    #[test]
    fn quoted_names_and_schemas_are_distinguished() {
        let sql =
            "CREATE TABLE \"Users\" (\"Id\" int); CREATE TABLE auth.users (id int); CREATE TABLE main.posts (id int);";
        assert_eq!(names(sql, Database::Postgres), ["Users: Id", "auth.users: id", "posts: id"]);
        assert_eq!(names("CREATE TABLE [Users] (`Id` int);", Database::Sqlite), ["users: id"]);
    }

    #[test]
    fn unparsed_statements_are_remembered() {
        let sql = "CREATE TRIGGER t AFTER UPDATE ON users BEGIN UPDATE users SET a = 1; END;
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DROP TABLE users; END $$;
            CREATE TABLE users (id int);
            ALTER TABLE users FROBNICATE email;
            CREATE TABLE copy AS SELECT * FROM users;";
        let tables = read(sql, Database::Postgres);
        assert_eq!(tables.unreadable("users"), Some("ALTER TABLE users FROBNICATE email"));
        assert_eq!(tables.unreadable("posts"), None);
        assert!(tables.get("copy").is_some_and(|table| table.is_copy));
        assert!(tables.get("users").is_some_and(|table| !table.is_copy));
    }

    #[test]
    fn ids_that_are_never_reused_are_known() {
        for (definition, is_autoincrement) in
            [("INTEGER PRIMARY KEY", false), ("INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", true), ("BLOB", false)]
        {
            let tables = read(&format!("CREATE TABLE t (id {definition});"), Database::Sqlite);
            let id = tables.get("t").and_then(|table| table.column("id")).expect("a column");
            assert_eq!(id.is_autoincrement, is_autoincrement, "{definition}");
        }
    }

    #[test]
    fn required_columns_are_found() {
        let is_required = |definition: &str, db| {
            let tables = read(&format!("CREATE TABLE t (a {definition});"), db);
            tables.get("t").and_then(|table| table.column("a")).expect("a column").is_required()
        };
        assert!(is_required("TEXT NOT NULL", Database::Sqlite));
        assert!(is_required("bigint PRIMARY KEY", Database::Postgres), "it doesn't generate its values");
        for definition in
            ["TEXT", "TEXT NOT NULL DEFAULT ''", "bigserial NOT NULL", "bigint GENERATED ALWAYS AS IDENTITY"]
        {
            assert!(!is_required(definition, Database::Postgres), "{definition}");
        }
        assert!(!is_required("INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", Database::Sqlite));
    }
}
