//! Runs Cargo, and reads what it knows about packages.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

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
    #[error(
        "{} the toolchain `{name}`, which is not installed: run `rustup toolchain install {name}`",
        pins(.file.as_deref())
    )]
    NoToolchain { name: String, file: Option<PathBuf> },
    #[error("can't parse the output of `cargo metadata`: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// The files in which a folder pins its toolchain.
const TOOLCHAIN_FILES: [&str; 2] = ["rust-toolchain.toml", "rust-toolchain"];

/// Returns the Cargo that runs this program, or the default one.
pub fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Returns the parts of `cargo metadata` that the generator reads.
pub fn metadata<T: DeserializeOwned>(root: &Path) -> Result<T, MetadataError> {
    let asked = command().current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = asked.map_err(MetadataError::Cargo)?;
    if !output.status.success() {
        return Err(refused(root, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns the error for what Cargo says, or rustup in its place.
fn refused(root: &Path, said: &str) -> MetadataError {
    match missing_toolchain(said) {
        Some(name) => MetadataError::NoToolchain { name: name.to_owned(), file: toolchain_file(root) },
        None => MetadataError::Refused(said.to_owned()),
    }
}

/// Returns the toolchain that rustup doesn't find, such as `1.94.0-x86_64-unknown-linux-gnu`.
fn missing_toolchain(said: &str) -> Option<&str> {
    let (before, _) = said.split_once("' is not installed")?;
    before.rsplit_once("toolchain '").map(|(_, name)| name).filter(|name| !name.contains(char::is_whitespace))
}

/// Returns the file that pins the toolchain of a folder: the nearest one, in the folder or above it.
fn toolchain_file(folder: &Path) -> Option<PathBuf> {
    let folder = fs::canonicalize(folder).ok()?;
    let files = folder.ancestors().flat_map(|folder| TOOLCHAIN_FILES.map(|name| folder.join(name)));
    files.into_iter().find(|file| file.is_file())
}

fn pins(file: Option<&Path>) -> String {
    file.map_or_else(|| "rustup chooses".to_owned(), |file| format!("`{}` pins", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_RUSTUP: &str = "error: toolchain '1.80.0-x86_64-unknown-linux-gnu' is not installed
help: run `rustup toolchain install` to install it

Stack backtrace:
   0: anyhow::error::<impl core::convert::From<E> for anyhow::Error>::from";

    #[test]
    fn a_missing_toolchain_is_named_with_the_file_that_pins_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = fs::canonicalize(folder.path()).expect("a folder").join("rust-toolchain.toml");
        let inner = folder.path().join("crates/web");
        fs::create_dir_all(&inner).expect("made");
        let message = || refused(&inner, OF_RUSTUP).to_string();
        let rest = "the toolchain `1.80.0-x86_64-unknown-linux-gnu`, which is not installed: \
             run `rustup toolchain install 1.80.0-x86_64-unknown-linux-gnu`";
        assert_eq!(message(), format!("rustup chooses {rest}"));
        fs::write(&file, "[toolchain]\nchannel = \"1.80.0\"\n").expect("written");
        assert_eq!(message(), format!("`{}` pins {rest}", file.display()));
    }

    #[test]
    fn what_cargo_says_is_kept() {
        for said in ["error: could not parse `Cargo.toml`", "error: the option 'x' is not installed"] {
            assert!(matches!(refused(Path::new("."), said), MetadataError::Refused(kept) if kept == said), "{said}");
        }
    }
}
