//! Cargo, and what it says of the packages around a folder.

use std::{env, io, path::Path, process::Command};

use serde::de::DeserializeOwned;

/// The tables of a `Cargo.toml` that list dependencies.
pub const DEPENDENCY_TABLES: [&str; 2] = ["dependencies", "dev-dependencies"];

/// Why Cargo does not say it.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("`cargo metadata` can't be run: {0}")]
    Cargo(io::Error),
    #[error("`cargo metadata` failed: {0}")]
    Refused(String),
    #[error("can't parse the output of `cargo metadata`: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// The one that runs this program, if one does.
pub fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The parts of `cargo metadata` that the generator reads.
pub fn metadata<T: DeserializeOwned>(root: &Path) -> Result<T, MetadataError> {
    let asked = command().current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = asked.map_err(MetadataError::Cargo)?;
    if !output.status.success() {
        return Err(MetadataError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
