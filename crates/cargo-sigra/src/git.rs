//! What is asked of git.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// How many files an error names.
const SHOWN: usize = 5;

/// Why git did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("`git {command}` failed: {said}")]
    Failed { command: String, said: String },
    #[error("git can't be run: {0}. Install it, or pass `--force` to go without")]
    Missing(io::Error),
    #[error("these files have changes that are not committed: {0}. Commit them first, or pass `--force`")]
    Changed(String),
    #[error(
        "this folder is in no git repository, so nothing could be undone: `git init` and commit, or pass `--force`"
    )]
    NoRepository,
}

/// Begins a repository, as `cargo new` does: unless there is one around the folder, or no git.
pub fn init_unless_inside(folder: &Path) -> Result<bool, GitError> {
    let is_inside = match run(folder, &["rev-parse", "--is-inside-work-tree"]) {
        Err(GitError::Missing(_)) => return Ok(false),
        Err(error) => return Err(error),
        Ok(output) => output.status.success(),
    };
    if is_inside {
        return Ok(false);
    }
    checked(folder, &["init", "--quiet"]).map(|_| true)
}

/// Files that are changed and not committed. `None` if the folder is in no repository.
fn changed_files(folder: &Path) -> Result<Option<Vec<PathBuf>>, GitError> {
    if !run(folder, &["rev-parse", "--is-inside-work-tree"])?.status.success() {
        return Ok(None);
    }
    let output = checked(folder, &["status", "--porcelain", "-z", "--no-renames", "--", "."])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let changed = text.split('\0').filter_map(|entry| entry.get(3..)).map(PathBuf::from);
    Ok(Some(changed.collect()))
}

/// For what changes files: it can be seen and undone only if all was committed before.
pub fn refuse_changed_files(folder: &Path) -> Result<(), GitError> {
    let changed = changed_files(folder)?.ok_or(GitError::NoRepository)?;
    if changed.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = changed.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
    let more = if changed.len() > SHOWN { format!(" and {} more", changed.len() - SHOWN) } else { String::new() };
    Err(GitError::Changed(shown.join(", ") + &more))
}

/// Whether a file would be ignored. Without a repository, or without git, none is.
pub fn ignores(folder: &Path, file: &str) -> Result<bool, GitError> {
    match run(folder, &["check-ignore", "--quiet", "--", file]) {
        Err(GitError::Missing(_)) => Ok(false),
        answer => answer.map(|output| output.status.success()),
    }
}

fn checked(folder: &Path, args: &[&str]) -> Result<Output, GitError> {
    let output = run(folder, args)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Failed { command: args.join(" "), said })
}

fn run(folder: &Path, args: &[&str]) -> Result<Output, GitError> {
    Command::new("git").arg("-C").arg(folder).args(args).stdin(Stdio::null()).output().map_err(GitError::Missing)
}
