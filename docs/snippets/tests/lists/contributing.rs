//! The tables in CONTRIBUTING.md name files that exist.

use std::{collections::BTreeSet, fs};

use super::{
    sources::{read, root},
    tables::{code, table},
};

/// Returns the modules in a folder of sources, without the crate's root.
fn modules(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .filter(|name| !["docs", "lib", "main"].contains(&name.as_str()))
        .collect()
}

#[test]
fn each_file_in_where_is_the_rule_exists_and_has_the_word_to_look_for() {
    let rows = table(&read("CONTRIBUTING.md"), &["where is the rule for", "file", "look for"]);
    assert!(rows.len() >= 20, "{}", rows.len());
    for row in rows {
        for file in code(&row[1]) {
            let path = root().join(&file);
            assert!(path.exists(), "{}: there is no {file}", row[0]);
            for word in code(&row[2]) {
                assert!(path.is_dir() || read(&file).contains(&word), "{}: {file} has no `{word}`", row[0]);
            }
        }
    }
}

#[test]
fn the_tables_of_modules_are_complete() {
    let page = read("CONTRIBUTING.md");
    for (folder, head) in [
        ("crates/sigra/src", "module of the library"),
        ("crates/cargo-sigra/src", "module of the generator"),
        ("crates/cargo-sigra/template/src", "module of the template"),
    ] {
        let listed: Vec<String> = table(&page, &[head]).iter().flat_map(|row| code(&row[0])).collect();
        let listed_once: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(listed.len(), listed_once.len(), "{folder}: a module is listed twice");
        assert_eq!(listed_once, modules(folder), "{folder}");
    }
}
