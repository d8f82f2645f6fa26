//! Why the host's migrations can't take ours in.

use std::{io, path::PathBuf};

use super::{paths::quoted, runs::Tool};
use crate::system::{cargo::MetadataError, questions::QuestionError};

/// Why the host's migrations or its table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("`{path}` can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "`{path}` can't be marked as changed, so that Cargo compiles the new migration in: {error}. Save it once more"
    )]
    Untouchable { path: PathBuf, error: io::Error },
    #[error("can't list the packages of the workspace: {0}")]
    Workspace(#[from] MetadataError),
    #[error(
        "there are migrations in {folders}: say where those of accounts belong, as in `--migrations {first}`",
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
        "the table `{table}`, which your migrations make, can't be one of users:{reasons}\nOr let accounts have a table beside it: \
         `--user Member --table members`",
        reasons = .reasons.iter().map(|reason| format!("\n  - {reason}")).collect::<String>()
    )]
    Unusable { table: String, reasons: Vec<String> },
    #[error(
        "what your migrations make of the table `{table}` can't be told, for this statement is not understood: `{statement}`. Let \
         accounts have a table beside it: `--user Member --table members`"
    )]
    Riddle { table: String, statement: String },
    #[error(
        "your migrations make a table `{0}`, and accounts need one of that name for themselves: rename yours first"
    )]
    Taken(String),
    #[error(
        "in the database of DATABASE_URL these rows of `{table}` have the same address but for capital letters: {ids}. Merge them first"
    )]
    SameAddress { table: String, ids: String },
    #[error("the migration of accounts can't be run after yours: {0}")]
    Fails(String),
    #[error(transparent)]
    Question(#[from] QuestionError),
}
