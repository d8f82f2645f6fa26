//! The folder of an application's migrations, and who runs them.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

/// The folder of a new application.
const FOLDER: &str = "migrations";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Migrations {
    /// The folder, relative to the package: `migrations`, or `../db/migrations`.
    pub folder: String,
    /// The version of the newest migration before ours, as written in its name. Ours come after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether each migration is a pair of `.up.sql` and `.down.sql`.
    pub reversible: bool,
    /// Whether the host runs the migrations, so that accounts must not.
    pub by_host: bool,
    /// The versions of our migrations that were generated before, by the names after them. They stay.
    #[serde(skip)]
    pub ours: BTreeMap<String, String>,
    /// The version of the newest migration in the folder now, which the host may have added since. New ones come after
    /// it.
    #[serde(skip)]
    pub newest: Option<String>,
}

impl Default for Migrations {
    fn default() -> Self {
        Self {
            folder: FOLDER.to_owned(),
            after: None,
            reversible: false,
            by_host: false,
            ours: BTreeMap::new(),
            newest: None,
        }
    }
}

impl Migrations {
    /// Returns the version of our first new migration, the second, and so on. Our own versions are times. If the host
    /// numbers its migrations, returns a number of the same width.
    pub fn version(&self, own: u64, number: u64) -> String {
        let after = self.newest.as_ref().or(self.after.as_ref());
        let Some((after, newest)) = after.and_then(|after| Some((after, after.parse::<u64>().ok()?))) else {
            return own.to_string();
        };
        if after.len() < own.to_string().len() {
            format!("{:0width$}", newest + number, width = after.len())
        } else {
            own.max(newest + number).to_string()
        }
    }

    /// Returns whether a path is in this folder.
    pub fn has(&self, path: &str) -> bool {
        path.strip_prefix(&self.folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Returns `20260101000000` for `20260101000000_create_users.sql`.
pub fn version(path: &Path) -> Option<u64> {
    written_version(path)?.parse().ok()
}

pub fn written_version(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.split_once('_')?.0.to_owned())
}

/// Returns `create_users` for `20260101000000_create_users.up.sql`.
pub fn name(path: &Path) -> Option<&str> {
    let (_, name) = path.file_name()?.to_str()?.split_once('_')?;
    [".up.sql", ".down.sql", ".sql"].iter().find_map(|end| name.strip_suffix(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_migrations_come_after_the_hosts_in_its_numbering() {
        let after = |after: &str| Migrations { after: Some(after.to_owned()), ..Migrations::default() };
        let own = 20_260_101_000_000;
        assert_eq!(Migrations::default().version(own, 1), "20260101000000");
        assert_eq!(after("20240101000000").version(own, 1), "20260101000000");
        assert_eq!(after("20261231000000").version(own, 2), "20261231000002");
        assert_eq!(after("0007").version(own, 1), "0008");
        assert_eq!(after("9").version(own, 1), "10");
        let since = Migrations { newest: Some("0012".to_owned()), ..after("0007") };
        assert_eq!((since.version(own, 1), since.version(own, 2)), ("0013".to_owned(), "0014".to_owned()));
    }

    #[test]
    fn a_folder_with_the_same_prefix_is_another_one() {
        let db = Migrations { folder: "../db/migrations".to_owned(), ..Migrations::default() };
        assert!(db.has("../db/migrations/1_a.sql") && !db.has("../db/migrations2/1_a.sql") && !db.has("src/a.rs"));
    }
}
