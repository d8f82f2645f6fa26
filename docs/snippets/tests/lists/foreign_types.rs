//! Types of other crates in the library's public API. Each one binds the versions of both crates.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::sources::read;

/// Reads the documentation of the library, which `cargo doc` writes as JSON with `crates/sigra/rustdoc-json` as
/// rustdoc.
fn documentation() -> Value {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").join("doc/sigra.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!(
            "{}: {error}. Run `RUSTDOC=$PWD/crates/sigra/rustdoc-json cargo doc --workspace --all-features --no-deps`",
            file.display()
        )
    });
    serde_json::from_str(&text).expect("JSON")
}

/// Collects the types and traits of other crates that a value mentions.
fn collect(value: &Value, documentation: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(id) = fields.get("id").and_then(Value::as_u64) {
                found.extend(foreign(id, documentation));
            }
            fields.values().for_each(|value| collect(value, documentation, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, documentation, found)),
        _ => {}
    }
}

/// Returns the full path of an item, unless it belongs to the library or the standard library.
fn foreign(id: u64, documentation: &Value) -> Option<String> {
    let summary = &documentation["paths"][id.to_string()];
    let path: Vec<_> = summary["path"].as_array()?.iter().filter_map(Value::as_str).collect();
    let is_foreign = summary["crate_id"] != 0 && !["alloc", "core", "std"].contains(path.first()?);
    is_foreign.then(|| path.join("::"))
}

/// Returns the signature of an item, without the items inside. Generated implementations are left out.
fn signature(item: &Value) -> Value {
    let inner = &item["inner"];
    let implementation = &inner["impl"];
    if implementation.is_object() {
        let is_generated = implementation["is_synthetic"] == true || !implementation["blanket_impl"].is_null();
        let parts = ["trait", "for", "generics"].map(|part| implementation[part].clone());
        return if is_generated { Value::Null } else { Value::from(parts.to_vec()) };
    }
    if inner["module"].is_object() { Value::Null } else { inner.clone() }
}

/// Reads `allowed_external_types`, which cargo-check-external-types uses too.
fn allowed() -> BTreeSet<String> {
    let manifest = read("crates/sigra/Cargo.toml");
    let list = manifest.split("allowed_external_types = [").nth(1).and_then(|rest| rest.split(']').next());
    let entries = list.expect("a list").split(',').map(|entry| entry.trim().trim_matches('"').to_owned());
    entries.filter(|entry| !entry.is_empty()).collect()
}

fn allows(entry: &str, path: &str) -> bool {
    entry == path || entry.strip_suffix('*').is_some_and(|krate| path.starts_with(krate))
}

#[test]
#[ignore = "a separate step of `./test`, which writes the documentation as JSON first"]
fn types_of_other_crates_in_the_public_api_are_allowed() {
    let documentation = documentation();
    let mut found = BTreeSet::new();
    let items = documentation["index"].as_object().expect("items").values().filter(|item| item["crate_id"] == 0);
    items.for_each(|item| collect(&signature(item), &documentation, &mut found));
    assert!(found.contains("time::offset_date_time::OffsetDateTime"), "nothing was found: {found:?}");

    let allowed = allowed();
    let new: Vec<_> = found.iter().filter(|path| !allowed.iter().any(|entry| allows(entry, path))).collect();
    let gone: Vec<_> = allowed.iter().filter(|entry| !found.iter().any(|path| allows(entry, path))).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "in the public API, but not allowed in crates/sigra/Cargo.toml: {new:#?}\nallowed, but not in the public API: {gone:#?}"
    );
}
