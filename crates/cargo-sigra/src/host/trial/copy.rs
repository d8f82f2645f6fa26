//! A copy of a workspace: everything, or only what Cargo needs to resolve the dependencies.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use tempfile::TempDir;
use toml_edit::{DocumentMut, Item, TableLike, Value};

use crate::{
    host::edits::Edit,
    system::cargo::{self, MetadataError},
};

/// Why the copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("can't copy the workspace to try the changes in it: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// Large folders that the compiler doesn't need.
const LEFT_OUT: [&str; 2] = [".git", "node_modules"];

/// The file that marks a folder as a cache, such as `target`.
const CACHE_TAG: &str = "CACHEDIR.TAG";

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    src_path: PathBuf,
}

/// A copy, which is deleted when it is dropped.
pub struct Copy {
    folder: TempDir,
    /// The host's workspace, and the package in it.
    workspace: PathBuf,
    package: PathBuf,
    target: PathBuf,
    manifests: BTreeSet<PathBuf>,
}

/// Returns a command that runs Cargo in the host's folder, so that the host's Cargo settings apply.
pub fn cargo(root: &Path) -> Command {
    let mut command = cargo::command();
    command.current_dir(root);
    command
}

/// Returns whether a path is that of a `Cargo.toml`.
pub fn is_manifest(path: &str) -> bool {
    Path::new(path).file_name().is_some_and(|name| name == "Cargo.toml")
}

impl Copy {
    /// Copies the `Cargo.toml` files and `Cargo.lock`, with an empty file for each target.
    pub fn of_manifests(root: &Path) -> Result<Self, CopyError> {
        let metadata: Metadata = cargo::metadata(root)?;
        let copy = Self::empty(root, &metadata)?;
        let lock = copy.workspace.join("Cargo.lock");
        for file in copy.manifests.iter().chain([&lock]) {
            if let Some(to) = copy.place_of(file).filter(|_| file.is_file()) {
                make_folder_of(&to)?;
                fs::copy(file, &to)?;
            }
        }
        for target in metadata.packages.iter().flat_map(|package| &package.targets) {
            if let Some(to) = copy.place_of(&target.src_path) {
                make_folder_of(&to)?;
                fs::write(&to, "")?;
            }
        }
        Ok(copy)
    }

    /// Copies everything in the workspace's folder, except build results.
    pub fn whole(root: &Path) -> Result<Self, CopyError> {
        let metadata: Metadata = cargo::metadata(root)?;
        let copy = Self::empty(root, &metadata)?;
        copy.copy_folder(&copy.workspace, copy.folder.path())?;
        Ok(copy)
    }

    fn empty(root: &Path, metadata: &Metadata) -> Result<Self, CopyError> {
        // Paths in the form that Cargo uses: on Windows, `canonicalize` returns another one.
        let workspace = metadata.workspace_root.clone();
        let manifests = metadata.packages.iter().map(|package| package.manifest_path.clone());
        let here = root.canonicalize()?;
        let is_here = |folder: &&Path| folder.canonicalize().is_ok_and(|folder| folder == here);
        let package = metadata.packages.iter().filter_map(|package| package.manifest_path.parent()).find(is_here);
        Ok(Self {
            folder: tempfile::Builder::new().prefix("cargo-sigra-").tempdir()?,
            package: package.unwrap_or(&workspace).to_owned(),
            manifests: manifests.chain([workspace.join("Cargo.toml")]).collect(),
            workspace,
            target: metadata.target_directory.clone(),
        })
    }

    /// Returns the `Cargo.toml` of the package.
    pub fn manifest(&self) -> PathBuf {
        self.in_package("Cargo.toml")
    }

    pub fn target_folder(&self) -> &Path {
        &self.target
    }

    /// Replaces paths of the copy with paths of the host.
    pub fn named(&self, text: &str) -> String {
        let copy = self.folder.path();
        let real = copy.canonicalize().unwrap_or_else(|_| copy.to_owned());
        let workspace = self.workspace.display().to_string();
        text.replace(&real.display().to_string(), &workspace).replace(&copy.display().to_string(), &workspace)
    }

    /// Applies the edits to the copy.
    pub fn apply(&self, edits: &[&Edit]) -> Result<(), CopyError> {
        for edit in edits {
            let path = self.in_package(&edit.path);
            make_folder_of(&path)?;
            match edit.content() {
                Some(content) => fs::write(&path, content)?,
                None => fs::remove_file(&path)?,
            }
        }
        Ok(self.fix_paths()?)
    }

    fn in_package(&self, path: &str) -> PathBuf {
        let package = self.package.strip_prefix(&self.workspace).unwrap_or(Path::new(""));
        normal(&self.folder.path().join(package).join(path))
    }

    /// Returns where a file of the workspace is in the copy. `None` if it is outside the workspace, and isn't copied.
    fn place_of(&self, path: &Path) -> Option<PathBuf> {
        let path = normal(path);
        path.strip_prefix(&self.workspace).ok().map(|path| self.folder.path().join(path))
    }

    fn copy_folder(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            let kind = fs::metadata(&path).map(|metadata| metadata.file_type());
            let is_link = entry.file_type()?.is_symlink();
            match kind {
                Ok(kind) if kind.is_file() => drop(fs::copy(&path, &to)?),
                // A folder behind a link can contain this one.
                Ok(kind) if kind.is_dir() && is_link => link(&path.canonicalize()?, &to)?,
                Ok(kind) if kind.is_dir() && !self.leaves_out(&path) => self.copy_folder(&path, &to)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn leaves_out(&self, folder: &Path) -> bool {
        folder == self.target
            || folder.join(CACHE_TAG).exists()
            || LEFT_OUT.iter().any(|name| folder.file_name().is_some_and(|there| there == *name))
    }

    /// Corrects the paths in each `Cargo.toml` to files that aren't in the copy.
    fn fix_paths(&self) -> io::Result<()> {
        for manifest in &self.manifests {
            let Some(copy) = self.place_of(manifest).filter(|copy| copy.is_file()) else { continue };
            let folder = manifest.parent().unwrap_or(manifest);
            let Ok(mut doc) = fs::read_to_string(&copy)?.parse::<DocumentMut>() else { continue };
            self.fix_table(doc.as_table_mut(), folder);
            fs::write(&copy, doc.to_string())?;
        }
        Ok(())
    }

    fn fix_table(&self, table: &mut dyn TableLike, folder: &Path) {
        for (key, item) in table.iter_mut() {
            let path = item.as_str().filter(|_| key == "path").map(|path| normal(&folder.join(path)));
            if let Some(path) = path {
                let is_copied = self.place_of(&path).is_some_and(|copy| copy.exists());
                if !is_copied {
                    *item = Item::Value(Value::from(path.to_string_lossy().into_owned()));
                }
            } else if let Some(inner) = item.as_table_like_mut() {
                self.fix_table(inner, folder);
            } else if let Some(targets) = item.as_array_of_tables_mut() {
                targets.iter_mut().for_each(|target| self.fix_table(target, folder));
            }
        }
    }
}

fn make_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Resolves `..`, which would lead elsewhere behind a link.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}
