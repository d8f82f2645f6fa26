//! Adds the dependencies of the generated code to the host's `Cargo.toml`. Existing lines keep their form.

use std::{
    io,
    path::{Path, PathBuf},
};

use semver::VersionReq;
use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, Table, TomlError, Value};

use super::{
    dependency::{Dependency, overlap},
    edits::Edit,
    package::Host,
};
use crate::{
    plan::Plan,
    render::cargo_toml::{self, CargoTomlError},
    system::text_file::TextFile,
    template::{
        read::{self, TemplateError},
        regions,
    },
};

/// Features that the generated code needs and that are default features of these crates.
const DEFAULTS: [(&str, &[&str]); 2] = [
    ("axum", &["form", "http1", "json", "matched-path", "query", "tokio", "tracing"]),
    ("sqlx", &["macros", "migrate"]),
];

/// Crates whose feature `full` has everything that the generated code needs.
const WITH_FULL: [&str; 3] = ["tokio", "tower", "tower-http"];

/// Crates whose default features the generated code needs.
const HAS_DEFAULTS: [&str; 8] =
    ["askama", "serde", "serde_json", "time", "tracing", "tracing-subscriber", "url", "uuid"];

/// Crates that the generated code also compiles with in older versions.
const OLDER: [(&str, &str); 3] = [("thiserror", ">=1, <3"), ("tower", ">=0.4, <0.6"), ("tower-http", ">=0.5, <0.8")];

