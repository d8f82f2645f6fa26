//! The application that accounts are installed into, as Cargo knows it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::dependency::Dependency;

/// Why the application is not one that accounts can be installed into.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("`cargo metadata` can't be run: {0}")]
    Cargo(io::Error),
    #[error("this is no package that accounts could be installed into: {0}")]
    NoPackage(String),
    #[error("there is no Cargo.toml of a package in this folder: go into the package that serves your routes")]
    Elsewhere,
    #[error("what `cargo metadata` says can't be read: {0}")]
    Metadata(#[from] serde_json::Error),
}

#[derive(Debug)]
pub struct Host {
    pub root: PathBuf,
    pub package: String,
    pub edition: String,
    pub rust_version: Option<String>,
    /// The root of the library, and of the program.
    pub lib: Option<PathBuf>,
    pub bin: Option<PathBuf>,
    pub dependencies: Vec<Dependency>,
    /// Of the other packages in its workspace.
    pub others_dependencies: Vec<Dependency>,
    pub workspace: PathBuf,
    /// How the host formats its code.
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
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Host {
    /// The package of the folder that one is in.
    pub fn find() -> Result<Self, HostError> {
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .map_err(HostError::Cargo)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("error: ").to_owned();
            return Err(HostError::NoPackage(said));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let here = env::current_dir().and_then(fs::canonicalize).map_err(HostError::Cargo)?;
        let is_here = |package: &Package| {
            package
                .manifest_path
                .parent()
                .and_then(|folder| folder.canonicalize().ok())
                .is_some_and(|folder| folder == here)
        };
        let (mut here_are, others): (Vec<_>, Vec<_>) = metadata.packages.into_iter().partition(is_here);
        let package = here_are.pop().ok_or(HostError::Elsewhere)?;
        Ok(Self::of(package, others, here, metadata.workspace_root))
    }

    fn of(package: Package, others: Vec<Package>, root: PathBuf, workspace: PathBuf) -> Self {
        let target = |kind: &str| {
            let target = package.targets.iter().find(|target| target.kind.iter().any(|k| k == kind));
            target.map(|target| target.src_path.clone())
        };
        let rustfmt = [root.as_path(), &workspace]
            .iter()
            .flat_map(|folder| ["rustfmt.toml", ".rustfmt.toml"].map(|name| folder.join(name)))
            .find_map(|path| fs::read_to_string(path).ok());
        Self {
            lib: target("lib"),
            bin: target("bin"),
            rustfmt: Some(rustfmt.unwrap_or_default()),
            package: package.name,
            edition: package.edition,
            rust_version: package.rust_version,
            dependencies: package.dependencies,
            others_dependencies: others.into_iter().flat_map(|package| package.dependencies).collect(),
            workspace,
            root,
        }
    }

    /// What the package itself depends on. Tests and build scripts have dependencies of their own.
    pub fn own_dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.is_of_package())
    }

    /// What the library is called in code.
    pub fn library_name(&self) -> String {
        self.package.replace('-', "_")
    }

    /// The crate that the module goes into: handlers are where the routes are, in the library if there is one.
    pub fn crate_root(&self) -> Option<&Path> {
        self.lib.as_deref().or(self.bin.as_deref())
    }

    /// All of the host's own sources, but for a module.
    pub fn sources(&self, without: &str) -> Vec<PathBuf> {
        let src = self.root.join("src");
        let mut found = Vec::new();
        collect(&src, &mut found);
        found.retain(|path| !path.starts_with(src.join(without)) && *path != src.join(format!("{without}.rs")));
        found.sort();
        found
    }

    /// Below the host's folder, with `/` between its parts.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
