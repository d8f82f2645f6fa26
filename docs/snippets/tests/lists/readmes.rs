//! Lists in README files match their folders.

use std::{collections::BTreeSet, fs};

use super::{
    sources::{folders, read, root},
    tables::{code, table},
};

/// Returns the names of the files in a folder with an ending, which is replaced.
fn names(folder: &str, ending: &str, by: &str) -> BTreeSet<String> {
    let files = fs::read_dir(root().join(folder)).expect("a folder");
    let files = files.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    files.filter_map(|name| name.strip_suffix(ending).map(|stem| format!("{stem}{by}"))).collect()
}

fn listed(page: &str, head: &[&str]) -> BTreeSet<String> {
    table(&read(page), head).iter().flat_map(|row| code(&row[0])).collect()
}

#[test]
fn every_fuzz_target_is_described() {
    let listed = listed("fuzz/README.md", &["target", "what must hold for any bytes"]);
    assert_eq!(listed, names("fuzz/fuzz_targets", ".rs", ""));
}

#[test]
fn every_example_is_described() {
    assert_eq!(listed("examples/README.md", &["folder", "what it shows"]), folders("examples"));
}

#[test]
fn every_file_of_browser_tests_is_described() {
    assert_eq!(listed("e2e/README.md", &["file", "what"]), names("e2e", ".test.js", ".test.js"));
}

#[test]
fn every_benchmark_is_described() {
    let mut programs = names("bench/src/bin", ".rs", "");
    assert!(programs.remove("serve"), "the server that the others measure");
    assert_eq!(listed("bench/README.md", &["program", "what it measures"]), programs);
}

#[test]
fn every_feature_of_the_library_is_described_with_its_default() {
    let manifest = read("crates/sigra/Cargo.toml");
    let features = manifest.split("[features]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("features");
    let mut lines = features.lines().filter_map(|line| line.split_once(" = "));
    let (_, defaults) = lines.next().filter(|(name, _)| *name == "default").expect("the default comes first");
    let is_default = |name: &str| if defaults.contains(&format!("\"{name}\"")) { "yes" } else { "no" };
    let actual: BTreeSet<String> = lines.map(|(name, _)| format!("`{name}` {}", is_default(name))).collect();
    let rows = table(&read("crates/sigra/README.md"), &["feature", "default"]);
    assert_eq!(rows.iter().map(|row| format!("{} {}", row[0], row[1])).collect::<BTreeSet<_>>(), actual);
}

#[test]
fn the_guide_and_the_readme_list_the_same_commands() {
    let listed = |page: &str| table(&read(page), &["command", "what"]);
    assert_eq!(listed("crates/cargo-sigra/README.md"), listed("docs/installation.md"));
}