/// Why dependencies can't be added.
#[derive(Debug, thiserror::Error)]
pub enum DependencyError {
    #[error("can't read `{path}`: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("can't parse `{path}`: {error}")]
    Toml { path: PathBuf, error: TomlError },
    #[error("can't add features to `{0}` in Cargo.toml because of its format: write it on a separate line")]
    Shape(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Region(#[from] regions::RegionError),
    #[error(transparent)]
    CargoToml(#[from] CargoTomlError),
}

/// What the generated code requires.
pub struct Template {
    pub edition: String,
    pub rust_version: String,
    pub dependencies: Vec<Needed>,
}

/// A crate that the generated code depends on.
pub struct Needed {
    pub name: String,
    pub req: VersionReq,
    features: Features,
    item: Item,
}

impl Needed {
    fn of(name: &str, item: &Item) -> Option<Self> {
        let (req, features) = (version(item)?, Features::of_item(item));
        Some(Self { name: name.to_owned(), req, features, item: item.clone() })
    }

    /// Returns the versions that the generated code compiles with.
    pub fn good_versions(&self) -> VersionReq {
        let older = OLDER.iter().find(|(name, _)| *name == self.name).and_then(|(_, req)| VersionReq::parse(req).ok());
        older.unwrap_or_else(|| self.req.clone())
    }
}

/// The features that a dependency enables.
struct Features {
    named: Vec<String>,
    has_defaults: bool,
}

impl Features {
    /// Returns the features of the host's dependency, including those that it inherits.
    fn of(dependency: &Dependency) -> Self {
        Self { named: dependency.features.clone(), has_defaults: dependency.uses_default_features }
    }

    fn of_item(item: &Item) -> Self {
        let named = item.get("features").and_then(Item::as_array).into_iter().flatten().filter_map(Value::as_str);
        let has_defaults = item.get("default-features").and_then(Item::as_bool).unwrap_or(true);
        Self { named: named.map(str::to_owned).collect(), has_defaults }
    }

    fn has(&self, name: &str, feature: &str) -> bool {
        let defaults = || DEFAULTS.iter().find(|(of, _)| *of == name).is_some_and(|(_, on)| on.contains(&feature));
        self.named.iter().any(|there| there == feature || there == "full" && WITH_FULL.contains(&name))
            || self.has_defaults && defaults()
    }

    /// Returns the features that the generated code needs and this dependency doesn't enable.
    fn missing(&self, needed: &Needed) -> Vec<String> {
        let name = &*needed.name;
        let defaults = HAS_DEFAULTS.contains(&name) && needed.features.has_defaults && !self.has_defaults;
        let wanted = defaults.then_some("default").into_iter().chain(needed.features.named.iter().map(String::as_str));
        wanted.filter(|feature| !self.has(name, feature)).map(str::to_owned).collect()
    }
}

pub fn add(host: &Host, plan: &Plan) -> Result<Option<Edit>, DependencyError> {
    let (before, mut doc) = manifest(&host.root)?;
    let shared = Shared::of(&host.workspace)?;
    let dependencies = doc.entry("dependencies").or_insert_with(toml_edit::table);
    let Some(dependencies) = dependencies.as_table_like_mut() else {
        return Err(DependencyError::Shape("dependencies".to_owned()));
    };
    let is_dotted = dependencies.iter().any(|(_, item)| item.as_table().is_some_and(Table::is_dotted));
    for needed in of_template(plan)?.dependencies {
        let declared = host.own_dependencies().find(|it| it.key() == needed.name && it.target.is_none());
        match (dependencies.get_mut(&needed.name), declared) {
            (Some(item), Some(declared)) => add_features(&needed, item, Features::of(declared).missing(&needed))?,
            (Some(_), None) => return Err(DependencyError::Shape(needed.name)),
            (None, _) => drop(dependencies.insert(&needed.name, shared.line(&needed, is_dotted))),
        }
    }
    let after = doc.to_string();
    Ok((after != before).then(|| Edit::change("Cargo.toml", &before, after)))
}

fn manifest(folder: &Path) -> Result<(String, DocumentMut), DependencyError> {
    let path = folder.join("Cargo.toml");
    let read = TextFile::read(&path).map_err(|error| DependencyError::Unreadable { path: path.clone(), error });
    let text = read?.text;
    let doc = text.parse().map_err(|error| DependencyError::Toml { path, error })?;
    Ok((text, doc))
}

/// Returns whether the package inherits this dependency from its workspace.
pub fn is_inherited(host: &Host, key: &str) -> bool {
    let line = |doc: &DocumentMut| doc.get("dependencies")?.get(key)?.get("workspace")?.as_bool();
    manifest(&host.root).is_ok_and(|(_, doc)| line(&doc) == Some(true))
}

/// Returns what the template requires with these choices.
pub fn of_template(plan: &Plan) -> Result<Template, DependencyError> {
    let manifest = read::files()?.into_iter().find(|file| file.path == "Cargo.toml");
    let text = manifest.ok_or_else(|| CargoTomlError::Lacks("package".to_owned()))?.text;
    let text = regions::apply("Cargo.toml", &text, |region| plan.keeps(region))?;
    let doc = cargo_toml::dependencies_of(&text, plan)?;
    let of_package = |key: &str| {
        let value = doc.get("package").and_then(|package| package.get(key)).and_then(Item::as_str);
        value.map(str::to_owned).ok_or_else(|| CargoTomlError::Lacks(format!("package.{key}")))
    };
    let table = doc.get("dependencies").and_then(Item::as_table_like);
    let table = table.ok_or_else(|| CargoTomlError::Lacks("dependencies".to_owned()))?;
    let dependencies = table.iter().map(|(name, item)| Needed::of(name, item)).collect::<Option<_>>();
    let dependencies = dependencies.ok_or_else(|| CargoTomlError::Lacks("dependencies' versions".to_owned()))?;
    Ok(Template { edition: of_package("edition")?, rust_version: of_package("rust-version")?, dependencies })
}

/// `[workspace.dependencies]`, which the packages of a workspace inherit.
struct Shared(DocumentMut);

impl Shared {
    fn of(workspace: &Path) -> Result<Self, DependencyError> {
        Ok(Self(manifest(workspace)?.1))
    }

    fn get(&self, name: &str) -> Option<&Item> {
        self.0.get("workspace")?.get("dependencies")?.get(name)
    }

    /// Returns the line for a crate that the package doesn't depend on yet. A workspace dependency in an unsuitable
    /// version isn't inherited, because other packages need it as it is.
    fn line(&self, needed: &Needed, is_dotted: bool) -> Item {
        let good = |item: &&Item| {
            let is_same = item.get("package").and_then(Item::as_str).is_none_or(|package| package == needed.name);
            is_same && version(item).is_none_or(|req| overlap(&req, &needed.good_versions()))
        };
        let Some(inherited) = self.get(&needed.name).filter(good) else { return needed.item.clone() };
        let missing = Features::of_item(inherited).missing(needed);
        if is_dotted && missing.is_empty() {
            let mut table = Table::from_iter([("workspace", true)]);
            table.set_dotted(true);
            return Item::Table(table);
        }
        let mut table = InlineTable::from_iter([("workspace", Value::from(true))]);
        if !missing.is_empty() {
            table.insert("features", Value::Array(missing.into_iter().collect()));
        }
        table.fmt();
        Item::Value(Value::InlineTable(table))
    }
}

fn version(item: &Item) -> Option<VersionReq> {
    VersionReq::parse(item.as_str().or_else(|| item.get("version")?.as_str())?).ok()
}

fn add_features(needed: &Needed, item: &mut Item, missing: Vec<String>) -> Result<(), DependencyError> {
    if missing.is_empty() {
        return Ok(());
    }
    if let Item::Value(Value::String(version)) = item {
        let mut table = InlineTable::from_iter([("version", version.value().as_str())]);
        *table.decor_mut() = version.decor().clone();
        *item = Item::Value(Value::InlineTable(table));
    }
    let shape = || DependencyError::Shape(format!("dependencies.{}", needed.name));
    let table = item.as_table_like_mut().ok_or_else(shape)?;
    if let Some(features) = table.get_mut("features") {
        extend(features.as_array_mut().ok_or_else(shape)?, missing);
        return Ok(());
    }
    table.insert("features", toml_edit::value(Array::from_iter(missing)));
    if let Some(table) = item.as_inline_table_mut() {
        table.fmt();
    }
    Ok(())
}

/// One a line, if that is how the list is written.
fn extend(features: &mut Array, missing: Vec<String>) {
    let last = features.iter().last().map(|last| last.decor().clone());
    let begins_lines =
        last.as_ref().and_then(|decor| decor.prefix()?.as_str()).is_some_and(|space| space.contains('\n'));
    for feature in missing {
        match &last {
            Some(decor) if begins_lines => {
                let mut value = Value::from(feature);
                *value.decor_mut() = Decor::new(decor.prefix().cloned().unwrap_or_default(), "");
                features.push_formatted(value);
            }
            _ => features.push(feature),
        }
    }
}
