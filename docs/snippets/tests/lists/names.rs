//! What the guides name in the text between their snippets, the sources have.

use std::collections::BTreeSet;

use super::{
    links::{pages, prose},
    sources::{files, read},
    tables::code,
};

/// Names of other programs and libraries.
const FOREIGN: [&str; 6] =
    ["auth_session", "http_upgrade", "max_prepared_statements", "permission_required", "pg_dump", "serde_urlencoded"];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Whether it can be the name of a function, a field, a column or a setting.
fn is_name(word: &str) -> bool {
    let is_lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_whole = word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.ends_with('_');
    is_whole && word.contains('_') && word.chars().all(is_lower)
}

#[test]
fn every_name_in_the_guides_is_in_the_sources() {
    let mut sources = Vec::new();
    for folder in ["crates", "bench", "docs/snippets", "e2e", "fuzz"] {
        sources.extend([".rs", ".sql", ".toml", ".js", ".html"].iter().flat_map(|ending| files(folder, ending)));
    }
    sources.push(read("Cargo.lock"));
    let known: BTreeSet<&str> = sources.iter().flat_map(|source| words(source)).chain(FOREIGN).collect();
    let mut unknown = Vec::new();
    for path in pages().into_iter().filter(|path| path != "CHANGELOG.md") {
        let text = prose(&read(&path));
        for name in code(&text).into_iter().flat_map(|quoted| words(&quoted).map(str::to_owned).collect::<Vec<_>>()) {
            if is_name(&name) && !known.contains(name.as_str()) {
                unknown.push(format!("{path}: {name}"));
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}
