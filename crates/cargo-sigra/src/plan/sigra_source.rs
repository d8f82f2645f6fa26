//! The source of the library: the registry, or a checkout.

use std::{
    env, fs, io,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;
use toml_edit::{DocumentMut, Item};

use crate::system::{
    cargo,
    terminal::{STRONG, styled},
};

/// The version of the library that belongs to this program.
pub const SIGRA_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder that this program was built from, and the library's folder next to it in a checkout.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");
const BESIDE: &str = "../sigra";

/// The source of the library for `Cargo.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigraSource {
    /// The registry, in the version of this program.
    Registry,
    /// A checkout, by the path to write into `Cargo.toml`.
    Path(String),
    /// The checkout that this program was built from, which is the default.
    OwnCheckout(String),
}

/// Why there is no source of the library.
#[derive(Debug, thiserror::Error)]
pub enum SigraSourceError {
    #[error("`--sigra-path {0}` is not the library: in a checkout of Sigra, that is the folder `crates/sigra`")]
    NoLibrary(PathBuf),
    #[error("`--sigra-path {path}` has version {version} of the library, but this program needs {SIGRA_VERSION}")]
    OtherVersion { path: PathBuf, version: String },
    #[error(
        "the checkout that this program was built from doesn't exist anymore, and the registry has no version {SIGRA_VERSION} of \
         `sigra`: pass the path of the library with `--sigra-path path/to/crates/sigra`"
    )]
    NotPublished,
    #[error("can't find the current folder: {0}")]
    CurrentFolder(io::Error),
}

impl SigraSource {
    /// Returns the source for the application in a folder, which need not exist yet: `--sigra-path`, what the
    /// application already uses, or where this program was built.
    pub fn of(path: Option<&Path>, application: &Path) -> Result<Self, SigraSourceError> {
        match path {
            Some(path) => Self::at(path, application),
            None => Self::declared(application).map_or_else(|| Self::own(Path::new(BUILT_FROM), is_published), Ok),
        }
    }

    /// Keeps a relative path relative to the application, so that it stays valid if both are moved or cloned together.
    fn at(path: &Path, application: &Path) -> Result<Self, SigraSourceError> {
        let there = path.canonicalize().map_err(|_| SigraSourceError::NoLibrary(path.to_owned()))?;
        match version_of(&there) {
            Some(version) if version == SIGRA_VERSION => {}
            Some(version) => return Err(SigraSourceError::OtherVersion { path: path.to_owned(), version }),
            None => return Err(SigraSourceError::NoLibrary(path.to_owned())),
        }
        if path.is_absolute() {
            return Ok(Self::Path(path.to_string_lossy().into_owned()));
        }
        let application = resolved(application).map_err(SigraSourceError::CurrentFolder)?;
        Ok(Self::Path(relative(&application, &there).unwrap_or(there).to_string_lossy().replace('\\', "/")))
    }

    /// Returns the source in the application's `Cargo.toml`.
    fn declared(application: &Path) -> Option<Self> {
        let doc: DocumentMut = fs::read_to_string(application.join("Cargo.toml")).ok()?.parse().ok()?;
        let sigra = doc.get("dependencies")?.get("sigra")?;
        let path = sigra.get("path").and_then(Item::as_str);
        Some(path.map_or(Self::Registry, |path| Self::Path(path.to_owned())))
    }

    /// Returns the source of this program. A crate from the registry is in a folder with its version in the name.
    fn own(built_from: &Path, is_published: fn() -> bool) -> Result<Self, SigraSourceError> {
        let is_of_registry = built_from.ends_with(concat!("cargo-sigra-", env!("CARGO_PKG_VERSION")));
        if is_of_registry {
            return Ok(Self::Registry);
        }
        let beside = built_from.join(BESIDE).canonicalize().ok();
        match beside.filter(|path| version_of(path).as_deref() == Some(SIGRA_VERSION)) {
            Some(path) => Ok(Self::OwnCheckout(path.to_string_lossy().into_owned())),
            None if is_published() => Ok(Self::Registry),
            None => Err(SigraSourceError::NotPublished),
        }
    }

    /// Prints a note about a default that the user didn't choose.
    pub fn print_note(&self) {
        if let Self::OwnCheckout(path) = self {
            let note = styled(STRONG, "note:");
            anstream::println!(
                "\n{note} Cargo.toml uses Sigra from {path}, which this program was built from. To use another checkout, pass `--sigra-path`"
            );
        }
    }

    /// Returns the path to write into `Cargo.toml`.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Registry => None,
            Self::Path(path) | Self::OwnCheckout(path) => Some(path),
        }
    }
}

