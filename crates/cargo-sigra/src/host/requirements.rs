//! Checks that the generated code would compile in the host, and reports everything that is missing at once.

use std::fmt;

use semver::VersionReq;

use super::{
    cargo_toml::{self, DependencyError, Needed},
    dependency::{Dependency, Lock, overlap},
    package::Host,
};
use crate::plan::Plan;

/// Crates whose types the generated code shares with the host and with the library, and their change logs.
const SHARED: [(&str, &str); 2] = [
    ("axum", "https://github.com/tokio-rs/axum/blob/main/axum/CHANGELOG.md"),
    ("sqlx", "https://github.com/launchbadge/sqlx/blob/main/CHANGELOG.md"),
];

/// Why the generated code would not compile in the host.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    #[error("can't install accounts into `{package}` yet:{unmet}")]
    Unmet { package: String, unmet: List },
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// A list with one line for each entry.
#[derive(Debug)]
pub struct List(Vec<Unmet>);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|unmet| write!(f, "\n  - {unmet}"))
    }
}

/// Something that the host lacks, and the fix.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unmet {
    #[error(
        "it uses Rust edition {found}, not {needed}: run `cargo fix --edition`, then set `edition = \"{needed}\"` in Cargo.toml"
    )]
    Edition { found: String, needed: String },
    #[error(
        "its `rust-version` is {found}, but the generated code needs {needed}: set `rust-version = \"{needed}\"` in Cargo.toml"
    )]
    RustVersion { found: String, needed: String },
    #[error("it doesn't depend on axum: run `cargo add axum`, or go to the package that serves your routes")]
    NoAxum,
    #[error("it requires {name} {req}, but the generated code needs {name} {needed}: change {}{}", place(*.is_inherited), guide(.name))]
    Version { name: String, req: String, needed: String, is_inherited: bool },
    #[error("Cargo.lock has {name} {version}, but the generated code needs {name} {needed}: run `cargo update {name}`{}", guide(.name))]
    Locked { name: String, version: String, needed: String },
    #[error(
        "{0} is optional, but accounts need it in every build: remove `optional = true`. A package that is also built for the browser can't have accounts"
    )]
    Optional(String),
    #[error(
        "it calls the package `{package}` `{key}`, but the generated code uses the package {key}: give `{package}` another name"
    )]
    OtherPackage { key: String, package: String },
    #[error(
        "its {0} isn't from the registry, unlike the library's: require a version, and put the other source in `[patch.crates-io]`"
    )]
    Source(String),
}

fn place(is_inherited: bool) -> &'static str {
    if is_inherited { "`[workspace.dependencies]`" } else { "it in Cargo.toml" }
}

/// Returns a note with the change log of a crate, if there is one.
fn guide(name: &str) -> String {
    let guide = SHARED.iter().find(|(shared, _)| *shared == name);
    guide.map(|(_, url)| format!(". For the changes, see {url}")).unwrap_or_default()
}

/// Checks that the generated code can be compiled in the host.
pub fn check(host: &Host, plan: &Plan) -> Result<(), RequirementError> {
    let template = cargo_toml::of_template(plan)?;
    let mut unmet = Vec::new();
    if is_older(&host.edition, &template.edition) {
        unmet.push(Unmet::Edition { found: host.edition.clone(), needed: template.edition });
    }
    if let Some(found) = host.rust_version.clone().filter(|found| is_older(found, &template.rust_version)) {
        unmet.push(Unmet::RustVersion { found, needed: template.rust_version });
    }
    if !host.own_dependencies().any(|dependency| dependency.name == "axum") {
        unmet.push(Unmet::NoAxum);
    }
    let lock = Lock::of(&host.workspace);
    for needed in &template.dependencies {
        unmet.extend(host.own_dependencies().filter_map(|found| of_dependency(host, &lock, needed, found)));
    }
    unmet.dedup();
    if unmet.is_empty() {
        return Ok(());
    }
    Err(RequirementError::Unmet { package: host.package.clone(), unmet: List(unmet) })
}

/// Compares versions such as `1.94`, or editions.
fn is_older(one: &str, other: &str) -> bool {
    let numbers = |version: &str| version.split('.').filter_map(|n| n.parse().ok()).collect::<Vec<u64>>();
    numbers(one) < numbers(other)
}

/// Returns the problem of a dependency of the host, if it concerns this crate.
fn of_dependency(host: &Host, lock: &Lock, needed: &Needed, found: &Dependency) -> Option<Unmet> {
    let name = needed.name.clone();
    let is_shared = SHARED.iter().any(|(shared, _)| *shared == found.name) && found.name == name;
    let has_name = found.key() == name;
    if has_name && found.name != name {
        return Some(Unmet::OtherPackage { key: name, package: found.name.clone() });
    }
    // An old version can be renamed and used next to the new one, by a crate that needs it.
    let has_both = || host.own_dependencies().any(|dependency| dependency.key() == name);
    if !has_name && (!is_shared || has_both()) {
        return None;
    }
    if is_shared && !found.is_from_registry() {
        return Some(Unmet::Source(name));
    }
    let good = needed.good_versions();
    if !overlap(&good, &found.req) {
        let is_inherited = cargo_toml::is_inherited(host, found.key());
        return Some(Unmet::Version { name, req: found.req.to_string(), needed: number(&needed.req), is_inherited });
    }
    if has_name && found.optional {
        return Some(Unmet::Optional(name));
    }
    let held = lock.versions(&host.package, &name);
    let bad = held.into_iter().filter(|version| found.req.matches(version)).find(|version| !good.matches(version))?;
    Some(Unmet::Locked { name, version: bad.to_string(), needed: number(&needed.req) })
}

/// Returns the number of a requirement, without its operator.
fn number(req: &VersionReq) -> String {
    req.to_string().trim_start_matches('^').to_owned()
}
