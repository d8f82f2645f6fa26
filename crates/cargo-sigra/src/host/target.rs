//! The targets of a package: its library and its binaries.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A target in the output of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub struct CargoTarget {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A library that other crates can use.
    Library,
    /// A library for programs that aren't written in Rust. No crate can use it.
    Loaded,
    Program,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub kind: Kind,
    /// Its name in Cargo, such as `my-app`.
    pub name: String,
    /// The root file of the crate.
    pub root: PathBuf,
}

impl Target {
    /// Returns libraries and binaries. Tests, benches, examples, build scripts and macros don't serve anything.
    pub fn of(target: CargoTarget) -> Option<Self> {
        let is = |kinds: &[&str]| target.kind.iter().any(|kind| kinds.contains(&kind.as_str()));
        let kind = if is(&["lib", "rlib", "dylib"]) {
            Kind::Library
        } else if is(&["cdylib", "staticlib"]) {
            Kind::Loaded
        } else if is(&["bin"]) {
            Kind::Program
        } else {
            return None;
        };
        Some(Self { kind, name: target.name, root: real(&target.src_path) })
    }

    /// Returns the name of the crate in code.
    pub fn crate_name(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// Resolves links in the file's folder, but not the file itself: if it is a link, it stays one.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(path.file_name()).map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kinds: &[&str]) -> Option<Kind> {
        let kind = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Target::of(CargoTarget { name: "a".into(), kind, src_path: "src/lib.rs".into() }).map(|target| target.kind)
    }

    #[test]
    fn only_libraries_and_binaries_are_targets() {
        assert_eq!(target(&["lib"]), Some(Kind::Library));
        assert_eq!(target(&["cdylib", "rlib"]), Some(Kind::Library));
        assert_eq!(target(&["cdylib"]), Some(Kind::Loaded));
        assert_eq!(target(&["bin"]), Some(Kind::Program));
        for other in ["test", "bench", "example", "custom-build", "proc-macro"] {
            assert_eq!(target(&[other]), None);
        }
    }
}
