//! Finds the tables that migrations create.

use sqlparser::{
    ast::{
        AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateTable,
        ForeignKeyConstraint, Ident, ObjectType, ReferentialAction, RenameTableNameKind, Statement, TableConstraint,
    },
    keywords::Keyword,
    tokenizer::Token,
};

use super::{
    names::Names,
    statements::{is_word, parsed, statements},
};
use crate::plan::choices::Database;

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
    /// Its foreign keys.
    pub references: Vec<Reference>,
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

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name of the constraint, which PostgreSQL makes up if none is given.
    pub name: String,
    pub columns: Vec<String>,
    /// The table that it refers to.
    pub table: String,
    /// Whether a row there can't be deleted while one here refers to it.
    pub keeps: bool,
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
                    let old = std::mem::replace(&mut name, names.of(&new));
                    table.name.clone_from(&name);
                    let references = self.tables.iter_mut().flat_map(|table| &mut table.references);
                    references.filter(|it| it.table == old).for_each(|it| it.table.clone_from(&name));
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
            references: Vec::new(),
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
        for option in &column.options {
            if let ColumnOption::ForeignKey(key) = &option.option {
                self.refer(key, option.name.as_ref(), vec![added.name.clone()], names);
            }
        }
        self.columns.retain(|other| other.name != added.name);
        self.columns.push(added);
    }

    fn constrain(&mut self, constraint: &TableConstraint, names: Names) {
        let (columns, is_primary) = match constraint {
            TableConstraint::PrimaryKey(key) => (&key.columns, true),
            TableConstraint::Unique(key) => (&key.columns, false),
            TableConstraint::ForeignKey(key) => {
                let columns = key.columns.iter().map(|column| names.ident(column)).collect();
                return self.refer(key, key.name.as_ref(), columns, names);
            }
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

    fn refer(&mut self, key: &ForeignKeyConstraint, name: Option<&Ident>, columns: Vec<String>, names: Names) {
        let name = name.map_or_else(|| format!("{}_{}_fkey", self.name, columns.join("_")), |name| names.ident(name));
        let keeps = matches!(key.on_delete, None | Some(ReferentialAction::NoAction | ReferentialAction::Restrict));
        self.references.push(Reference { name, columns, table: names.of(&key.foreign_table), keeps });
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
                self.references.retain(|it| !it.columns.iter().any(|column| dropped.contains(column)));
            }
            AlterTableOperation::DropConstraint { name, .. } => {
                let name = names.ident(&name);
                self.references.retain(|it| it.name != name);
            }
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                let (old, new) = (names.ident(&old_name), names.ident(&new_name));
                self.references.iter_mut().filter(|it| it.name == old).for_each(|it| it.name.clone_from(&new));
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                let (old, new) = (names.ident(&old_column_name), names.ident(&new_column_name));
                let columns = self.columns.iter_mut().map(|column| &mut column.name);
                let referring = self.references.iter_mut().flat_map(|it| &mut it.columns);
                let keys = self.keys.iter_mut().flatten();
                for name in columns.chain(keys).chain(referring).filter(|name| **name == old) {
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
    fn foreign_keys_are_read() {
        let kept = |sql: &str| {
            let tables = read(sql, Database::Postgres);
            let all = tables.iter().flat_map(|table| &table.references);
            let kept = all.filter(|it| it.keeps).map(|it| format!("{} {} {}", it.name, it.columns.join(" "), it.table));
            kept.collect::<Vec<_>>()
        };
        let users = "CREATE TABLE users (id bigint PRIMARY KEY, boss bigint REFERENCES users);";
        let boss = "users_boss_fkey boss users";
        for (sql, found) in [
            ("CREATE TABLE a (b bigint REFERENCES users (id))", vec![boss, "a_b_fkey b users"]),
            ("CREATE TABLE a (b bigint CONSTRAINT c REFERENCES public.users)", vec![boss, "c b users"]),
            ("CREATE TABLE a (b int, c int, FOREIGN KEY (b, c) REFERENCES d (e, f))", vec![boss, "a_b_c_fkey b c d"]),
            ("CREATE TABLE a (b bigint REFERENCES users ON DELETE RESTRICT)", vec![boss, "a_b_fkey b users"]),
            ("CREATE TABLE a (b bigint REFERENCES users ON DELETE CASCADE)", vec![boss]),
            ("CREATE TABLE a (b bigint, FOREIGN KEY (b) REFERENCES users ON DELETE SET NULL)", vec![boss]),
            ("ALTER TABLE users DROP COLUMN boss", vec![]),
            ("ALTER TABLE users RENAME COLUMN boss TO chief", vec!["users_boss_fkey chief users"]),
            ("ALTER TABLE users RENAME TO people", vec!["users_boss_fkey boss people"]),
            (
                "ALTER TABLE users RENAME CONSTRAINT users_boss_fkey TO b; ALTER TABLE users DROP CONSTRAINT b,
                 ADD FOREIGN KEY (boss) REFERENCES users (id) ON DELETE SET NULL",
                vec![],
            ),
        ] {
            assert_eq!(kept(&format!("{users}{sql};")), found, "{sql}");
        }
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
