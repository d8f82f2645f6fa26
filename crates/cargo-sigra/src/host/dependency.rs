//! The dependencies that packages declare, from `cargo metadata` and `Cargo.lock`.

use std::{fs, path::Path};

use semver::{Comparator, Op, Prerelease, Version, VersionReq};
use serde::Deserialize;

/// A dependency of a package, including what it inherits from the workspace.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The name of the package. The host's code may rename it.
    pub name: String,
    pub req: VersionReq,
    /// `dev` or `build`. `None` for a normal dependency.
    kind: Option<String>,
    rename: Option<String>,
    pub optional: bool,
    pub uses_default_features: bool,
    pub features: Vec<String>,
    /// The platforms that it is for. `None` means all.
    pub target: Option<String>,
    /// A registry or a repository. `None` for a path.
    source: Option<String>,
}

impl Dependency {
    /// Returns its name in `Cargo.toml`. In code, `-` becomes `_`.
    pub fn key(&self) -> &str {
        self.rename.as_deref().unwrap_or(&self.name)
    }

    /// Returns whether it is a normal dependency, not only of tests or of the build script.
    pub fn is_of_package(&self) -> bool {
        self.kind.is_none()
    }

    pub fn is_from_registry(&self) -> bool {
        self.source.as_deref().is_some_and(|source| source.starts_with("registry+") || source.starts_with("sparse+"))
    }
}

/// Returns whether some version meets both requirements. If one does, so does the lowest version that one of their
/// parts allows.
pub fn overlap(one: &VersionReq, other: &VersionReq) -> bool {
    let parts = one.comparators.iter().chain(&other.comparators);
    let mut lowest = parts.map(lowest).chain([Version::new(0, 0, 0)]);
    lowest.any(|version| one.matches(&version) && other.matches(&version))
}

fn lowest(part: &Comparator) -> Version {
    let (major, minor, patch) = (part.major, part.minor.unwrap_or(0), part.patch.unwrap_or(0));
    match part.op {
        Op::Less | Op::LessEq => Version::new(0, 0, 0),
        Op::Greater if part.minor.is_none() => Version::new(major + 1, 0, 0),
        Op::Greater if part.patch.is_none() => Version::new(major, minor + 1, 0),
        Op::Greater if part.pre == Prerelease::EMPTY => Version::new(major, minor, patch + 1),
        Op::Greater => Version::new(major, minor, patch),
        _ => Version { pre: part.pre.clone(), ..Version::new(major, minor, patch) },
    }
}

/// The versions in `Cargo.lock`.
#[derive(Debug, Default, Deserialize)]
pub struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: Version,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    /// Reads the lock file of a workspace. A missing or invalid file counts as empty, because Cargo reports that
    /// itself.
    pub fn of(workspace: &Path) -> Self {
        let text = fs::read_to_string(workspace.join("Cargo.lock")).unwrap_or_default();
        toml::from_str(&text).unwrap_or_default()
    }

    /// Returns the versions of a crate that a package is built with. Its dev-dependencies can add another one.
    pub fn versions(&self, package: &str, name: &str) -> Vec<&Version> {
        let of = |name: &str| self.package.iter().filter(move |locked| locked.name == name).collect::<Vec<_>>();
        let lines = of(package).into_iter().flat_map(|locked| &locked.dependencies);
        let lines = lines.map(|line| line.split(' ').collect::<Vec<_>>()).filter(|line| line.first() == Some(&name));
        // The version is only there if the lock file has several.
        let held = lines.flat_map(|line| {
            of(name).into_iter().filter(move |it| line.get(1).is_none_or(|version| *version == it.version.to_string()))
        });
        held.map(|locked| &locked.version).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaps(one: &str, other: &str) -> bool {
        let req = |text: &str| VersionReq::parse(text).expect("a requirement");
        assert_eq!(overlap(&req(one), &req(other)), overlap(&req(other), &req(one)));
        overlap(&req(one), &req(other))
    }

    #[test]
    fn requirements_overlap_if_a_version_meets_both() {
        for theirs in [
            "0.8",
            "=0.8.9",
            ">=0.8, <0.8.20",
            "*",
            "0.8.*",
            "~0.8.1",
            ">0.7",
            ">0.8.3",
            ">=0.7, <0.9",
            "<0.8.1",
            "<=0.8",
            "0.*",
        ] {
            assert!(overlaps(theirs, "0.8"), "{theirs}");
        }
        for theirs in ["0.7", "=0.7.9", "0.9", "<0.8", ">0.8", ">=0.9", "1", "=0.8.0-rc.1", "<=0.7", ">=0.8.3, <0.8.3"]
        {
            assert!(!overlaps(theirs, "0.8"), "{theirs}");
        }
        assert!(overlaps("1.2", ">=1, <3") && overlaps("2", ">=1, <3") && !overlaps("3", ">=1, <3"));
    }

    #[test]
    fn a_packages_version_is_found_among_several_in_the_lock_file() {
        let lock: Lock = toml::from_str(
            "version = 4\n[[package]]\nname = \"web\"\nversion = \"0.1.0\"\ndependencies = [\"axum 0.7.9\", \"tokio\"]\n\
             [[package]]\nname = \"axum\"\nversion = \"0.7.9\"\n[[package]]\nname = \"axum\"\nversion = \"0.8.4\"\n\
             [[package]]\nname = \"tokio\"\nversion = \"1.40.0\"\n",
        )
        .expect("a lock file");
        assert_eq!(lock.versions("web", "axum"), [&Version::new(0, 7, 9)]);
        assert_eq!(lock.versions("web", "tokio"), [&Version::new(1, 40, 0)]);
        assert!(lock.versions("web", "sqlx").is_empty() && lock.versions("other", "axum").is_empty());
    }
}
