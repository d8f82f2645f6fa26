//! What the generated code depends on, added to the host's `Cargo.toml`. What stands there stays as it is.

use std::{io, path::PathBuf};

use toml_edit::{Array, DocumentMut, InlineTable, Item, TomlError, Value};

use crate::{
    cargo_toml::{self, CargoTomlError},
    edits::Edit,
    generate::Plan,
    host::Host,
    regions,
    template::{self, TemplateError},
    text_file::TextFile,
};

/// What the generated code needs and these crates turn on by themselves.
const DEFAULTS: [(&str, &[&str]); 2] = [
    ("axum", &["form", "http1", "json", "matched-path", "query", "tokio", "tracing"]),
    ("sqlx", &["macros", "migrate"]),
];

/// Crates whose feature `full` is all that the generated code needs of them.
const WITH_FULL: [&str; 3] = ["tokio", "tower", "tower-http"];

/// Why the dependencies can't be added.
#[derive(Debug, thiserror::Error)]
pub enum DependencyError {
    #[error("`{path}` can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("Cargo.toml can't be understood: {0}")]
    Toml(#[from] TomlError),
    #[error("`{0}` stands in Cargo.toml in a way that no feature can be added to")]
    Shape(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Region(#[from] regions::RegionError),
    #[error(transparent)]
    CargoToml(#[from] CargoTomlError),
}

pub fn add(host: &Host, plan: &Plan) -> Result<Option<Edit>, DependencyError> {
    let path = host.root.join("Cargo.toml");
    let before = TextFile::read(&path).map_err(|error| DependencyError::Unreadable { path, error })?.text;
    let mut doc: DocumentMut = before.parse()?;
    let needed = needed(plan)?;
    let dependencies = doc.entry("dependencies").or_insert_with(toml_edit::table);
    let Some(dependencies) = dependencies.as_table_like_mut() else {
        return Err(DependencyError::Shape("dependencies".to_owned()));
    };
    for (name, dependency) in needed {
        match dependencies.get_mut(&name) {
            Some(item) => add_features(&name, item, &dependency)?,
            // It may stand in a table of its own: for one platform, say.
            None if host.depends_on(&name) => return Err(DependencyError::Shape(name)),
            None => drop(dependencies.insert(&name, dependency)),
        }
    }
    let after = doc.to_string();
    Ok((after != before).then(|| Edit::change("Cargo.toml", &before, after)))
}

/// The template's own dependencies, for these choices.
fn needed(plan: &Plan) -> Result<Vec<(String, Item)>, DependencyError> {
    let manifest = template::files()?.into_iter().find(|file| file.path == "Cargo.toml");
    let text = manifest.ok_or_else(|| CargoTomlError::Lacks("package".to_owned()))?.text;
    let text = regions::apply("Cargo.toml", &text, |region| plan.keeps(region))?;
    let doc = cargo_toml::dependencies_of(&text, plan)?;
    let table = doc.get("dependencies").and_then(Item::as_table_like);
    let table = table.ok_or_else(|| CargoTomlError::Lacks("dependencies".to_owned()))?;
    Ok(table.iter().map(|(name, item)| (name.to_owned(), item.clone())).collect())
}

/// Adds those that the host's declaration does not turn on yet.
fn add_features(name: &str, item: &mut Item, needed: &Item) -> Result<(), DependencyError> {
    let wanted = needed.get("features").and_then(Item::as_array);
    let wanted = wanted.into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = wanted.filter(|feature| !turns_on(name, item, feature)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if let Item::Value(Value::String(version)) = item {
        let mut table = InlineTable::from_iter([("version", version.value().as_str())]);
        *table.decor_mut() = version.decor().clone();
        *item = Item::Value(Value::InlineTable(table));
    }
    let shape = || DependencyError::Shape(format!("dependencies.{name}"));
    let table = item.as_table_like_mut().ok_or_else(shape)?;
    if let Some(features) = table.get_mut("features") {
        features.as_array_mut().ok_or_else(shape)?.extend(missing);
        return Ok(());
    }
    table.insert("features", toml_edit::value(Array::from_iter(missing)));
    if let Some(table) = item.as_inline_table_mut() {
        table.fmt();
    }
    Ok(())
}

fn turns_on(name: &str, declared: &Item, feature: &str) -> bool {
    let named = declared.get("features").and_then(Item::as_array);
    let mut named = named.into_iter().flatten().filter_map(Value::as_str);
    let has_defaults =
        declared.get("workspace").is_none() && declared.get("default-features").and_then(Item::as_bool).unwrap_or(true);
    named.any(|there| there == feature || (there == "full" && WITH_FULL.contains(&name)))
        || has_defaults && DEFAULTS.iter().any(|(of, defaults)| *of == name && defaults.contains(&feature))
}
