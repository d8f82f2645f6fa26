//! `cargo sigra gen migration`.

use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    cli::arguments::Migration,
    host::{
        edits::{Edit, EditError, Transaction},
        migrations::newest,
    },
    manifest::{Manifest, ManifestError},
    plan::{migrations::Migrations, names::is_snake_case},
    system::{
        json::{self, JsonError},
        terminal,
    },
};

/// Why no migration was created.
#[derive(Debug, thiserror::Error)]
pub enum NewMigrationError {
    #[error("`{0}` is not a valid name: use lowercase letters, digits and `_`, such as `add_name_to_users`")]
    Name(String),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// The result as JSON.
#[derive(Serialize)]
struct Report {
    created: Vec<String>,
}

pub fn run(args: &Migration) -> Result<(), NewMigrationError> {
    if !is_snake_case(&args.name) {
        return Err(NewMigrationError::Name(args.name.clone()));
    }
    let root = Path::new(".");
    let migrations = Manifest::read(root)?.migrations;
    let newest = newest(&root.join(&migrations.folder));
    let edits = edits(&Migrations { newest, ..migrations }, &args.name, now());
    Transaction::prepare(root, &edits)?.commit()?;
    let created: Vec<String> = edits.into_iter().map(|edit| edit.path).collect();
    if args.json {
        return Ok(json::print(&Report { created })?);
    }
    created.iter().for_each(|path| terminal::step("create", path));
    Ok(())
}

fn edits(migrations: &Migrations, name: &str, now: u64) -> Vec<Edit> {
    let path = format!("{}/{}_{name}", migrations.folder, migrations.version(now, 1));
    if migrations.reversible {
        let down = "-- Write the statements that undo the migration here.\n";
        vec![Edit::create(&format!("{path}.up.sql"), FIRST_LINE), Edit::create(&format!("{path}.down.sql"), down)]
    } else {
        vec![Edit::create(&format!("{path}.sql"), FIRST_LINE)]
    }
}

const FIRST_LINE: &str = "-- Write the statements of the migration here.\n";

/// Returns the time as sqlx writes it in the names of migrations: `20260131120000`.
fn now() -> u64 {
    let now = OffsetDateTime::now_utc();
    let parts = [u8::from(now.month()), now.day(), now.hour(), now.minute(), now.second()];
    parts.iter().fold(u64::from(now.year().unsigned_abs()), |time, part| time * 100 + u64::from(*part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_migration_comes_after_all_others_in_their_numbering() {
        let paths = |after: &str, reversible: bool| {
            let migrations = Migrations { after: Some(after.to_owned()), reversible, ..Migrations::default() };
            edits(&migrations, "add_name", 20_261_126_060_000).into_iter().map(|edit| edit.path).collect::<Vec<_>>()
        };
        assert_eq!(paths("20260101000000", false), ["migrations/20261126060000_add_name.sql"]);
        assert_eq!(paths("20270101000000", false), ["migrations/20270101000001_add_name.sql"]);
        assert_eq!(paths("0009", true), ["migrations/0010_add_name.up.sql", "migrations/0010_add_name.down.sql"]);
    }

    #[test]
    fn the_time_has_the_length_of_a_version() {
        assert_eq!(now().to_string().len(), "20260101000000".len());
    }
}
