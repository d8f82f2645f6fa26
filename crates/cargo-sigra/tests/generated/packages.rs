//! The packages as the registry would get them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use super::{cargo, read, target_folder, workspace};

/// The packages that would be published, unpacked.
pub struct Packages {
    folder: TempDir,
    /// Each with its version.
    names: Vec<(String, String)>,
}

impl Packages {
    pub fn unpacked() -> Self {
        let metadata = cargo(workspace(), &["metadata", "--no-deps", "--format-version", "1"]);
        let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
        let packages = metadata["packages"].as_array().expect("packages").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let names: Vec<_> = packages
            .filter(|package| package["publish"].is_null())
            .map(|package| (text(&package["name"]), text(&package["version"])))
            .collect();
        assert!(names.len() >= 2, "{names:?}");
        let chosen = names.iter().flat_map(|(name, _)| ["--package", name]);
        cargo(workspace(), &["package", "--no-verify", "--allow-dirty"].into_iter().chain(chosen).collect::<Vec<_>>());
        let folder = tempfile::tempdir().expect("a folder");
        for (name, version) in &names {
            let packed = target_folder().join(format!("package/{name}-{version}.crate"));
            let packed = File::open(&packed).unwrap_or_else(|error| panic!("{}: {error}", packed.display()));
            tar::Archive::new(GzDecoder::new(packed)).unpack(folder.path()).expect("unpacked");
        }
        let packages = Self { folder, names };
        packages.assert_complete();
        packages
    }

    fn folder_of(&self, name: &str) -> PathBuf {
        let (name, version) = self.names.iter().find(|(known, _)| known == name).expect("a package");
        self.folder.path().join(format!("{name}-{version}"))
    }

    /// Checks that each has what the registry shows, and that the template consists of files instead of links.
    fn assert_complete(&self) {
        for (name, _) in &self.names {
            let manifest = read(&self.folder_of(name).join("Cargo.toml"));
            assert!(!manifest.contains("path = \"../"), "{manifest}");
            for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
                assert!(self.folder_of(name).join(file).exists(), "{name} has no {file}");
            }
        }
        let embedded = self.folder_of("cargo-sigra").join("embedded");
        for entry in fs::read_dir(&embedded).expect("the template").flatten() {
            assert!(!entry.file_type().expect("a type").is_symlink(), "{entry:?}");
        }
        assert!(embedded.join("src/web/router.rs").exists() && embedded.join(".github/workflows/ci.yml").exists());
    }

    /// Makes a package get the others from here, like from the registry.
    pub fn patch(&self, package: &Path) {
        let patches = self.names.iter().map(|(name, _)| format!("{name}.path = {:?}\n", self.folder_of(name)));
        let settings = package.join(".cargo");
        fs::create_dir_all(&settings).expect("made");
        let text = format!("[patch.crates-io]\n{}", patches.collect::<String>());
        fs::write(settings.join("config.toml"), text).expect("written");
        fs::copy(workspace().join("Cargo.lock"), package.join("Cargo.lock")).expect("the versions of dependencies");
    }

    /// Builds a program of a package, and returns its path.
    pub fn build(&self, package: &str, program: &str) -> PathBuf {
        let folder = self.folder_of(package);
        self.patch(&folder);
        cargo(&folder, &["build", "--bin", program]);
        let own = folder.join(program);
        fs::copy(target_folder().join("debug").join(program), &own).expect("the program");
        own
    }
}
