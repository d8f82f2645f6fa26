//! Tries the edits in a copy of the host first: whether Cargo can resolve all dependencies, and whether it compiles.

mod copy;
mod reason;

use std::{io, path::Path, process::Stdio};

use self::copy::{Copy, CopyError, cargo};
use super::edits::Edit;
use crate::system::interruption;

/// Why the edits are not made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("can't run cargo: {0}")]
    Cargo(io::Error),
    #[error("nothing was written: cargo can't resolve the dependencies{why}\n\ncargo says: {said}", why = reason::explained(.said))]
    Conflict { said: String },
    #[error(
        "nothing was written: cargo can't resolve your dependencies even without the changes. Fix that first, or pass `--no-resolve`\n\ncargo says: {0}"
    )]
    Before(String),
    #[error(
        "nothing was written: cargo can't reach the registry to resolve the dependencies. Try again with a network, or pass `--no-resolve` to skip the check\n\ncargo says: {0}"
    )]
    Unreachable(String),
    #[error("nothing was written: your application wouldn't compile with accounts. Fix the errors above")]
    DoesNotCompile,
    #[error("stopped; nothing was written")]
    Stopped,
}

/// The flags of Cargo with and without a network.
const ONLINE: &[&str] = &[];
const OFFLINE: &[&str] = &["--offline"];

/// The checks to run.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    pub resolve: bool,
    pub compile: bool,
}

/// Tries the edits of a package in a copy.
pub fn run(root: &Path, edits: &[&Edit], checks: Checks) -> Result<(), TrialError> {
    interruption::watch();
    let changes_manifest = edits.iter().any(|edit| copy::is_manifest(&edit.path));
    if checks.compile {
        let copy = Copy::whole(root)?;
        copy.apply(edits)?;
        resolve(&copy, root)?;
        return compile(&copy, root);
    }
    if checks.resolve && changes_manifest {
        let copy = Copy::of_manifests(root)?;
        copy.apply(edits)?;
        return resolve(&copy, root);
    }
    Ok(())
}

/// Resolves the dependencies. Tries it offline first, which takes no time.
fn resolve(copy: &Copy, root: &Path) -> Result<(), TrialError> {
    let Err(offline) = update(copy, root, OFFLINE)? else { return Ok(()) };
    let Err(online) = update(copy, root, ONLINE)? else { return Ok(()) };
    if !reason::is_network_error(&online) {
        return match update_unchanged(root, ONLINE)? {
            Ok(()) => Err(TrialError::Conflict { said: online }),
            Err(said) => Err(TrialError::Before(said)),
        };
    }
    // A conflict of native libraries isn't caused by missing downloads, so report that instead.
    if !reason::is_links_conflict(&offline) {
        return Err(TrialError::Unreachable(online));
    }
    match update_unchanged(root, OFFLINE)? {
        Err(said) if reason::is_links_conflict(&said) => Err(TrialError::Before(said)),
        _ => Err(TrialError::Conflict { said: offline }),
    }
}

/// Finds versions for the host's dependencies as they are.
fn update_unchanged(root: &Path, flags: &[&str]) -> Result<Result<(), String>, TrialError> {
    let before = Copy::of_manifests(root)?;
    before.apply(&[])?;
    update(&before, root, flags)
}

/// Finds versions for new dependencies, and keeps the others. If it finds none, returns Cargo's message.
fn update(copy: &Copy, root: &Path, flags: &[&str]) -> Result<Result<(), String>, TrialError> {
    let mut command = cargo(root);
    command.args(["update", "--workspace", "--color", "never", "--manifest-path"]).arg(copy.manifest()).args(flags);
    let output = command.env("CARGO_NET_RETRY", "1").output().map_err(TrialError::Cargo)?;
    refuse_if_stopped()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(reason::message(&String::from_utf8_lossy(&output.stderr), copy)))
}

/// Compiles the copy in the host's target folder, so that nothing is compiled twice.
fn compile(copy: &Copy, root: &Path) -> Result<(), TrialError> {
    let mut command = cargo(root);
    command.args(["check", "--manifest-path"]).arg(copy.manifest()).env("CARGO_TARGET_DIR", copy.target_folder());
    let status = command.stdout(Stdio::null()).status().map_err(TrialError::Cargo)?;
    refuse_if_stopped()?;
    if status.success() { Ok(()) } else { Err(TrialError::DoesNotCompile) }
}

/// Fails if the user pressed Ctrl-C. That also ends Cargo, so its result doesn't count.
fn refuse_if_stopped() -> Result<(), TrialError> {
    if interruption::has_come() { Err(TrialError::Stopped) } else { Ok(()) }
}
