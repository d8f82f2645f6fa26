//! Finds the indexes, constraints and functions that migrations create: two can't have one name, whatever their tables.

use sqlparser::ast::{
    AlterFunctionOperation, AlterIndexOperation, AlterTable, AlterTableOperation, ColumnOption, CreateTable, Ident,
    ObjectType, RenameTableNameKind, Statement, TableConstraint,
};

use super::{
    names::Names,
    statements::{parsed, statements},
};
use crate::plan::choices::Database;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Index,
    /// A primary key or unique constraint, which has an index of its name on PostgreSQL.
    Constraint,
    Function,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub kind: Kind,
    pub name: String,
    /// The table of an index or a constraint.
    pub table: String,
}

/// All of them, in the order of their creation.
#[derive(Debug, Default)]
pub struct Objects(Vec<Object>);

impl Objects {
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    /// Returns the object that has the name of another one.
    pub fn with_name_of(&self, other: &Object) -> Option<&Object> {
        let is_function = |object: &Object| object.kind == Kind::Function;
        self.0.iter().find(|own| own.name == other.name && is_function(own) == is_function(other))
    }

    /// Adds the effects of a file.
    pub fn read(&mut self, sql: &str, db: Database) {
        for (statement, _) in statements(sql, db).iter().filter_map(|tokens| parsed(tokens, db)) {
            self.apply(statement, Names(db));
        }
    }

    fn apply(&mut self, statement: Statement, names: Names) {
        match statement {
            Statement::CreateIndex(index) => {
                if let Some(name) = index.name {
                    self.add(Kind::Index, names.of(&name), names.of(&index.table_name));
                }
            }
            Statement::CreateFunction(function) => self.add(Kind::Function, names.of(&function.name), String::new()),
            Statement::CreateTable(created) if !created.temporary => self.create(&created, names),
            Statement::AlterTable(altered) => self.alter(altered, names),
            Statement::AlterIndex { name, operation: AlterIndexOperation::RenameIndex { index_name } } => {
                self.rename(&names.of(&name), names.of(&index_name));
            }
            Statement::AlterFunction(altered) => {
                if let AlterFunctionOperation::RenameTo { new_name } = altered.operation {
                    self.rename(&names.of(&altered.function.name), names.ident(&new_name));
                }
            }
            Statement::DropFunction(dropped) => {
                let dropped: Vec<_> = dropped.func_desc.iter().map(|function| names.of(&function.name)).collect();
                self.0.retain(|object| object.kind != Kind::Function || !dropped.contains(&object.name));
            }
            Statement::Drop { object_type: ObjectType::Index, names: dropped, .. } => {
                let dropped: Vec<_> = dropped.iter().map(|name| names.of(name)).collect();
                self.0.retain(|object| object.kind != Kind::Index || !dropped.contains(&object.name));
            }
            Statement::Drop { object_type: ObjectType::Table, names: dropped, .. } => {
                let dropped: Vec<_> = dropped.iter().map(|name| names.of(name)).collect();
                self.0.retain(|object| !dropped.contains(&object.table));
            }
            _ => {}
        }
    }

    fn add(&mut self, kind: Kind, name: String, table: String) {
        self.0.push(Object { kind, name, table });
    }

    fn rename(&mut self, old: &str, new: String) {
        self.0.iter_mut().filter(|object| object.name == old).for_each(|object| object.name.clone_from(&new));
    }

    fn create(&mut self, created: &CreateTable, names: Names) {
        let table = names.of(&created.name);
        let is_key = |option: &ColumnOption| matches!(option, ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_));
        let options = created.columns.iter().flat_map(|column| &column.options);
        let of_columns = options.filter(|option| is_key(&option.option)).filter_map(|option| option.name.as_ref());
        let of_table = created.constraints.iter().filter_map(name_of);
        for name in of_columns.chain(of_table) {
            self.constrain(name, table.clone(), names);
        }
    }

    /// On SQLite, the index of a constraint doesn't have its name.
    fn constrain(&mut self, name: &Ident, table: String, names: Names) {
        if !names.is_sqlite() {
            self.add(Kind::Constraint, names.ident(name), table);
        }
    }

    fn alter(&mut self, altered: AlterTable, names: Names) {
        let table = names.of(&altered.name);
        for operation in altered.operations {
            match operation {
                AlterTableOperation::AddConstraint { constraint, .. } => {
                    if let Some(name) = name_of(&constraint) {
                        self.constrain(name, table.clone(), names);
                    }
                }
                AlterTableOperation::DropConstraint { name, .. } => {
                    let name = names.ident(&name);
                    self.0.retain(|object| object.table != table || object.name != name);
                }
                AlterTableOperation::RenameConstraint { old_name, new_name } => {
                    self.rename(&names.ident(&old_name), names.ident(&new_name));
                }
                AlterTableOperation::RenameTable {
                    table_name: RenameTableNameKind::To(new) | RenameTableNameKind::As(new),
                } => {
                    let of_table = self.0.iter_mut().filter(|object| object.table == table);
                    of_table.for_each(|object| object.table = names.of(&new));
                }
                _ => {}
            }
        }
    }
}

fn name_of(constraint: &TableConstraint) -> Option<&Ident> {
    match constraint {
        TableConstraint::PrimaryKey(key) => key.name.as_ref(),
        TableConstraint::Unique(key) => key.name.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str, db: Database) -> Vec<String> {
        let mut objects = Objects::default();
        objects.read(sql, db);
        objects.iter().map(|object| object.name.clone()).collect()
    }

    #[test]
    fn names_are_those_after_all_migrations() {
        let made = "CREATE TABLE users (id bigint, email text CONSTRAINT one UNIQUE, CONSTRAINT key PRIMARY KEY (id));
            CREATE INDEX \"Two\" ON users (email);
            CREATE UNIQUE INDEX IF NOT EXISTS three ON public.users (lower(email)) WHERE id > 0;
            CREATE FUNCTION four() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;";
        for (then, left) in [
            ("", vec!["one", "key", "Two", "three", "four"]),
            ("DROP INDEX three; DROP FUNCTION four();", vec!["one", "key", "Two"]),
            ("ALTER INDEX three RENAME TO users_lower;", vec!["one", "key", "Two", "users_lower", "four"]),
            ("ALTER FUNCTION four() RENAME TO five;", vec!["one", "key", "Two", "three", "five"]),
            (
                "ALTER TABLE users RENAME CONSTRAINT one TO first, DROP CONSTRAINT key, ADD CONSTRAINT id PRIMARY KEY (id);",
                vec!["first", "Two", "three", "four", "id"],
            ),
            ("ALTER TABLE users RENAME TO people; DROP TABLE people;", vec!["four"]),
        ] {
            assert_eq!(names(&format!("{made}{then}"), Database::Postgres), left, "{then}");
        }
        let of_sqlite = "CREATE TABLE users (id INTEGER CONSTRAINT one PRIMARY KEY); CREATE INDEX Two ON users (id);";
        assert_eq!(names(of_sqlite, Database::Sqlite), ["two"]);
    }

    #[test]
    fn a_function_and_an_index_can_have_one_name() {
        let object = |kind| Object { kind, name: "a".to_owned(), table: String::new() };
        let objects = Objects(vec![object(Kind::Constraint)]);
        assert!(objects.with_name_of(&object(Kind::Index)).is_some());
        assert!(objects.with_name_of(&object(Kind::Function)).is_none());
    }
}
