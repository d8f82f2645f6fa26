//! The repository's address is named in one place. What needs it is complete once it is known, and left out until then.

use super::sources::read;

/// Returns `repository` of the workspace's manifest.
fn address() -> Option<String> {
    let manifest = read("Cargo.toml");
    let package = manifest.split("[workspace.package]\n").nth(1).and_then(|rest| rest.split("\n[").next());
    let mut lines = package.expect("what the packages share").lines();
    lines.find_map(|line| line.strip_prefix("repository = \"")?.strip_suffix('"').map(str::to_owned))
}

#[test]
fn all_packages_have_the_address_exactly_when_it_is_known() {
    for manifest in ["crates/sigra-wal-index/Cargo.toml", "crates/sigra/Cargo.toml", "crates/cargo-sigra/Cargo.toml"] {
        let has_it = read(manifest).lines().any(|line| line == "repository.workspace = true");
        assert_eq!(has_it, address().is_some(), "`repository.workspace = true` in {manifest}");
    }
}

#[test]
fn the_readme_has_badges_exactly_when_the_address_is_known() {
    let (readme, badges) = (read("README.md"), read(".github/badges.md"));
    for badge in badges.lines().filter(|line| line.starts_with("[![")) {
        match address() {
            Some(address) => {
                let badge = badge.replace("{repository}", &address);
                assert!(readme.contains(&badge), "README.md has no {badge}");
            }
            None => assert!(!readme.contains("[!["), "README.md has badges, and Cargo.toml no `repository`"),
        }
    }
}

/// The lowest version of Rust is the same wherever it is named.
#[test]
fn ci_tests_the_lowest_version_of_rust() {
    let manifest = read("Cargo.toml");
    let lowest = manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    for (file, text) in [
        (".github/workflows/ci.yml", format!("toolchain: \"{lowest}\"")),
        (".github/badges.md", format!("Rust {lowest} or newer")),
        ("CONTRIBUTING.md", format!("Rust {lowest},")),
        ("docs/installation.md", format!("{lowest} or newer")),
        ("docs/getting-started.md", format!("Rust {lowest} or newer")),
        ("crates/cargo-sigra/template/Dockerfile", format!("rust:{lowest}-slim")),
    ] {
        assert!(read(file).contains(&text), "{file} has no {text:?}");
    }
}
