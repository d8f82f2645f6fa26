//! Reads the sources as text.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Folders with files that aren't ours.
const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", "wip"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names of the folders in a folder of the repository.
pub fn folders(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let folders = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Returns the texts of all files with an ending in a folder of the repository.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

/// Returns the names of all tests.
pub fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in ["crates", "docs/snippets", "fuzz", "bench"].iter().flat_map(|folder| files(folder, ".rs")) {
        let mut is_test = false;
        for line in source.lines().map(str::trim) {
            is_test |= line.starts_with("#[test") || (line.starts_with("#[") && line.contains("::test"));
            if let Some((before, rest)) = line.split_once("fn ")
                && ["", "async ", "pub ", "pub async "].contains(&before)
            {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if std::mem::take(&mut is_test) {
                    tests.insert(name);
                }
            }
        }
    }
    tests
}

/// Returns the string constants of a source, as `(name, value)`.
pub fn constants(source: &str) -> Vec<(String, String)> {
    let constant = |line: &str| {
        let (name, value) = line.trim().trim_start_matches("pub ").strip_prefix("const ")?.split_once(": &str = \"")?;
        Some((name.to_owned(), value.strip_suffix("\";")?.to_owned()))
    };
    source.lines().filter_map(constant).collect()
}

/// Returns the block that begins with a line, up to its closing brace.
pub fn block<'s>(source: &'s str, first_line: &str) -> &'s str {
    let start = source.find(first_line).unwrap_or_else(|| panic!("no `{first_line}`"));
    let indent = source[..start].rsplit('\n').next().unwrap_or_default();
    let rest = &source[start..];
    let end = rest.find(&format!("\n{indent}}}")).unwrap_or_else(|| panic!("`{first_line}` has no end"));
    &rest[..end]
}