/// Returns whether the registry has this version of the library.
fn is_published() -> bool {
    let version = format!("sigra@{SIGRA_VERSION}");
    // In a temporary folder, because in a workspace with a package of this name, Cargo would show that one.
    let output = cargo::command()
        .args(["info", "--quiet", "--registry", "crates-io", &version])
        .current_dir(env::temp_dir())
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns the version of the library in a folder, if it is there.
fn version_of(folder: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let manifest = folder.join("Cargo.toml").canonicalize().ok()?;
    let output = cargo::command()
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output();
    let metadata: Metadata = serde_json::from_slice(&output.ok()?.stdout).ok()?;
    // A workspace can contain other packages.
    let is_library = folder.join("src/lib.rs").exists();
    metadata.packages.into_iter().find(|it| it.name == "sigra" && is_library).map(|it| it.version)
}

/// Resolves links in the path of a folder, which need not exist yet.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    Ok(match there {
        Some((part, resolved)) => resolved.join(path.strip_prefix(part).unwrap_or(Path::new(""))),
        None => path,
    })
}

/// Returns the relative path from one folder to another. `None` if they are on different drives of Windows.
fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let (from, to): (Vec<Component>, Vec<Component>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    (shared > 0)
        .then(|| from[shared..].iter().map(|_| Component::ParentDir).chain(to[shared..].iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> PathBuf {
        Path::new(BUILT_FROM).join(BESIDE).canonicalize().expect("the library")
    }

    #[test]
    fn the_path_to_the_library_is_relative_to_the_application() {
        let way = |from, to| relative(Path::new(from), Path::new(to)).expect("a way");
        assert_eq!(way("/code/apps/shop", "/code/sigra/crates/sigra"), Path::new("../../sigra/crates/sigra"));
        assert_eq!(way("/code/sigra", "/code/sigra/crates/sigra"), Path::new("crates/sigra"));
        assert_eq!(relative(Path::new("shop"), Path::new("/sigra")), None);
    }

    #[test]
    fn a_path_to_a_checkout_stays_absolute_or_relative() {
        let folder = tempfile::tempdir().expect("a folder");
        let application = folder.path().join("shop");
        let asked = SigraSource::of(Some(&library()), &application).expect("a source");
        assert_eq!(asked, SigraSource::Path(library().to_string_lossy().into_owned()));

        // Tests of this package run in its folder.
        let SigraSource::Path(path) = SigraSource::of(Some(Path::new("../sigra")), &application).expect("a source")
        else {
            panic!("not a path");
        };
        fs::create_dir(&application).expect("made");
        assert!(Path::new(&path).is_relative(), "{path}");
        assert_eq!(application.join(path).canonicalize().expect("a folder"), library());
        for not_it in [".", "..", "/nowhere", "src"] {
            let refused = SigraSource::of(Some(Path::new(not_it)), &application);
            assert!(matches!(refused, Err(SigraSourceError::NoLibrary(_))), "{not_it}: {refused:?}");
        }
    }

    #[test]
    fn an_application_keeps_its_source_of_the_library() {
        let folder = tempfile::tempdir().expect("a folder");
        let with = |line: &str| {
            let manifest = format!("[package]\nname = \"shop\"\n[dependencies]\n{line}\n");
            fs::write(folder.path().join("Cargo.toml"), manifest).expect("written");
            SigraSource::of(None, folder.path()).expect("a source")
        };
        assert_eq!(with("sigra = \"0.1\""), SigraSource::Registry);
        assert_eq!(with("sigra = { path = \"../sigra\" }"), SigraSource::Path("../sigra".to_owned()));
        assert_eq!(with(""), SigraSource::OwnCheckout(library().to_string_lossy().into_owned()));
    }

    #[test]
    fn without_a_checkout_the_registry_must_have_the_library() {
        let of_registry = format!("/home/ada/.cargo/registry/src/index/cargo-sigra-{SIGRA_VERSION}");
        assert_eq!(SigraSource::own(Path::new(&of_registry), || false).expect("a source"), SigraSource::Registry);
        let gone = Path::new("/build/sigra/crates/cargo-sigra");
        assert_eq!(SigraSource::own(gone, || true).expect("a source"), SigraSource::Registry);
        assert!(matches!(SigraSource::own(gone, || false), Err(SigraSourceError::NotPublished)));
        assert!(matches!(SigraSource::own(Path::new(BUILT_FROM), || false), Ok(SigraSource::OwnCheckout(_))));
    }
}
