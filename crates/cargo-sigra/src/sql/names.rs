//! Names in SQL, in the form that a database compares.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use crate::plan::choices::Database;

/// Schemas of names that are written without one.
const DEFAULT_SCHEMAS: [&str; 2] = ["public", "main"];

/// How a database compares names: SQLite ignores case, and PostgreSQL does so unless the name is quoted.
#[derive(Clone, Copy)]
pub struct Names(pub Database);

impl Names {
    pub fn is_sqlite(self) -> bool {
        self.0 == Database::Sqlite
    }

    pub fn ident(self, ident: &Ident) -> String {
        if self.is_sqlite() || ident.quote_style.is_none() {
            ident.value.to_ascii_lowercase()
        } else {
            ident.value.clone()
        }
    }

    /// Returns a name with its schema, unless that is a default one.
    pub fn of(self, name: &ObjectName) -> String {
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
    pub fn fold(self, written: &str) -> String {
        let bare = written.trim_matches(['"', '`', '[', ']']);
        if self.is_sqlite() || bare == written { bare.to_ascii_lowercase() } else { bare.to_owned() }
    }
}
