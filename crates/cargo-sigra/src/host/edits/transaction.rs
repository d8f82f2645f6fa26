//! Writes files all together: first to temporary files next to them, which are then renamed. The old files are kept
//! until all are renamed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{self, Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile, TempPath};

use super::{
    edit::Edit,
    line_endings,
    obstacle::{Obstacle, Write, write_of},
};
use crate::system::{git, interruption};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("nothing was written: {}", listed(.0))]
    Obstacles(Vec<Obstacle>),
    #[error("can't write `{path}`: {error}. Nothing was changed")]
    Unwritable { path: String, error: io::Error },
    #[error("stopped; nothing was changed")]
    Stopped,
    #[error("{cause}, but some files couldn't be restored: {left}")]
    NotRestored { cause: Box<EditError>, left: String },
}

fn listed(obstacles: &[Obstacle]) -> String {
    match obstacles {
        [obstacle] => obstacle.to_string(),
        _ => obstacles.iter().map(|obstacle| format!("\n  - {obstacle}")).collect(),
    }
}

/// Edits that passed all checks.
#[derive(Debug)]
pub struct Transaction {
    writes: Vec<Write>,
}

impl Transaction {
    /// Checks the edits of a package, and finds all obstacles.
    pub fn prepare<'a>(root: &Path, edits: impl IntoIterator<Item = &'a Edit>) -> Result<Self, EditError> {
        let edits: Vec<&Edit> = edits.into_iter().collect();
        let unwritable = |error| EditError::Unwritable { path: root.display().to_string(), error };
        let root = &path::absolute(root).map_err(unwritable)?;
        let limit = limit(root, &edits).map_err(unwritable)?;
        let paths: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
        let crlf = line_endings::of_new_files(root, &paths);
        let mut writes: BTreeMap<PathBuf, Write> = BTreeMap::new();
        let mut obstacles = Vec::new();
        for edit in edits {
            match write_of(edit, root, &limit, crlf.contains(&*edit.path)) {
                Ok(None) => {}
                Ok(Some(write)) => {
                    let second = edit.path.clone();
                    if let Some(first) = writes.insert(write.target.clone(), write) {
                        obstacles.push(Obstacle::Twice { first: first.path, second });
                    }
                }
                Err(obstacle) => obstacles.push(obstacle),
            }
        }
        if obstacles.is_empty() {
            Ok(Self { writes: writes.into_values().collect() })
        } else {
            Err(EditError::Obstacles(obstacles))
        }
    }

    /// Returns existing files outside the package's folder: behind a link, or elsewhere in the workspace.
    pub fn elsewhere(&self, root: &Path) -> Vec<&Path> {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let there = self.writes.iter().filter(|write| write.is_there);
        there.map(|write| write.target.as_path()).filter(|target| !target.starts_with(&root)).collect()
    }

    /// Writes all files or none.
    pub fn commit(self) -> Result<(), EditError> {
        interruption::watch();
        self.commit_while(|| if interruption::has_come() { Err(EditError::Stopped) } else { Ok(()) })
    }

    fn commit_while(self, mut proceed: impl FnMut() -> Result<(), EditError>) -> Result<(), EditError> {
        let mut staged = Vec::new();
        for write in &self.writes {
            proceed()?;
            staged.push(stage(write).map_err(|error| unwritable(write, error))?);
        }
        let mut done = Done::default();
        for (write, staged) in self.writes.iter().zip(staged) {
            let result = proceed().and_then(|()| done.put(write, staged).map_err(|error| unwritable(write, error)));
            if let Err(cause) = result {
                return Err(done.undo(cause));
            }
        }
        Ok(())
    }
}

