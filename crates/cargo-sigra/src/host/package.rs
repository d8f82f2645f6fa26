//! The host's package, as Cargo describes it.

use std::{env, fs, io, path::PathBuf};

use serde::Deserialize;

use super::{
    dependency::Dependency,
    target::{CargoTarget, Kind, Target},
};
use crate::{
    render::rustfmt,
    system::cargo::{self, MetadataError},
};

/// Why accounts can't be installed into this package.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("can't read this folder: {0}")]
    Folder(io::Error),
    #[error("can't install accounts into this package: {0}")]
    InvalidPackage(String),
    #[error("this folder has no `Cargo.toml` with a package: go to the package that serves your routes")]
    NoPackage,
    #[error(transparent)]
    Metadata(MetadataError),
}

#[derive(Debug)]
pub struct Host {
    pub root: PathBuf,
    pub package: String,
    pub edition: String,
    pub rust_version: Option<String>,
    /// Its libraries and binaries.
    pub targets: Vec<Target>,
    /// The libraries of other packages in its workspace.
    pub neighbors: Vec<Target>,
    pub dependencies: Vec<Dependency>,
    /// The dependencies of other packages in its workspace.
    pub others_dependencies: Vec<Dependency>,
    pub workspace: PathBuf,
    /// The host's settings of rustfmt.
    pub rustfmt: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    edition: String,
    rust_version: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<CargoTarget>,
    dependencies: Vec<Dependency>,
}

impl Host {
    /// Finds the package in the current folder.
    pub fn find() -> Result<Self, HostError> {
        let here = env::current_dir().and_then(fs::canonicalize).map_err(HostError::Folder)?;
        let metadata: Metadata = cargo::metadata(&here).map_err(|error| match error {
            MetadataError::Refused(said) => HostError::InvalidPackage(said.trim_start_matches("error: ").to_owned()),
            error => HostError::Metadata(error),
        })?;
        let is_here = |package: &Package| {
            package
                .manifest_path
                .parent()
                .and_then(|folder| folder.canonicalize().ok())
                .is_some_and(|folder| folder == here)
        };
        let (mut here_are, others): (Vec<_>, Vec<_>) = metadata.packages.into_iter().partition(is_here);
        let package = here_are.pop().ok_or(HostError::NoPackage)?;
        Ok(Self::of(package, others, here, metadata.workspace_root))
    }

    fn of(package: Package, others: Vec<Package>, root: PathBuf, workspace: PathBuf) -> Self {
        let (mut neighbors, mut others_dependencies) = (Vec::new(), Vec::new());
        for other in others {
            let targets = other.targets.into_iter().filter_map(Target::of);
            neighbors.extend(targets.filter(|target| target.kind == Kind::Library));
            others_dependencies.extend(other.dependencies);
        }
        let rustfmt = rustfmt::settings(&[&root, &workspace]);
        Self {
            targets: package.targets.into_iter().filter_map(Target::of).collect(),
            neighbors,
            rustfmt: Some(rustfmt),
            package: package.name,
            edition: package.edition,
            rust_version: package.rust_version,
            dependencies: package.dependencies,
            others_dependencies,
            workspace,
            root,
        }
    }

    /// Returns the package's normal dependencies, without those of tests and build scripts.
    pub fn own_dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.is_of_package())
    }
}
