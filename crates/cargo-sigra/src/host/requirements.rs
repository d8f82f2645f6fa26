//! What a host must have for the generated code to compile in it. All that it lacks is said at once.

use std::fmt;

use semver::VersionReq;

use super::{
    cargo_toml::{self, DependencyError, Needed},
    dependency::{Dependency, Lock, overlap},
    package::Host,
};
use crate::plan::Plan;

/// Crates whose types the generated code shares with the host and with the library, and what their new versions ask for.
const SHARED: [(&str, &str); 2] = [
    ("axum", "https://github.com/tokio-rs/axum/blob/main/axum/CHANGELOG.md"),
    ("sqlx", "https://github.com/launchbadge/sqlx/blob/main/CHANGELOG.md"),
];

/// Crates that the generated code compiles with in older versions too.
const OLDER: [(&str, &str); 3] = [("thiserror", ">=1, <3"), ("tower", ">=0.4, <0.6"), ("tower-http", ">=0.5, <0.8")];

/// Why the generated code would not compile in the host.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    #[error("can't install accounts into `{package}` yet:{unmet}")]
    Unmet { package: String, unmet: List },
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// One a line.
#[derive(Debug)]
pub struct List(Vec<Unmet>);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|unmet| write!(f, "\n  - {unmet}"))
    }
}

/// Something that the host lacks, and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unmet {
    #[error(
        "it uses Rust edition {there}, not {needed}: run `cargo fix --edition`, then set `edition = \"{needed}\"` in Cargo.toml"
    )]
    Edition { there: String, needed: String },
    #[error(
        "its `rust-version` is {there}, but the generated code needs {needed}: set `rust-version = \"{needed}\"` in Cargo.toml"
    )]
    RustVersion { there: String, needed: String },
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
        "it calls the package `{package}` `{key}`, but the generated code means {key}: give `{package}` another name"
    )]
    OtherPackage { key: String, package: String },
    #[error(
        "its {0} isn't from the registry, unlike the library's: require a version, and name the other source in `[patch.crates-io]`"
    )]
    Source(String),
}

fn place(is_inherited: bool) -> &'static str {
    if is_inherited { "`[workspace.dependencies]`" } else { "it in Cargo.toml" }
}

/// Where it is said what a new version of a crate asks for.
fn guide(name: &str) -> String {
    let guide = SHARED.iter().find(|(shared, _)| *shared == name);
    guide.map(|(_, url)| format!(". What changes: {url}")).unwrap_or_default()
}

/// Whether the generated code can be compiled in the host.
pub fn check(host: &Host, plan: &Plan) -> Result<(), RequirementError> {
    let template = cargo_toml::of_template(plan)?;
    let mut unmet = Vec::new();
    if is_older(&host.edition, &template.edition) {
        unmet.push(Unmet::Edition { there: host.edition.clone(), needed: template.edition });
    }
    if let Some(there) = host.rust_version.clone().filter(|there| is_older(there, &template.rust_version)) {
        unmet.push(Unmet::RustVersion { there, needed: template.rust_version });
    }
    if !host.own_dependencies().any(|dependency| dependency.name == "axum") {
        unmet.push(Unmet::NoAxum);
    }
    let lock = Lock::of(&host.workspace);
    for needed in &template.dependencies {
        unmet.extend(host.own_dependencies().filter_map(|there| of_dependency(host, &lock, needed, there)));
    }
    unmet.dedup();
    if unmet.is_empty() {
        return Ok(());
    }
    Err(RequirementError::Unmet { package: host.package.clone(), unmet: List(unmet) })
}

/// Of versions such as `1.94`, and of editions.
fn is_older(one: &str, other: &str) -> bool {
    let numbers = |version: &str| version.split('.').filter_map(|n| n.parse().ok()).collect::<Vec<u64>>();
    numbers(one) < numbers(other)
}

/// What is wrong with a line of the host's, if it is about this crate.
fn of_dependency(host: &Host, lock: &Lock, needed: &Needed, there: &Dependency) -> Option<Unmet> {
    let name = needed.name.clone();
    let is_shared = SHARED.iter().any(|(shared, _)| *shared == there.name) && there.name == name;
    let is_named_so = there.key() == name;
    if is_named_so && there.name != name {
        return Some(Unmet::OtherPackage { key: name, package: there.name.clone() });
    }
    // Under another name an old version may stand beside, for a crate that needs it.
    let is_beside = || host.own_dependencies().any(|dependency| dependency.key() == name);
    if !is_named_so && (!is_shared || is_beside()) {
        return None;
    }
    if is_shared && !there.is_from_registry() {
        return Some(Unmet::Source(name));
    }
    let good = good_versions(needed);
    if !overlap(&good, &there.req) {
        let is_inherited = cargo_toml::is_inherited(host, there.key());
        return Some(Unmet::Version { name, req: there.req.to_string(), needed: number(&needed.req), is_inherited });
    }
    if is_named_so && there.optional {
        return Some(Unmet::Optional(name));
    }
    let held = lock.versions(&host.package, &name);
    let bad = held.into_iter().filter(|version| there.req.matches(version)).find(|version| !good.matches(version))?;
    Some(Unmet::Locked { name, version: bad.to_string(), needed: number(&needed.req) })
}

fn good_versions(needed: &Needed) -> VersionReq {
    let older = OLDER.iter().find(|(name, _)| *name == needed.name).and_then(|(_, req)| VersionReq::parse(req).ok());
    older.unwrap_or_else(|| needed.req.clone())
}

/// As people write it.
fn number(req: &VersionReq) -> String {
    req.to_string().trim_start_matches('^').to_owned()
}
