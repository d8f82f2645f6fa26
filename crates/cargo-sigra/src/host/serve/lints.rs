//! Finds whether the host's lints refuse a panic in its code.

use std::{fs, path::Path};

use syn::{Attribute, Meta, Token, punctuated::Punctuated};
use toml_edit::{DocumentMut, Item};

use crate::host::code::tree::Source;

const NAME: &str = "panic";

/// The levels that an `#[allow(…)]` overrides. It can't override `forbid`.
const LEVELS: [&str; 2] = ["deny", "warn"];

/// Returns whether `[lints]` of a package, or of its workspace, refuses panics.
pub fn are_on_panics(package: &Path, workspace: &Path) -> bool {
    let Some(of_package) = manifest(package) else { return false };
    let lints = of_package.get("lints");
    let is_inherited = lints.and_then(|lints| lints.get("workspace")).and_then(Item::as_bool).unwrap_or(false);
    if !is_inherited {
        return lints.is_some_and(lint_panics);
    }
    let of_workspace = manifest(workspace);
    let lints = of_workspace.as_ref().and_then(|manifest| manifest.get("workspace")?.get("lints"));
    lints.is_some_and(lint_panics)
}

fn manifest(folder: &Path) -> Option<DocumentMut> {
    fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()
}

fn lint_panics(lints: &Item) -> bool {
    let lint = lints.get("clippy").and_then(|clippy| clippy.get(NAME));
    let level = lint.and_then(|lint| lint.as_str().or_else(|| lint.get("level")?.as_str()));
    level.is_some_and(|level| LEVELS.contains(&level))
}

/// Returns whether the attributes of a crate's root refuse panics.
pub fn are_on_panics_in(root: &Source) -> bool {
    root.file.attrs.iter().map(|Attribute { meta, .. }| meta).any(refuses_panics)
}

/// Returns whether an attribute is `deny(clippy::panic)` or `cfg_attr(…, deny(clippy::panic))`.
fn refuses_panics(attribute: &Meta) -> bool {
    let Meta::List(list) = attribute else { return false };
    let Ok(arguments) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else { return false };
    if list.path.is_ident("cfg_attr") {
        return arguments.iter().any(refuses_panics);
    }
    let is_panic = |lint: &Meta| {
        let names = lint.path().segments.iter().map(|segment| segment.ident.to_string());
        names.eq(["clippy", NAME])
    };
    LEVELS.iter().any(|level| list.path.is_ident(level)) && arguments.iter().any(is_panic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::code::tree::tests::tree;

    #[test]
    fn lints_in_the_manifests_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = folder.path().join("web");
        fs::create_dir(&package).expect("made");
        let inherited = "[workspace.lints.clippy]\npanic = \"deny\"\n";
        for (of_package, of_workspace, expected) in [
            ("", "", false),
            ("[lints.clippy]\npanic = \"deny\"\n", "", true),
            ("[lints.clippy]\npanic = { level = \"warn\", priority = 1 }\n", "", true),
            ("[lints.clippy]\npanic = \"allow\"\n", inherited, false),
            ("[lints.clippy]\npanic = \"forbid\"\nunwrap_used = \"deny\"\n", "", false),
            ("[lints]\nworkspace = true\n", inherited, true),
            ("[lints]\nworkspace = true\n", "", false),
            ("", inherited, false),
        ] {
            fs::write(package.join("Cargo.toml"), of_package).expect("written");
            fs::write(folder.path().join("Cargo.toml"), of_workspace).expect("written");
            assert_eq!(are_on_panics(&package, folder.path()), expected, "{of_package}{of_workspace}");
        }
    }

    #[test]
    fn lints_in_the_root_of_a_crate_are_found() {
        for (attributes, expected) in [
            ("", false),
            ("#![deny(clippy::unwrap_used, clippy::panic)]", true),
            ("#![cfg_attr(not(test), warn(clippy::panic))]", true),
            ("#![cfg_attr(test, allow(clippy::panic))]", false),
            ("#![warn(clippy::panic_in_result_fn)]", false),
            ("#![forbid(clippy::panic)]", false),
        ] {
            let tree = tree(&[("src/main.rs", &format!("{attributes}\nfn main() {{}}"))]);
            assert_eq!(are_on_panics_in(&tree.sources[0]), expected, "{attributes}");
        }
    }
}
