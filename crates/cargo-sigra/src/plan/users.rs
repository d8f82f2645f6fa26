//! The names of users: `User` and `users`, or others that the application chooses.

use serde::{Deserialize, Serialize};

use super::{
    names::{self, NameError},
    sql_words,
};

/// Prefixes of table names that databases reserve.
const OF_DATABASES: [&str; 2] = ["pg_", "sqlite_"];

/// The longest table name. PostgreSQL truncates names after 63 characters, and names of indexes are longer than the
/// table's.
const MAX_TABLE: usize = 40;

/// The names of one user and of all users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNames {
    /// The type: `User`.
    pub singular: String,
    /// The table, and the first part of all paths: `users`.
    pub plural: String,
}

impl Default for UserNames {
    fn default() -> Self {
        Self { singular: "User".to_owned(), plural: "users".to_owned() }
    }
}

impl UserNames {
    /// Parses `--user Member --table members`. The default table is the plural of the type.
    pub fn parse(singular: &str, plural: Option<&str>) -> Result<Self, NameError> {
        let is_type = singular.starts_with(|c: char| c.is_ascii_uppercase())
            && singular.chars().all(|c| c.is_ascii_alphanumeric())
            && singular != "Self";
        if !is_type {
            return Err(NameError::Type(singular.to_owned()));
        }
        let plural = plural.map_or_else(|| format!("{}s", snake_case(singular)), str::to_owned);
        let is_table = names::is_snake_case(&plural)
            && !plural.contains("__")
            && !plural.ends_with('_')
            && plural.len() <= MAX_TABLE;
        let names = Self { singular: singular.to_owned(), plural };
        if !is_table {
            return Err(NameError::Table(names.plural));
        }
        if names::is_keyword(&names.snake()) {
            return Err(NameError::TypeOfRust { name: names.singular.clone(), word: names.snake() });
        }
        if OF_DATABASES.iter().any(|of_database| names.plural.starts_with(of_database)) {
            return Err(NameError::TableOfDatabase(names.plural));
        }
        Ok(names)
    }

    /// Returns the table's name for SQL, quoted if necessary.
    pub fn in_sql(&self) -> String {
        self.quoted("\"")
    }

    /// Returns the table's name for SQL in a string of Rust.
    pub fn in_rust(&self) -> String {
        self.quoted("\\\"")
    }

    fn quoted(&self, quote: &str) -> String {
        if sql_words::is_reserved(&self.plural) {
            format!("{quote}{}{quote}", self.plural)
        } else {
            self.plural.clone()
        }
    }

    /// Returns whether the table has the library's default name.
    pub fn has_users_table(&self) -> bool {
        self.plural == "users"
    }

    /// Returns `team_member` for `TeamMember`.
    pub fn snake(&self) -> String {
        snake_case(&self.singular)
    }
}

/// Returns `team_member` for `TeamMember`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_names_are_refused() {
        for (singular, plural) in [
            ("member", None),
            ("Team Member", None),
            ("Member", Some("Members")),
            ("Member", Some("mem bers")),
            ("Member", Some("_members")),
            ("Member", Some("team__members")),
            ("Member", Some("members_")),
            ("Member", Some("pg_class")),
            ("Member", Some("sqlite_members")),
            ("Member", Some("a_name_that_is_longer_than_a_database_takes")),
            ("Type", None),
            ("Gen", None),
            ("", None),
            ("Self", None),
        ] {
            assert!(UserNames::parse(singular, plural).is_err(), "{singular} {plural:?}");
        }
    }
}
