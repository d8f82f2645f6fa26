//! The packages as the registry would get them.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;
use toml_edit::{Array, DocumentMut, value};

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

    pub fn folder_of(&self, name: &str) -> PathBuf {
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

    /// Returns what makes packages get these from here instead of from the registry.
    pub fn patch(&self) -> String {
        let paths = self.names.iter().map(|(name, _)| format!("{name}.path = {:?}\n", self.folder_of(name)));
        format!("[patch.crates-io]\n{}", paths.collect::<String>())
    }

    /// Returns the `Cargo.toml` of a package with the dependencies of the generator and of the library's tests. In a
    /// workspace with it, dependencies have the features that this checkout has built them with.
    pub fn dependencies(&self, name: &str) -> String {
        let manifest =
            |package| read(&self.folder_of(package).join("Cargo.toml")).parse::<DocumentMut>().expect("TOML");
        let (generator, library) = (manifest("cargo-sigra"), manifest("sigra"));
        let mut made = DocumentMut::new();
        made["package"]["name"] = value(name);
        made["package"]["edition"] = value("2024");
        made["dependencies"] = generator["dependencies"].clone();
        // The template's JSON API.
        made["dependencies"]["time"]["features"] = value(Array::from_iter(["serde"]));
        made["dev-dependencies"] = library["dev-dependencies"].clone();
        made.to_string()
    }

    /// Builds the generator, and returns its path.
    pub fn generator(&self) -> PathBuf {
        let folder = self.folder_of("cargo-sigra");
        fs::create_dir_all(folder.join(".cargo")).expect("made");
        fs::write(folder.join(".cargo/config.toml"), self.patch()).expect("written");
        fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the versions of dependencies");
        cargo(&folder, &["build"]);
        // The tests have the program of this checkout at the same path.
        let own = folder.join("cargo-sigra");
        fs::rename(target_folder().join("debug/cargo-sigra"), &own).expect("the program");
        own
    }
}
