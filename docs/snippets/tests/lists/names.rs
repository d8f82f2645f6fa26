//! Names in the text of the guides exist in the sources.

use std::collections::BTreeSet;

use super::{
    links::{pages, prose},
    sources::{files, read},
    tables::code,
};

/// Names of other programs and libraries.
const FOREIGN: [&str; 20] = [
    "auth_session",
    "auth_user",
    "auto_stop_machines",
    "cookie_jar",
    "default_pool_size",
    "encrypted_password",
    "get_group_permissions",
    "get_user_permissions",
    "http_upgrade",
    "lb_try_duration",
    "max_prepared_statements",
    "permission_required",
    "pg_dump",
    "proxy_buffer_size",
    "proxy_http_version",
    "proxy_read_timeout",
    "reverse_proxy",
    "serde_urlencoded",
    "stop_grace_period",
    "with_allowed_hosts",
];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Returns whether a word can be the name of a function, a field, a column or a setting.
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

/// Returns a text with single spaces, like Rust and HTML show a text on several lines.
fn on_one_line(text: &str) -> String {
    text.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_text_that_the_guides_quote_is_in_the_application() {
    let folders = ["crates/sigra/src", "crates/cargo-sigra/template/src", "crates/cargo-sigra/template/templates"];
    let endings = [".rs", ".html", ".txt"];
    let mut sources: Vec<String> =
        folders.iter().flat_map(|folder| endings.iter().flat_map(|ending| files(folder, ending))).collect();
    sources.extend(files("crates/cargo-sigra/template/static", ".css"));
    let sources = on_one_line(&sources.join("\n"));
    let mut unknown = Vec::new();
    let mut quotations = 0;
    for path in pages().into_iter().filter(|path| path.starts_with("docs/") && path != "docs/asvs.md") {
        let text: String = prose(&read(&path)).split('`').step_by(2).collect();
        for quoted in on_one_line(&text).split('"').skip(1).step_by(2) {
            if quoted.starts_with(|c: char| c.is_ascii_uppercase()) {
                quotations += 1;
                if !sources.contains(quoted) {
                    unknown.push(format!("{path}: {quoted}"));
                }
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
    assert!(quotations > 20, "{quotations}");
}
