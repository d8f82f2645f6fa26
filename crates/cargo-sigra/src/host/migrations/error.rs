//! Errors of the host's migrations.

use std::{io, path::PathBuf};

use super::{paths::quoted, runs::Tool};
use crate::{
    plan::choices::Database,
    sql::objects::{Kind, Object},
    system::{cargo::MetadataError, questions::QuestionError},
};

/// Why the host's migrations or its users table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("can't read `{path}`: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("can't touch `{path}` so that Cargo includes the new migration: {error}. Save the file yourself")]
    Untouchable { path: PathBuf, error: io::Error },
    #[error("can't list the packages of the workspace: {0}")]
    Workspace(#[from] MetadataError),
    #[error(
        "there are migrations in {folders}: choose the folder for those of accounts, such as `--migrations {first}`",
        folders = quoted(.0),
        first = .0.first().map(String::as_str).unwrap_or_default()
    )]
    Several(Vec<String>),
    #[error(
        "{0} creates the tables of this application, and its migrations can't include those of accounts. Give accounts a separate folder, such \
         as `--migrations sql`. If there is already a users table, choose other names too: `--user Member --table members`"
    )]
    OtherTool(Tool),
    #[error("`{0}` contains migrations of Diesel: give accounts a separate folder, such as `--migrations sql`")]
    OfDiesel(String),
    #[error(
        "the table `{table}`, which your migrations create, can't be the users table:{reasons}\nOr give accounts a separate table: \
         `--user Member --table members`",
        reasons = .reasons.iter().map(|reason| format!("\n  - {reason}")).collect::<String>()
    )]
    Unusable { table: String, reasons: Vec<String> },
    #[error(
        "your migrations change the table `{table}` with a statement that can't be parsed: `{statement}`. Give accounts a separate table: `--user Member --table members`"
    )]
    Unparsed { table: String, statement: String },
    #[error("your migrations create a table `{0}`, but accounts need that name: rename yours first")]
    Taken(String),
    #[error(
        "your migrations create {what} `{name}`, but accounts need that name: first write `{fix}` in a migration of your own"
    )]
    NameTaken { what: &'static str, name: String, fix: String },
    #[error(
        "in the database of DATABASE_URL, these rows of `{table}` have email addresses that differ only in case: {ids}. Merge them first"
    )]
    SameAddress { table: String, ids: String },
    #[error("the accounts migration fails after yours: {0}")]
    Fails(String),
    #[error(transparent)]
    Question(#[from] QuestionError),
}

impl MigrationError {
    /// Returns the error about an index, a constraint or a function of the host with a name that accounts need.
    pub fn of_name(taken: &Object, db: Database) -> Self {
        let Object { kind, name, table } = taken;
        let (what, fix) = match (kind, db) {
            (Kind::Index, Database::Sqlite) => {
                ("an index", format!("DROP INDEX {name}; CREATE INDEX {table}_… ON {table} (…);"))
            }
            (Kind::Index, Database::Postgres) => ("an index", format!("ALTER INDEX {name} RENAME TO …;")),
            (Kind::Constraint, _) => ("a constraint", format!("ALTER TABLE {table} RENAME CONSTRAINT {name} TO …;")),
            (Kind::Function, _) => ("a function", format!("ALTER FUNCTION {name} RENAME TO …;")),
        };
        Self::NameTaken { what, name: name.clone(), fix }
    }
}
