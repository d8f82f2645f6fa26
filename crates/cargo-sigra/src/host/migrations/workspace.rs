//! The packages of the host's workspace, and those that the host depends on.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::system::cargo::{self, MetadataError};

#[derive(Debug)]
pub struct Member {
    pub root: PathBuf,
    pub workspace: PathBuf,
    /// Its normal dependencies: the name and, in the same workspace, the folder.
    pub dependencies: Vec<(String, Option<PathBuf>)>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
    kind: Option<String>,
}

pub fn members(root: &Path) -> Result<Vec<Member>, MetadataError> {
    let metadata: Metadata = cargo::metadata(root)?;
    let workspace = canonical(&metadata.workspace_root);
    let member = |package: Package| Member {
        root: canonical(package.manifest_path.parent().unwrap_or(&workspace)),
        workspace: workspace.clone(),
        dependencies: package
            .dependencies
            .into_iter()
            .filter(|dependency| dependency.kind.is_none())
            .map(|dependency| (dependency.name, dependency.path.map(|path| canonical(&path))))
            .collect(),
    };
    Ok(metadata.packages.into_iter().map(member).collect())
}

/// Returns the package in this folder, and all packages of the workspace that it depends on.
pub fn dependencies_of<'a>(members: &'a [Member], root: &Path) -> Vec<&'a Member> {
    let at = |root: &Path| members.iter().find(|member| member.root == root);
    let mut found: Vec<&Member> = at(root).into_iter().collect();
    let mut next = 0;
    while let Some(member) = found.get(next).copied() {
        next += 1;
        for used in member.dependencies.iter().filter_map(|(_, path)| path.as_deref()).filter_map(at) {
            if !found.iter().any(|other| other.root == used.root) {
                found.push(used);
            }
        }
    }
    found
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
