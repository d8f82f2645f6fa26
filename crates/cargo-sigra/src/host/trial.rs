//! The changes, tried in a copy of the host before they are made: whether Cargo finds versions of all dependencies that
//! fit together, and whether it compiles.

mod copy;
mod reason;

use std::{io, path::Path, process::Stdio};

use self::copy::{Copy, CopyError, cargo};
use super::edits::Edit;
use crate::system::interruption;

/// Why the changes are not made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("can't run cargo: {0}")]
    Cargo(io::Error),
    #[error("nothing was written: cargo can't find versions of all dependencies that fit together{why}\n\ncargo says: {said}", why = reason::explained(.said))]
    Conflict { said: String },
    #[error(
        "nothing was written: cargo can't resolve your dependencies even without the changes. Fix that first, or pass `--no-resolve`\n\ncargo says: {0}"
    )]
    Before(String),
    #[error(
        "nothing was written: cargo can't reach the registry to check that the dependencies fit together. Try again with a network, or pass `--no-resolve` to skip the check\n\ncargo says: {0}"
    )]
    Unreachable(String),
    #[error("nothing was written: your application would not compile with accounts. See the errors above")]
    DoesNotCompile,
    #[error("stopped; nothing was written")]
    Stopped,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub resolve: bool,
    pub compile: bool,
}

/// Tries the edits of a package in a copy.
pub fn run(root: &Path, edits: &[&Edit], wanted: Wanted) -> Result<(), TrialError> {
    interruption::watch();
    let changes_manifest = edits.iter().any(|edit| copy::is_manifest(&edit.path));
    if wanted.compile {
        let copy = Copy::whole(root)?;
        copy.apply(edits)?;
        resolve(&copy, root)?;
        return compile(&copy, root);
    }
    if wanted.resolve && changes_manifest {
        let copy = Copy::of_manifests(root)?;
        copy.apply(edits)?;
        return resolve(&copy, root);
    }
    Ok(())
}

/// With what is on this machine if that is enough, for it takes no time.
fn resolve(copy: &Copy, root: &Path) -> Result<(), TrialError> {
    let Err(offline) = update(copy, root, &["--offline"])? else { return Ok(()) };
    let Err(online) = update(copy, root, &[])? else { return Ok(()) };
    if reason::is_of_network(&online) {
        // What can't be for want of a native library's other version is no matter of what was downloaded.
        let said = if reason::is_of_links(&offline) { offline } else { online };
        return Err(TrialError::Unreachable(said));
    }
    let before = Copy::of_manifests(root)?;
    before.apply(&[])?;
    match update(&before, root, &[])? {
        Ok(()) => Err(TrialError::Conflict { said: online }),
        Err(said) => Err(TrialError::Before(said)),
    }
}

/// Finds versions of what is new, and keeps the others. What Cargo says if it finds none.
fn update(copy: &Copy, root: &Path, flags: &[&str]) -> Result<Result<(), String>, TrialError> {
    let mut command = cargo(root);
    command.args(["update", "--workspace", "--color", "never", "--manifest-path"]).arg(copy.manifest()).args(flags);
    let output = command.env("CARGO_NET_RETRY", "1").output().map_err(TrialError::Cargo)?;
    refuse_if_stopped()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(reason::said(&String::from_utf8_lossy(&output.stderr), copy)))
}

/// In the host's own target folder: nothing has to be compiled twice.
fn compile(copy: &Copy, root: &Path) -> Result<(), TrialError> {
    let mut command = cargo(root);
    command.args(["check", "--manifest-path"]).arg(copy.manifest()).env("CARGO_TARGET_DIR", copy.target_folder());
    let status = command.stdout(Stdio::null()).status().map_err(TrialError::Cargo)?;
    refuse_if_stopped()?;
    if status.success() { Ok(()) } else { Err(TrialError::DoesNotCompile) }
}

/// Ctrl-C ends what Cargo does as well, which says nothing of the dependencies then.
fn refuse_if_stopped() -> Result<(), TrialError> {
    if interruption::has_come() { Err(TrialError::Stopped) } else { Ok(()) }
}
