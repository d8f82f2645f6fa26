//! Where the migrations of an application are, and who runs them.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The folder of a new application.
const FOLDER: &str = "migrations";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Migrations {
    /// The folder, seen from the package's: `migrations`, or `../db/migrations`.
    pub folder: String,
    /// The version of the newest that was there before, as it is written: ours come after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether each is a pair of `.up.sql` and `.down.sql`.
    pub reversible: bool,
    /// Whether the application runs them by itself, and accounts must not.
    pub by_host: bool,
}

impl Default for Migrations {
    fn default() -> Self {
        Self { folder: FOLDER.to_owned(), after: None, reversible: false, by_host: false }
    }
}

impl Migrations {
    /// The version of the first of ours, the second and so on, whose own are times. Where others are numbered, it is a
    /// number of the same width.
    pub fn version(&self, own: u64, number: u64) -> String {
        let Some((after, newest)) = self.after.as_ref().and_then(|after| Some((after, after.parse::<u64>().ok()?)))
        else {
            return own.to_string();
        };
        if after.len() < own.to_string().len() {
            format!("{:0width$}", newest + number, width = after.len())
        } else {
            own.max(newest + number).to_string()
        }
    }

    /// Whether a path is one of ours: no migration is ever changed.
    pub fn has(&self, path: &str) -> bool {
        path.strip_prefix(&self.folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// `20260101000000` of `20260101000000_create_users.sql`.
pub fn version(path: &Path) -> Option<u64> {
    written_version(path)?.parse().ok()
}

pub fn written_version(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.split_once('_')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_come_after_the_hosts_in_the_hosts_own_numbering() {
        let after = |after: &str| Migrations { after: Some(after.to_owned()), ..Migrations::default() };
        let own = 20_260_101_000_000;
        assert_eq!(Migrations::default().version(own, 1), "20260101000000");
        assert_eq!(after("20240101000000").version(own, 1), "20260101000000");
        assert_eq!(after("20261231000000").version(own, 2), "20261231000002");
        assert_eq!(after("0007").version(own, 1), "0008");
        assert_eq!(after("9").version(own, 1), "10");
    }

    #[test]
    fn a_folder_is_no_folder_beside_it() {
        let db = Migrations { folder: "../db/migrations".to_owned(), ..Migrations::default() };
        assert!(db.has("../db/migrations/1_a.sql") && !db.has("../db/migrations2/1_a.sql") && !db.has("src/a.rs"));
    }
}
