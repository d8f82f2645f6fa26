//! What Cargo builds of a package: its library and its programs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// As `cargo metadata` has it.
#[derive(Debug, Deserialize)]
pub struct CargoTarget {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That other crates can use.
    Library,
    /// That is loaded by what is not written in Rust, and that no crate can use.
    Loaded,
    Program,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub kind: Kind,
    /// As Cargo knows it: `my-app`.
    pub name: String,
    /// The file that the crate begins with.
    pub root: PathBuf,
}

impl Target {
    /// Of tests, benches, examples, build scripts and macros nothing is served.
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

    /// What the crate is called in code.
    pub fn crate_name(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// As the folder is called that one is in: a file that is a link stays where it is linked.
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
    fn a_target_is_a_library_or_a_program_or_nothing_that_serves() {
        assert_eq!(target(&["lib"]), Some(Kind::Library));
        assert_eq!(target(&["cdylib", "rlib"]), Some(Kind::Library));
        assert_eq!(target(&["cdylib"]), Some(Kind::Loaded));
        assert_eq!(target(&["bin"]), Some(Kind::Program));
        for other in ["test", "bench", "example", "custom-build", "proc-macro"] {
            assert_eq!(target(&[other]), None);
        }
    }
}
