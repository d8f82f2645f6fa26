//! Finds the folder of the host's migrations, and whether the host runs them itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    error::MigrationError,
    paths::{distinct, normalized, shown},
    runs::{self, Tool},
    workspace::{self, Member},
};
use crate::{
    plan::migrations::{name, version, written_version},
    system::{questions, text_file::TextFile},
};

/// The default folder of `sqlx`.
const DEFAULT: &str = "migrations";

#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    pub workspace: PathBuf,
    /// The host's files that run these migrations.
    pub run_by: Vec<PathBuf>,
    /// All source files of the package.
    pub sources: Vec<PathBuf>,
    /// Folders of Diesel, whose migrations create tables too.
    pub of_diesel: Vec<PathBuf>,
}

/// Returns the folder of `--migrations`, or the only possible one.
pub fn find(root: &Path, asked: Option<&Path>, can_ask: bool) -> Result<Folder, MigrationError> {
    let members = workspace::members(root)?;
    let own = workspace::dependencies_of(&members, root);
    let mut of_diesel = Vec::new();
    let mut other_tool = None;
    for member in &own {
        for tool in Tool::of(member) {
            of_diesel.extend(tool.folders(&member.root).into_iter().filter(|path| is_of_diesel(path)));
            other_tool = Some(tool);
        }
    }
    let runs: Vec<_> = members.iter().flat_map(runs::of).collect();
    let is_own = |path: &Path| own.iter().any(|member| path.starts_with(&member.root));
    let path = match asked {
        Some(asked) => {
            let path = normalized(&root.join(asked));
            if is_of_diesel(&path) {
                return Err(MigrationError::OfDiesel(shown(root, &path)));
            }
            path
        }
        None => {
            let run: Vec<PathBuf> =
                distinct(runs.iter().filter(|run| is_own(&run.source)).map(|run| run.folder.clone()));
            let found = if run.is_empty() { unclear(root, &members, &own, &runs, other_tool)? } else { run };
            chosen(root, found, can_ask)?
        }
    };
    let run_by = runs.iter().filter(|run| run.folder == path).map(|run| run.source.clone()).collect();
    let workspace = members.first().map_or_else(|| root.to_owned(), |member| member.workspace.clone());
    of_diesel.sort();
    of_diesel.dedup();
    let sources = own.iter().flat_map(|member| runs::sources(&member.root)).collect();
    Ok(Folder { path, workspace, run_by, sources, of_diesel })
}

/// Returns the possible folders if no dependency of the package runs migrations. Those in the default places may be run
/// from a shell.
fn unclear(
    root: &Path,
    members: &[Member],
    own: &[&Member],
    runs: &[runs::Run],
    other_tool: Option<Tool>,
) -> Result<Vec<PathBuf>, MigrationError> {
    let default = normalized(&root.join(DEFAULT));
    let of_own = own.iter().map(|member| member.root.join(DEFAULT)).filter(|path| has_sql(path));
    let of_own = distinct(of_own);
    if !of_own.is_empty() {
        return Ok(of_own);
    }
    if let Some(tool) = other_tool {
        return Err(MigrationError::OtherTool(tool));
    }
    let of_others = members.iter().map(|member| member.root.join(DEFAULT)).filter(|path| has_sql(path));
    let is_in_workspace = |folder: &&Path| members.iter().any(|member| folder.starts_with(&member.workspace));
    let around = root.ancestors().skip(1).take_while(is_in_workspace);
    let around = around.map(|folder| folder.join(DEFAULT)).filter(|path| has_sql(path));
    let others = distinct(of_others.chain(around).chain(runs.iter().map(|run| run.folder.clone())));
    if others.is_empty() { Ok(vec![default]) } else { Err(several(root, others.into_iter().chain([default]))) }
}

fn chosen(root: &Path, mut found: Vec<PathBuf>, can_ask: bool) -> Result<PathBuf, MigrationError> {
    if found.len() > 1 {
        if !can_ask {
            return Err(several(root, found));
        }
        let folders = found.iter().map(|path| shown(root, path)).collect();
        return Ok(
            found.swap_remove(questions::choose("Which folder should the migrations of accounts go to?", folders)?)
        );
    }
    Ok(found.swap_remove(0))
}

fn several(root: &Path, folders: impl IntoIterator<Item = PathBuf>) -> MigrationError {
    MigrationError::Several(folders.into_iter().map(|path| shown(root, &path)).collect())
}

fn has_sql(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|entry| entry.path()).any(|path| path.is_file() && path.extension().is_some_and(|end| end == "sql"))
}

/// Returns whether a folder has subfolders with an `up.sql`.
fn is_of_diesel(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| entry.path().join("up.sql").is_file())
}

/// Returns the migrations of sqlx that a start runs, and those of Diesel, oldest first.
pub fn files(folder: &Path) -> Result<Vec<(PathBuf, String)>, MigrationError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(MigrationError::Unreadable { path: folder.to_owned(), error }),
    };
    let is_run = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() || name.ends_with(".sql") && !name.ends_with(".down.sql") && version(path).is_some()
    };
    let mut paths: Vec<PathBuf> = entries.filter(is_run).collect();
    paths.sort_by_key(|path| (version(path), path.clone()));
    let files = paths.into_iter().map(|path| if path.is_dir() { path.join("up.sql") } else { path });
    files
        .filter(|path| path.is_file())
        .map(|path| match TextFile::read(&path) {
            Ok(file) => Ok((path, file.text)),
            Err(error) => Err(MigrationError::Unreadable { path, error }),
        })
        .collect()
}

/// Returns the version of the newest migration in a folder, as written in its name.
pub fn newest(folder: &Path) -> Option<String> {
    written_version(&of_sqlx(folder).max_by_key(|path| version(path))?)
}

/// Returns another migration with the version of this one, which sqlx couldn't tell apart.
pub fn with_version_of(migration: &Path) -> Option<PathBuf> {
    let is_same = |path: &PathBuf| version(path) == version(migration) && name(path) != name(migration);
    of_sqlx(migration.parent()?).find(is_same)
}

/// Returns the files of migrations in a folder.
fn of_sqlx(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "sql") && version(path).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_shown_as_seen_from_the_package() {
        let root = Path::new("/shop/crates/server");
        for (path, seen) in [
            ("/shop/crates/server/migrations", "migrations"),
            ("/shop/crates/db/migrations", "../db/migrations"),
            ("/shop/migrations", "../../migrations"),
        ] {
            assert_eq!(shown(root, Path::new(path)), seen);
            assert_eq!(normalized(&root.join(seen)), Path::new(path));
        }
    }

    #[test]
    fn the_newest_migration_in_a_folder_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest(folder.path()), None);
        for name in ["0001_a.up.sql", "0001_a.down.sql", "0010_b.up.sql", "0002_c.up.sql", "README.md"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        assert_eq!(newest(folder.path()).as_deref(), Some("0010"));
    }

    #[test]
    fn two_migrations_with_one_version_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["0001_a.up.sql", "0001_a.down.sql", "0002_b.sql"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let other = |name: &str| with_version_of(&folder.path().join(name));
        assert_eq!(other("0002_c.sql"), Some(folder.path().join("0002_b.sql")));
        assert_eq!(other("2_c.sql"), Some(folder.path().join("0002_b.sql")), "versions are numbers");
        assert_eq!(other("0001_a.up.sql"), None);
        assert_eq!(other("0003_c.sql"), None);
    }
}
