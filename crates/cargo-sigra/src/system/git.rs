//! Runs git.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The largest number of files that an error names.
const SHOWN: usize = 5;

/// Why git failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("`git {command}` failed: {stderr}")]
    Failed { command: String, stderr: String },
    #[error("can't run git: {0}. Install it, or pass `--force` to go without")]
    Missing(io::Error),
    #[error("these files have uncommitted changes: {0}. Commit them first, or pass `--force`")]
    Changed(String),
    #[error(
        "this folder isn't in a git repository, so you couldn't undo the changes: run `git init` and commit, or pass `--force`"
    )]
    NoRepository,
    #[error(
        "git refuses to read this repository because its folder belongs to another user. If you trust it, run `git config --global --add safe.directory {0}`"
    )]
    Ownership(String),
    #[error(
        "this is a bare repository or the inside of `.git`, which has no files to change: go to a clone or a work tree, or pass `--force`"
    )]
    NoWorkTree,
    #[error("the folder is in the repository `{0}`: leave `--commit` out, and commit there")]
    Inside(PathBuf),
    #[error("git doesn't know who you are: run `git config --global user.name` and `git config --global user.email`")]
    NoAuthor,
}

/// Creates a repository like `cargo new`: unless the folder is already in one, or git isn't installed.
pub fn init_unless_inside(folder: &Path) -> Result<bool, GitError> {
    match work_tree(folder) {
        Err(GitError::NoRepository) => checked(folder, &["init", "--quiet"]).map(|_| true),
        // If git refuses to read a repository around it, a new one would only hide the problem.
        Ok(_) | Err(GitError::Missing(_) | GitError::NoWorkTree | GitError::Ownership(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses to commit in a folder that doesn't exist yet if it would be in another repository, or if git doesn't know
/// the author.
pub fn refuse_commit(folder: &Path) -> Result<(), GitError> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let around = absolute.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("."));
    match work_tree(around) {
        Err(GitError::NoRepository) => {}
        Ok(outer) => return Err(GitError::Inside(outer)),
        Err(error) => return Err(error),
    }
    checked(around, &["var", "GIT_AUTHOR_IDENT"]).map(drop).map_err(|_| GitError::NoAuthor)
}

/// Commits all files of a folder.
pub fn commit_all(folder: &Path, message: &str) -> Result<(), GitError> {
    checked(folder, &["add", "--all"])?;
    checked(folder, &["commit", "--quiet", "--message", message]).map(drop)
}

/// Returns the top folder of the repository that contains a folder. `None` if it isn't in one, or git fails.
pub fn top_level(folder: &Path) -> Option<PathBuf> {
    work_tree(folder).ok()
}

fn work_tree(folder: &Path) -> Result<PathBuf, GitError> {
    let args = ["rev-parse", "--show-toplevel"];
    let output = run(folder, &args)?;
    if output.status.success() {
        return Ok(PathBuf::from(text_of(&output.stdout).trim_end_matches(['\r', '\n'])));
    }
    let stderr = text_of(&output.stderr).trim().to_owned();
    Err(match stderr.as_str() {
        _ if stderr.contains("dubious ownership") => GitError::Ownership(safe_directory(&stderr, folder)),
        _ if stderr.contains("must be run in a work tree") => GitError::NoWorkTree,
        _ if stderr.contains("not a git repository") => GitError::NoRepository,
        _ => GitError::Failed { command: args.join(" "), stderr },
    })
}

/// Returns the path that git suggests adding, or the folder.
fn safe_directory(stderr: &str, folder: &Path) -> String {
    let named =
        stderr.lines().find_map(|line| line.trim().split_once("safe.directory ").map(|(_, path)| path.to_owned()));
    named.unwrap_or_else(|| folder.display().to_string())
}

/// Returns files with uncommitted changes in a folder, and elsewhere in its repository.
fn changed_files(folder: &Path, elsewhere: &[&Path]) -> Result<Vec<PathBuf>, GitError> {
    work_tree(folder)?;
    let elsewhere: Vec<String> = elsewhere.iter().map(|path| format!(":(literal){}", path.display())).collect();
    let args = ["status", "--porcelain", "-z", "--no-renames", "--", "."];
    let args: Vec<&str> = args.into_iter().chain(elsewhere.iter().map(String::as_str)).collect();
    let output = checked(folder, &args)?;
    let text = text_of(&output.stdout);
    Ok(text.split('\0').filter_map(|entry| entry.get(3..)).map(PathBuf::from).collect())
}

/// Refuses uncommitted changes, so that the user can review and undo what the generator changes.
pub fn refuse_changed_files(folder: &Path) -> Result<(), GitError> {
    refuse_changed_files_at(folder, &[])
}

/// Also refuses uncommitted changes in some files elsewhere in the repository.
pub fn refuse_changed_files_at(folder: &Path, elsewhere: &[&Path]) -> Result<(), GitError> {
    let changed = changed_files(folder, elsewhere)?;
    if changed.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = changed.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
    let more = if changed.len() > SHOWN { format!(" and {} more", changed.len() - SHOWN) } else { String::new() };
    Err(GitError::Changed(shown.join(", ") + &more))
}

/// Returns whether git ignores a file. False without git or a repository.
pub fn ignores(folder: &Path, file: &str) -> bool {
    run(folder, &["check-ignore", "--quiet", "--", file]).is_ok_and(|output| output.status.success())
}

/// Returns whether git tracks a file. Ignoring it then has no effect.
pub fn tracks(folder: &Path, file: &str) -> bool {
    run(folder, &["ls-files", "--error-unmatch", "--", &format!(":(literal){file}")])
        .is_ok_and(|output| output.status.success())
}

/// Returns whether a checkout writes each of these text files with `\r\n`. Paths are missing if git doesn't convert
/// them.
pub fn checks_out_with_crlf(folder: &Path, paths: &[String]) -> BTreeMap<String, bool> {
    let paths = paths.iter().map(String::as_str);
    let args: Vec<&str> = ["check-attr", "-z", "text", "eol", "--"].into_iter().chain(paths).collect();
    let Some(output) = run(folder, &args).ok().filter(|output| output.status.success()) else { return BTreeMap::new() };
    let stdout = text_of(&output.stdout);
    let mut attributes: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let fields: Vec<&str> = stdout.split('\0').collect();
    for field in fields.chunks_exact(3) {
        let of_path = attributes.entry(field[0]).or_default();
        match field[1] {
            "text" => of_path.0 = field[2],
            _ => of_path.1 = field[2],
        }
    }
    let conversion = Conversion::of_folder(folder);
    let known = attributes
        .into_iter()
        .filter_map(|(path, (text, eol))| conversion.of(text, eol).map(|has_crlf| (path.to_owned(), has_crlf)));
    known.collect()
}

/// Returns whether a checkout would write any text file with `\r\n`, in a repository that doesn't exist yet.
pub fn would_check_out_with_crlf(folder: &Path) -> bool {
    Conversion::of_folder(folder).of("unspecified", "unspecified").unwrap_or_default()
}

/// The settings of a repository that convert text files.
struct Conversion {
    autocrlf: String,
    eol: String,
}

impl Conversion {
    fn of_folder(folder: &Path) -> Self {
        let setting = |name| {
            let output = run(folder, &["config", "--get", name]).ok().filter(|output| output.status.success());
            output.map(|output| text_of(&output.stdout).trim().to_ascii_lowercase()).unwrap_or_default()
        };
        Self { autocrlf: setting("core.autocrlf"), eol: setting("core.eol") }
    }

    /// Applies the rules of gitattributes(5): `eol` decides, then whether the file is `text`, then the settings.
    fn of(&self, text: &str, eol: &str) -> Option<bool> {
        let by_autocrlf = match &*self.autocrlf {
            "true" | "yes" | "on" | "1" => Some(true),
            "input" => Some(false),
            _ => None,
        };
        match (text, eol) {
            ("unset", _) => None,
            (_, "crlf") => Some(true),
            (_, "lf") => Some(false),
            ("set" | "auto", _) => by_autocrlf.or(Some(match &*self.eol {
                "crlf" => true,
                "lf" => false,
                _ => cfg!(windows),
            })),
            _ => by_autocrlf,
        }
    }
}

fn checked(folder: &Path, args: &[&str]) -> Result<Output, GitError> {
    let output = run(folder, args)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(GitError::Failed { command: args.join(" "), stderr: text_of(&output.stderr).trim().to_owned() })
}

/// Runs git in English, because some of its messages are parsed.
fn run(folder: &Path, args: &[&str]) -> Result<Output, GitError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().map_err(GitError::Missing)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        checked(folder.path(), &["init", "--quiet"]).expect("a repository");
        folder
    }

    #[test]
    fn each_kind_of_folder_is_recognized() {
        let plain = tempfile::tempdir().expect("a folder");
        assert!(matches!(work_tree(plain.path()), Err(GitError::NoRepository)));
        let bare = tempfile::tempdir().expect("a folder");
        checked(bare.path(), &["init", "--quiet", "--bare"]).expect("a repository");
        assert!(matches!(refuse_changed_files(bare.path()), Err(GitError::NoWorkTree)));
        assert!(!init_unless_inside(bare.path()).expect("none"));
        let unborn = repository();
        refuse_changed_files(unborn.path()).expect("nothing can be lost");
        assert!(matches!(refuse_changed_files(&unborn.path().join(".git")), Err(GitError::NoWorkTree)));
        fs::write(unborn.path().join("a b.rs"), "").expect("written");
        let changed = refuse_changed_files(unborn.path()).expect_err("it is not committed");
        assert!(matches!(&changed, GitError::Changed(files) if files == "a b.rs"), "{changed}");
    }

    #[test]
    fn a_work_tree_and_a_submodule_are_repositories() {
        let main = repository();
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "protocol.file.allow=always"];
        let git = |folder: &Path, args: &[&str]| checked(folder, &[&identity, args].concat()).expect("done");
        git(main.path(), &["commit", "--quiet", "--allow-empty", "--message", "Begin"]);
        git(main.path(), &["worktree", "add", "--quiet", "other"]);
        let outer = repository();
        git(outer.path(), &["submodule", "--quiet", "add", &main.path().display().to_string(), "inner"]);
        for folder in [main.path().join("other"), outer.path().join("inner")] {
            assert_eq!(top_level(&folder), folder.canonicalize().ok());
            refuse_changed_files(&folder).expect("clean");
            fs::write(folder.join("new.rs"), "").expect("written");
            assert!(matches!(refuse_changed_files(&folder), Err(GitError::Changed(_))));
        }
    }

    #[test]
    fn the_path_in_gits_message_about_ownership_is_found() {
        let stderr = "fatal: detected dubious ownership in repository at '/srv/a b'\nTo add an exception for this directory, \
                    call:\n\n\tgit config --global --add safe.directory '/srv/a b'";
        assert_eq!(safe_directory(stderr, Path::new("/srv/a b/web")), "'/srv/a b'");
        assert_eq!(safe_directory("fatal: detected dubious ownership", Path::new("/srv")), "/srv");
    }

    #[test]
    fn a_commit_needs_a_folder_outside_of_repositories() {
        let outside = tempfile::tempdir().expect("a folder");
        let inside = repository();
        assert!(matches!(refuse_commit(&inside.path().join("new/app")), Err(GitError::Inside(_))));
        assert!(!matches!(refuse_commit(&outside.path().join("new/app")), Err(GitError::Inside(_))));
    }

    #[test]
    fn tracked_files_are_recognized() {
        let folder = repository();
        fs::write(folder.path().join(".env"), "").expect("written");
        assert!(!tracks(folder.path(), ".env"));
        checked(folder.path(), &["add", ".env"]).expect("added");
        assert!(tracks(folder.path(), ".env") && !tracks(folder.path(), ".en*"));
    }

    #[test]
    fn line_endings_match_those_of_a_checkout() {
        let folder = repository();
        let paths = ["src/a.rs", "b.sql", "c.svg"].map(str::to_owned);
        let crlf = || {
            let attributes = checks_out_with_crlf(folder.path(), &paths);
            paths.clone().map(|path| attributes.get(&path).copied())
        };
        checked(folder.path(), &["config", "core.autocrlf", "false"]).expect("set");
        assert_eq!(crlf(), [None; 3]);
        checked(folder.path(), &["config", "core.autocrlf", "true"]).expect("set");
        assert_eq!(crlf(), [Some(true); 3]);
        fs::write(folder.path().join(".gitattributes"), "*.sql text eol=lf\n*.svg -text\n").expect("written");
        assert_eq!(crlf(), [Some(true), Some(false), None]);
        checked(folder.path(), &["config", "core.autocrlf", "input"]).expect("set");
        assert_eq!(crlf(), [Some(false), Some(false), None]);
    }
}
