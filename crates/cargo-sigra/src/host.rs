//! The application that accounts are installed into, as Cargo knows it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::generate::Plan;

/// Dependencies whose types the generated code shares with the host.
const SHARED: [(&str, Version); 2] = [("axum", Version::new(0, 8, 999)), ("sqlx", Version::new(0, 9, 999))];

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
    #[error("`{package}` asks for {name} {req}, and the generated code needs {name} {needed}: upgrade {name} first")]
    Version { package: String, name: String, req: String, needed: String },
    #[error(
        "`{package}` is in Rust {edition}, and the generated code in 2024: `cargo fix --edition`, then set `edition = \"2024\"`"
    )]
    Edition { package: String, edition: String },
    #[error("`{0}` does not depend on axum: `cargo add axum` if it is to serve the accounts")]
    NoAxum(String),
}

#[derive(Debug)]
pub struct Host {
    pub root: PathBuf,
    pub package: String,
    edition: String,
    /// The root of the library, and of the program.
    pub lib: Option<PathBuf>,
    pub bin: Option<PathBuf>,
    dependencies: Vec<Dependency>,
    pub sqlx_features: Vec<String>,
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
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    req: VersionReq,
    features: Vec<String>,
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
        let package = metadata.packages.into_iter().find(is_here).ok_or(HostError::Elsewhere)?;
        Ok(Self::of(package, here, &metadata.workspace_root))
    }

    fn of(package: Package, root: PathBuf, workspace: &Path) -> Self {
        let target = |kind: &str| {
            let target = package.targets.iter().find(|target| target.kind.iter().any(|k| k == kind));
            target.map(|target| target.src_path.clone())
        };
        let rustfmt = [root.as_path(), workspace]
            .iter()
            .flat_map(|folder| ["rustfmt.toml", ".rustfmt.toml"].map(|name| folder.join(name)))
            .find_map(|path| fs::read_to_string(path).ok());
        let sqlx = package.dependencies.iter().find(|dependency| dependency.name == "sqlx");
        Self {
            lib: target("lib"),
            bin: target("bin"),
            sqlx_features: sqlx.map(|sqlx| sqlx.features.clone()).unwrap_or_default(),
            rustfmt: Some(rustfmt.unwrap_or_default()),
            package: package.name,
            edition: package.edition,
            dependencies: package.dependencies,
            root,
        }
    }

    /// Whether the generated code can be compiled in it.
    pub fn check(&self, _: &Plan) -> Result<(), HostError> {
        let package = self.package.clone();
        if !self.dependencies.iter().any(|dependency| dependency.name == "axum") {
            return Err(HostError::NoAxum(package));
        }
        if self.edition.parse::<u16>().is_ok_and(|edition| edition < 2024) {
            return Err(HostError::Edition { package, edition: self.edition.clone() });
        }
        for (name, version) in SHARED {
            let other = self.dependencies.iter().find(|dependency| dependency.name == name);
            if let Some(dependency) = other.filter(|dependency| !dependency.req.matches(&version)) {
                let needed = format!("{}.{}", version.major, version.minor);
                return Err(HostError::Version {
                    package,
                    name: name.to_owned(),
                    req: dependency.req.to_string(),
                    needed,
                });
            }
        }
        Ok(())
    }

    /// Whether it depends on a crate.
    pub fn depends_on(&self, name: &str) -> bool {
        self.dependencies.iter().any(|dependency| dependency.name == name)
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
