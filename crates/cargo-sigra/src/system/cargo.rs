//! Runs Cargo, and reads what it knows about packages.

use std::{env, io, path::Path, process::Command};

use serde::de::DeserializeOwned;

/// The tables of a `Cargo.toml` that list dependencies.
pub const DEPENDENCY_TABLES: [&str; 2] = ["dependencies", "dev-dependencies"];

/// Why Cargo's metadata can't be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("can't run `cargo metadata`: {0}")]
    Cargo(io::Error),
    #[error("`cargo metadata` failed: {0}")]
    Refused(String),
    #[error("can't parse the output of `cargo metadata`: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Returns the Cargo that runs this program, or the default one.
pub fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Returns the parts of `cargo metadata` that the generator reads.
pub fn metadata<T: DeserializeOwned>(root: &Path) -> Result<T, MetadataError> {
    let asked = command().current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = asked.map_err(MetadataError::Cargo)?;
    if !output.status.success() {
        return Err(MetadataError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
