//! Why the host's migrations can't take ours in.

use std::{io, path::PathBuf};

use super::{paths::quoted, runs::Tool};
use crate::system::{cargo::MetadataError, questions::QuestionError};

/// Why the host's migrations or its table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("can't read `{path}`: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "`{path}` can't be marked as changed, so that Cargo compiles the new migration in: {error}. Save it once more"
    )]
    Untouchable { path: PathBuf, error: io::Error },
    #[error("can't list the packages of the workspace: {0}")]
    Workspace(#[from] MetadataError),
    #[error(
        "there are migrations in {folders}: choose the folder for those of accounts, as in `--migrations {first}`",
        folders = quoted(.0),
        first = .0.first().map(String::as_str).unwrap_or_default()
    )]
    Several(Vec<String>),
    #[error(
        "{0} makes the tables of this application, and its migrations can't hold those of accounts. Give them a folder of their own, as \
         in `--migrations sql`; if there is a table of users already, other names too: `--user Member --table members`"
    )]
    OtherTool(Tool),
    #[error("`{0}` holds migrations of Diesel: give those of accounts a folder of their own, as in `--migrations sql`")]
    OfDiesel(String),
    #[error(
        "the table `{table}`, which your migrations create, can't be the users table:{reasons}\nOr give accounts a table of their own: \
         `--user Member --table members`",
        reasons = .reasons.iter().map(|reason| format!("\n  - {reason}")).collect::<String>()
    )]
    Unusable { table: String, reasons: Vec<String> },
    #[error(
        "can't tell what your migrations make of the table `{table}` because of this statement: `{statement}`. Give accounts a table of their own: `--user Member --table members`"
    )]
    Riddle { table: String, statement: String },
    #[error("your migrations create a table `{0}`, but accounts need a table of that name: rename yours first")]
    Taken(String),
    #[error(
        "in the database of DATABASE_URL, these rows of `{table}` have addresses that differ only in case: {ids}. Merge them first"
    )]
    SameAddress { table: String, ids: String },
    #[error("the accounts migration fails after yours: {0}")]
    Fails(String),
    #[error(transparent)]
    Question(#[from] QuestionError),
}
