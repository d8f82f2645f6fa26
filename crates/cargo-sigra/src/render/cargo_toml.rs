//! Renders the `Cargo.toml` of a new application: the template's, without its ties to this repository.

use toml_edit::{DocumentMut, InlineTable, Item, TableLike, TomlError, Value};

use crate::{
    plan::{
        Plan,
        choices::Database,
        sigra_source::{SIGRA_VERSION, SigraSource},
    },
    system::cargo::DEPENDENCY_TABLES,
};

/// A mistake in the template's `Cargo.toml`. Tests find it before users do.
#[derive(Debug, thiserror::Error)]
pub enum CargoTomlError {
    #[error("can't parse the template's Cargo.toml: {0}")]
    Toml(#[from] TomlError),
    #[error("the template's Cargo.toml lacks `{0}`")]
    Lacks(String),
}

/// Returns the `Cargo.toml` of an application.
pub fn of_application(text: &str, plan: &Plan) -> Result<String, CargoTomlError> {
    let mut doc = dependencies_of(text, plan)?;
    for key in ["name", "default-run"] {
        doc["package"][key] = toml_edit::value(plan.app.package());
    }
    Ok(doc.to_string())
}

/// Returns the template's `Cargo.toml` for one database, with the source of the library.
pub fn dependencies_of(text: &str, plan: &Plan) -> Result<DocumentMut, CargoTomlError> {
    let mut doc: DocumentMut = text.parse()?;
    let database = features_of(&doc, plan.choices.db)?;
    doc.remove("features");
    for feature in database {
        if let Some((dependency, feature)) = feature.split_once('/') {
            add_feature(&mut doc, dependency, feature)?;
        }
    }
    for table in DEPENDENCY_TABLES {
        let Some(dependencies) = doc.get_mut(table).and_then(Item::as_table_like_mut) else { continue };
        put_on_one_line(dependencies);
        if let Some(sigra) = dependencies.get_mut("sigra").and_then(Item::as_inline_table_mut) {
            point(sigra, &plan.sigra);
        }
    }
    Ok(doc)
}

/// Returns the features that the template's feature for a database enables.
fn features_of(doc: &DocumentMut, db: Database) -> Result<Vec<String>, CargoTomlError> {
    let name = match db {
        Database::Sqlite => "sqlite",
        Database::Postgres => "postgres",
    };
    let list = doc.get("features").and_then(|features| features.get(name)).and_then(Item::as_array);
    let list = list.ok_or_else(|| CargoTomlError::Lacks(format!("features.{name}")))?;
    Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn add_feature(doc: &mut DocumentMut, dependency: &str, feature: &str) -> Result<(), CargoTomlError> {
    let features = doc.get_mut("dependencies").and_then(|table| table.get_mut(dependency));
    let features = features.and_then(|dependency| dependency.get_mut("features")).and_then(Item::as_array_mut);
    features.ok_or_else(|| CargoTomlError::Lacks(format!("dependencies.{dependency}.features")))?.push(feature);
    Ok(())
}

/// Joins lists of features, which the template's regions break into lines.
fn put_on_one_line(dependencies: &mut dyn TableLike) {
    for (_, dependency) in dependencies.iter_mut() {
        if let Some(features) = dependency.get_mut("features").and_then(Item::as_array_mut) {
            let mut names: Vec<String> = features.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            names.sort();
            *features = names.into_iter().collect();
        }
    }
}

fn point(sigra: &mut InlineTable, source: &SigraSource) {
    let features = sigra.remove("features");
    let default_features = sigra.remove("default-features");
    sigra.clear();
    if let Some(path) = source.path() {
        sigra.insert("path", path.into());
    }
    sigra.insert("version", SIGRA_VERSION.into());
    for (key, value) in [("default-features", default_features), ("features", features)] {
        if let Some(value) = value {
            sigra.insert(key, value);
        }
    }
    sigra.fmt();
}
