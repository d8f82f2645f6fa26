//! The packages have what the registry and its users need.

use std::{collections::BTreeMap, fs};

use super::sources::{read, root};

/// Returns the manifests of the published packages, by their folders.
fn published() -> BTreeMap<String, toml_edit::DocumentMut> {
    let folders = fs::read_dir(root().join("crates")).expect("a folder").flatten();
    let folders = folders.map(|entry| format!("crates/{}", entry.file_name().to_string_lossy()));
    let found = folders.filter(|folder| root().join(folder).join("Cargo.toml").exists());
    let found = found.map(|folder| (folder.clone(), read(&format!("{folder}/Cargo.toml")).parse().expect("TOML")));
    let found: BTreeMap<String, toml_edit::DocumentMut> = found.collect();
    assert!(found.len() >= 2, "{found:?}");
    found
}

#[test]
fn every_package_describes_itself() {
    for (folder, manifest) in published() {
        let package = &manifest["package"];
        for key in ["description", "readme", "keywords", "categories", "license", "version", "rust-version"] {
            assert!(package.get(key).is_some(), "{folder} has no `{key}`");
        }
        for (key, max) in [("keywords", 5), ("categories", 5)] {
            let count = package[key].as_array().map_or(0, |list| list.len());
            assert!((1..=max).contains(&count), "{folder}: the registry accepts up to {max} {key}");
        }
    }
}

#[test]
fn every_package_has_the_texts_of_its_licenses() {
    for (folder, _) in published() {
        for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
            assert_eq!(read(&format!("{folder}/{name}")), read(name), "{folder}/{name}");
        }
        assert!(!read(&format!("{folder}/README.md")).is_empty());
    }
}

/// Without this, the documentation lacks what needs a feature.
#[test]
fn the_documentation_of_libraries_is_built_with_all_features() {
    for (folder, manifest) in published() {
        if root().join(&folder).join("src/lib.rs").exists() {
            let docs = &manifest["package"]["metadata"]["docs"]["rs"];
            assert_eq!(docs["all-features"].as_bool(), Some(true), "{folder}");
        }
    }
}