/// Returns the folder that links must not leave: the repository or, without one, the folder of all edits.
fn limit(root: &Path, edits: &[&Edit]) -> io::Result<PathBuf> {
    let folder = nearest_folder(&root.join("Cargo.toml")).canonicalize()?;
    if let Some(top) = git::top_level(&folder) {
        return top.canonicalize();
    }
    let up = edits.iter().map(|edit| edit.path.split('/').take_while(|part| *part == "..").count()).max();
    Ok(folder.ancestors().nth(up.unwrap_or_default()).unwrap_or(&folder).to_owned())
}

fn unwritable(write: &Write, error: io::Error) -> EditError {
    EditError::Unwritable { path: write.path.clone(), error }
}

/// Writes the new content to a temporary file, in the same file system as its destination.
fn stage(write: &Write) -> io::Result<Option<NamedTempFile>> {
    let Some(content) = &write.content else { return Ok(None) };
    let mut builder = Builder::new();
    builder.prefix(".sigra-new-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let staged = builder.tempfile_in(nearest_folder(&write.target))?;
    io::Write::write_all(&mut staged.as_file(), content)?;
    if write.is_there {
        let before = fs::metadata(&write.target)?;
        keep_owner(&before, staged.path());
        fs::set_permissions(staged.path(), before.permissions())?;
    }
    Ok(Some(staged))
}

/// Keeps the file's owner when a superuser writes it. Otherwise the package's owner couldn't change it anymore.
#[cfg(unix)]
fn keep_owner(before: &fs::Metadata, path: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    let _ = chown(path, Some(before.uid()), Some(before.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &fs::Metadata, _: &Path) {}

fn nearest_folder(path: &Path) -> &Path {
    path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(path)
}

/// The steps that are done.
#[derive(Default)]
struct Done(Vec<Step>);

enum Step {
    MadeFolder(PathBuf),
    Wrote(PathBuf),
    MovedAside { from: PathBuf, to: TempPath },
}

impl Done {
    fn put(&mut self, write: &Write, staged: Option<NamedTempFile>) -> io::Result<()> {
        let missing: Vec<&Path> = write.target.ancestors().skip(1).take_while(|folder| !folder.is_dir()).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder)?;
            self.0.push(Step::MadeFolder(folder.to_owned()));
        }
        if write.is_there {
            if !fs::symlink_metadata(&write.target)?.is_file() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a file any more"));
            }
            let aside = Builder::new()
                .prefix(".sigra-old-")
                .make_in(nearest_folder(&write.target), |path| fs::rename(&write.target, path))?;
            self.0.push(Step::MovedAside { from: write.target.clone(), to: aside.into_temp_path() });
        }
        if let Some(staged) = staged {
            staged.persist(&write.target).map_err(|error| error.error)?;
            self.0.push(Step::Wrote(write.target.clone()));
        }
        Ok(())
    }

    /// Undoes the steps in reverse order. Keeps what can't be undone, and names it in the error.
    fn undo(self, cause: EditError) -> EditError {
        let mut left = Vec::new();
        for step in self.0.into_iter().rev() {
            match step {
                Step::MadeFolder(folder) => {
                    if fs::remove_dir(&folder).is_err() {
                        left.push(format!("the folder `{}` was created", folder.display()));
                    }
                }
                Step::Wrote(path) => {
                    if fs::remove_file(&path).is_err() {
                        left.push(format!("`{}` was written", path.display()));
                    }
                }
                Step::MovedAside { from, to } => {
                    if fs::rename(&to, &from).is_err() {
                        left.push(format!("`{}` is in `{}`", from.display(), to.display()));
                        let _ = to.keep();
                    }
                }
            }
        }
        if left.is_empty() { cause } else { EditError::NotRestored { cause: Box::new(cause), left: left.join(", ") } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the content of a folder: its files with their bytes, its links, and permissions.
    fn tree(folder: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let content = if metadata.is_file() { fs::read(&path).expect("bytes") } else { Vec::new() };
            if metadata.is_dir() {
                found.extend(tree(&path));
            }
            let kind = format!("{:?} {:?}", metadata.file_type(), metadata.permissions());
            found.insert(path, (kind, content));
        }
        found
    }

    const MAIN: &str = "fn main() {}\n";

    fn package() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("src")).expect("made");
        for (path, text) in [("src/main.rs", MAIN), ("Cargo.toml", "[package]\n"), ("old.txt", "old\n")] {
            fs::write(folder.path().join(path), text).expect("written");
        }
        folder
    }

    fn edits() -> Vec<Edit> {
        vec![
            Edit::change("Cargo.toml", "[package]\n", "[package]\nname = \"a\"\n".to_owned()),
            Edit::create("src/auth.rs", "mod a;\n"),
            Edit::create("src/auth/a/b.rs", "fn b() {}\n"),
            Edit::change("src/main.rs", MAIN, format!("mod auth;\n{MAIN}")),
            Edit::remove("old.txt", "old\n"),
            Edit::put_bytes(".sigra/base.tar.gz", vec![0, 13, 10]),
        ]
    }

    fn obstacles(folder: &Path, edits: &[Edit]) -> Vec<String> {
        let before = tree(folder);
        let error = Transaction::prepare(folder, edits).expect_err("refused");
        assert_eq!(tree(folder), before);
        let EditError::Obstacles(obstacles) = error else { panic!("{error}") };
        obstacles.iter().map(Obstacle::to_string).collect()
    }

    #[test]
    fn all_files_are_written() {
        let folder = package();
        Transaction::prepare(folder.path(), &edits()).and_then(Transaction::commit).expect("written");
        let files = tree(folder.path()).into_iter().filter(|(path, _)| path.is_file());
        let files = files.map(|(path, (_, content))| {
            let path = path.strip_prefix(folder.path()).expect("inside").display().to_string();
            (path, String::from_utf8(content).expect("text"))
        });
        let expected = [
            (".sigra/base.tar.gz", "\0\r\n"),
            ("Cargo.toml", "[package]\nname = \"a\"\n"),
            ("src/auth.rs", "mod a;\n"),
            ("src/auth/a/b.rs", "fn b() {}\n"),
            ("src/main.rs", "mod auth;\nfn main() {}\n"),
        ];
        assert_eq!(files.collect::<BTreeMap<_, _>>(), expected.map(|(path, text)| (path.into(), text.into())).into());
    }

    #[test]
    fn a_failure_at_any_step_changes_nothing() {
        let folder = package();
        let before = tree(folder.path());
        let mut steps = 0;
        loop {
            let transaction = Transaction::prepare(folder.path(), &edits()).expect("good");
            let mut left = steps;
            let result = transaction.commit_while(|| {
                left -= 1;
                if left < 0 { Err(EditError::Stopped) } else { Ok(()) }
            });
            let Err(error) = result else { break };
            assert!(matches!(error, EditError::Stopped), "{error}");
            assert_eq!(tree(folder.path()), before, "after {steps} steps");
            steps += 1;
        }
        assert_eq!(steps, 2 * 6, "each file is written and renamed");
    }

    #[test]
    fn a_folder_that_was_created_is_removed_after_a_failure() {
        let folder = package();
        let before = tree(folder.path());
        let edits = [Edit::create("src/main.rs", MAIN), Edit::create("migrations/1.sql", "")];
        let root = folder.path().join("apps/new");
        let mut steps = 0;
        let stopped = Transaction::prepare(&root, &edits).expect("good").commit_while(|| {
            steps += 1;
            if steps == 4 { Err(EditError::Stopped) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(EditError::Stopped)));
        assert_eq!(tree(folder.path()), before);
        Transaction::prepare(&root, &edits).and_then(Transaction::commit).expect("written");
        assert_eq!(fs::read_to_string(root.join("src/main.rs")).expect("text"), MAIN);
        let error = Transaction::prepare(&folder.path().join("old.txt/new"), &edits).expect_err("it is a file");
        assert!(error.to_string().contains("it is a file: move it"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("old.txt")).expect("text"), "old\n");
    }

    #[test]
    fn an_obstacle_that_appears_in_the_meantime_changes_nothing() {
        for path in ["src/auth.rs", "src/auth/a/b.rs", ".sigra/base.tar.gz", "src/main.rs"] {
            let folder = package();
            let transaction = Transaction::prepare(folder.path(), &edits()).expect("good");
            let target = folder.path().join(path);
            if target.exists() {
                fs::remove_file(&target).expect("removed");
            }
            fs::create_dir_all(target.join("full")).expect("made");
            let before = tree(folder.path());
            let error = transaction.commit_while(|| Ok(())).expect_err("a folder is there");
            assert!(matches!(error, EditError::Unwritable { .. }), "{error}");
            assert_eq!(tree(folder.path()), before, "{path}");
        }
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let folder = package();
        let name = "a".repeat(300);
        let edits = [edits(), vec![Edit::create(&format!("src/{name}/{name}.rs"), "")]].concat();
        let before = tree(folder.path());
        let error = Transaction::prepare(folder.path(), &edits).and_then(Transaction::commit).expect_err("too long");
        assert!(error.to_string().ends_with("Nothing was changed"), "{error}");
        assert_eq!(tree(folder.path()), before);
    }

    #[test]
    fn all_obstacles_are_reported_at_once() {
        let folder = package();
        let root = folder.path();
        fs::create_dir(root.join("src/auth.rs")).expect("made");
        fs::write(root.join("src/auth"), "").expect("written");
        fs::write(root.join("src/main.rs"), "fn main() { changed() }\n").expect("written");
        let edits = [
            edits(),
            vec![
                Edit::create("src/c.rs", "fn {"),
                Edit::create("rustfmt.toml", "a = "),
                Edit::create("old.txt", "new"),
            ],
        ]
        .concat();
        let found = obstacles(root, &edits);
        for (found, expected) in found.iter().zip([
            "`src/auth.rs` is a folder, but a file must be written there: move it",
            "`src/auth/a/b.rs` needs `src/auth` to be a folder, but it is a file: move it",
            "`src/main.rs` has changed in the meantime: run this again",
            "`src/c.rs` would no longer be valid Rust, which is a bug in cargo-sigra: ",
            "`rustfmt.toml` would no longer be valid TOML, which is a bug in cargo-sigra: ",
            "`old.txt` already exists: move it, or run this again",
        ]) {
            assert!(found.starts_with(expected), "{found}");
        }
        assert_eq!(found.len(), 6, "{found:?}");
    }

    #[test]
    fn a_file_that_did_not_parse_before_need_not_parse_afterwards() {
        let folder = package();
        let broken = "fn main() {\n<<<<<<< ours\n";
        fs::write(folder.path().join("src/main.rs"), broken).expect("written");
        let edit = Edit::change("src/main.rs", broken, format!("{broken}// More.\n"));
        Transaction::prepare(folder.path(), [&edit]).expect("its owner fixes it");
        let edit = Edit::change("Cargo.toml", "[package]\n", "<<<<<<< ours\n".to_owned());
        assert!(Transaction::prepare(folder.path(), [&edit]).is_err());
        Transaction::prepare(folder.path(), [&edit.with_conflicts()]).expect("it has to be fixed by hand");
    }

    #[test]
    fn unchanged_files_are_not_written() {
        let folder = package();
        let edits = [Edit::change("src/main.rs", MAIN, MAIN.to_owned()), Edit::put("old.txt", "old\n".to_owned())];
        assert!(Transaction::prepare(folder.path(), &edits).expect("good").writes.is_empty());
    }

    #[test]
    fn a_byte_order_mark_and_line_endings_are_kept() {
        let folder = package();
        let path = folder.path().join("src/main.rs");
        fs::write(&path, "\u{feff}#!/bin/x\r\nfn main() {}\r\n").expect("written");
        let before = "#!/bin/x\nfn main() {}\n";
        let edits = [
            Edit::change("src/main.rs", before, format!("{before}mod auth;\n")),
            Edit::create("src/auth.rs", "mod a;\n"),
            Edit::put_bytes("base", b"\n".to_vec()),
        ];
        Transaction::prepare(folder.path(), &edits).and_then(Transaction::commit).expect("written");
        let text = |path: &str| fs::read_to_string(folder.path().join(path)).expect("text");
        assert_eq!(text("src/main.rs"), "\u{feff}#!/bin/x\r\nfn main() {}\r\nmod auth;\r\n");
        assert_eq!(text("src/auth.rs"), "mod a;\r\n", "like the existing files");
        assert_eq!(text("base"), "\n");
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn set_mode(path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        }

        #[test]
        fn read_only_files_are_refused() {
            let folder = package();
            set_mode(&folder.path().join("src/main.rs"), 0o444);
            let found = obstacles(folder.path(), &edits());
            let main = folder.path().canonicalize().expect("a folder").join("src/main.rs");
            assert_eq!(found, [format!("`{}` is read-only: make it writable", main.display())]);
            set_mode(&folder.path().join("src/main.rs"), 0o644);
            set_mode(&folder.path().join("src"), 0o555);
            let found = obstacles(folder.path(), &edits());
            assert!(found.len() == 3 && found[0].contains("/src` is read-only"), "{found:?}");
            set_mode(&folder.path().join("src"), 0o755);
        }

        #[test]
        fn permissions_of_a_file_are_kept() {
            let folder = package();
            set_mode(&folder.path().join("src/main.rs"), 0o750);
            Transaction::prepare(folder.path(), &edits()).and_then(Transaction::commit).expect("written");
            let mode =
                |path: &str| fs::metadata(folder.path().join(path)).expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode("src/main.rs"), 0o750);
            fs::write(folder.path().join("plain"), "").expect("written");
            assert_eq!(mode("src/auth.rs"), mode("plain"));
        }

        #[test]
        fn a_link_is_kept_and_its_target_is_written() {
            let folder = package();
            let root = folder.path();
            fs::rename(root.join("src/main.rs"), root.join("program.rs")).expect("moved");
            symlink("../program.rs", root.join("src/main.rs")).expect("linked");
            Transaction::prepare(root, &edits()).and_then(Transaction::commit).expect("written");
            assert!(fs::symlink_metadata(root.join("src/main.rs")).expect("a link").is_symlink());
            assert_eq!(fs::read_to_string(root.join("program.rs")).expect("text"), format!("mod auth;\n{MAIN}"));
        }

        #[test]
        fn links_that_are_broken_or_leave_the_package_are_refused() {
            let (folder, other) = (package(), package());
            let root = folder.path();
            fs::remove_file(root.join("src/main.rs")).expect("removed");
            symlink(other.path().join("src/main.rs"), root.join("src/main.rs")).expect("linked");
            symlink(other.path(), root.join("src/auth")).expect("linked");
            symlink("nowhere", root.join("src/auth.rs")).expect("linked");
            let found = obstacles(root, &edits());
            assert_eq!(found.len(), 3, "{found:?}");
            assert_eq!(found[0], "`src/auth.rs` is a broken link: fix or remove it");
            assert!(
                found[1].starts_with("`src/auth/a/b.rs` is a link that leads out of the repository, to "),
                "{found:?}"
            );
            assert!(found[2].starts_with("`src/main.rs` is a link that leads out of the repository, to "), "{found:?}");
        }

        #[test]
        fn two_edits_of_one_file_are_refused() {
            let folder = package();
            symlink("old.txt", folder.path().join("older.txt")).expect("linked");
            let edits = [Edit::put("old.txt", "a".to_owned()), Edit::put("older.txt", "b".to_owned())];
            let found = obstacles(folder.path(), &edits);
            assert_eq!(
                found,
                ["`old.txt` and `older.txt` are the same file, because of a link: replace the link with a copy"]
            );
        }
    }
}
