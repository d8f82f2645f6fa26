//! Adds `mod auth;` to the host's crate, and accounts to its router.

use std::path::{Path, PathBuf};

use syn::{Item, UseTree, spanned::Spanned};

use super::{
    code::tree::Source,
    edits::Edit,
    package::Host,
    serve::{Around, Survey},
};
use crate::{plan::Plan, render::rustfmt, system::text_file::parse_rust};

/// Why the module can't be declared.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("`{module}` can't be the module's name because {by}. Choose another, such as `--module {other}`")]
    Taken { module: String, by: String, other: &'static str },
    #[error("can't parse `{path}`: {error}. Check that it compiles")]
    NotRust { path: PathBuf, error: String },
}

/// Returns the edits of the crate's root and of the file that serves the router, which can be the same.
pub fn declare(plan: &Plan, survey: &Survey, around: Option<Around>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let module = plan.module.as_deref().unwrap_or_default();
    let Some(root) = survey.source_of_root() else { return edits };
    let served_in_root = around.as_ref().filter(|around| around.source.path == root.path);
    let text = served_in_root.map_or(&root.text, |around| &around.after);
    let declared = with_module(text, module, survey.is_library());
    let settings = plan.rustfmt.as_deref();
    if declared != root.text {
        let declared = rustfmt::keep_formatted(&root.text, declared, settings);
        edits.push(Edit::change(&survey.relative(&root.path), &root.text, declared));
    }
    if let Some(Around { source, after }) = around.filter(|around| around.source.path != root.path) {
        let after = rustfmt::keep_formatted(&source.text, after, settings);
        edits.push(Edit::change(&survey.relative(&source.path), &source.text, after));
    }
    edits
}

/// Refuses a module name that the crate's root or the host's files already use.
pub fn refuse_taken(host: &Host, survey: &Survey, module: &str, folder: &str) -> Result<(), ModuleError> {
    let taken = |by: String| ModuleError::Taken { module: module.to_owned(), by, other: other_than(module) };
    let Some(root) = survey.source_of_root() else {
        let error = survey.unparsed().next().map(|(_, error)| error).unwrap_or_default();
        return Err(ModuleError::NotRust { path: survey.root().to_owned(), error });
    };
    if let Some(line) = named(root, module) {
        return Err(taken(format!("{}:{line} has something of that name", survey.relative(&root.path))));
    }
    for path in [format!("{module}.rs"), module.to_owned()] {
        let path = Path::new(folder).join(path);
        if host.root.join(&path).exists() {
            return Err(taken(format!("`{}` already exists", path.to_string_lossy().replace('\\', "/"))));
        }
    }
    Ok(())
}

fn other_than(module: &str) -> &'static str {
    if module == "login" { "sign_in" } else { "login" }
}

/// Returns the line of an item that has the module's name.
fn named(root: &Source, name: &str) -> Option<usize> {
    let has_name = |item: &&Item| match item {
        Item::Mod(item) => item.ident == name,
        Item::Struct(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Union(item) => item.ident == name,
        Item::Trait(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        Item::ExternCrate(item) => item.rename.as_ref().map_or(&item.ident, |(_, renamed)| renamed) == name,
        Item::Use(item) => imports(&item.tree, name, None),
        _ => false,
    };
    root.file.items.iter().find(has_name).map(|item| item.span().start().line)
}

fn imports(tree: &UseTree, name: &str, before: Option<&syn::Ident>) -> bool {
    match tree {
        UseTree::Path(path) => imports(&path.tree, name, Some(&path.ident)),
        UseTree::Name(last) if last.ident == "self" => before.is_some_and(|before| before == name),
        UseTree::Name(last) => last.ident == name,
        UseTree::Rename(last) => last.rename == name,
        UseTree::Glob(_) => false,
        UseTree::Group(group) => group.items.iter().any(|tree| imports(tree, name, before)),
    }
}

/// Adds the module after the last one, or else after the imports. In a binary, warnings about unused code are off,
/// because the host doesn't call everything.
fn with_module(source: &str, module: &str, is_library: bool) -> String {
    let Ok(file) = parse_rust(source) else { return source.to_owned() };
    let is_there = |item: &Item| matches!(item, Item::Mod(found) if found.ident == module);
    if file.items.iter().any(is_there) {
        return source.to_owned();
    }
    let declaration = if is_library {
        format!("pub mod {module};")
    } else {
        format!("#[allow(dead_code, unused_imports, reason = \"not all of it is used yet\")]\nmod {module};")
    };
    let last_module = file.items.iter().rev().find(|item| matches!(item, Item::Mod(found) if found.content.is_none()));
    let last_use = || file.items.iter().rev().find(|item| matches!(item, Item::Use(_)));
    let (at, text) = match (last_module, last_use()) {
        (Some(item), _) => (item.span().byte_range().end, format!("\n{declaration}")),
        (None, Some(item)) => (item.span().byte_range().end, format!("\n\n{declaration}")),
        (None, None) => {
            let first = file.items.first().map_or(source.len(), |item| item.span().byte_range().start);
            (first, format!("{declaration}\n\n"))
        }
    };
    format!("{}{text}{}", &source[..at], &source[at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::code::tree::tests::tree;

    #[test]
    fn a_module_is_declared_next_to_the_others() {
        for (before, after) in [
            ("mod a;\n\nuse b;\n\nfn main() {}\n", "mod a;\npub mod auth;\n\nuse b;\n\nfn main() {}\n"),
            ("//! Docs.\n\nuse b;\n\nfn main() {}\n", "//! Docs.\n\nuse b;\n\npub mod auth;\n\nfn main() {}\n"),
            ("fn main() {}\n", "pub mod auth;\n\nfn main() {}\n"),
            ("pub mod auth;\nfn main() {}\n", "pub mod auth;\nfn main() {}\n"),
            ("#!/usr/bin/env cargo\nuse b;\n", "#!/usr/bin/env cargo\nuse b;\n\npub mod auth;\n"),
            ("mod tests {\n    mod auth;\n}\n", "pub mod auth;\n\nmod tests {\n    mod auth;\n}\n"),
        ] {
            assert_eq!(with_module(before, "auth", true), after);
        }
    }

    #[test]
    fn a_name_that_the_root_already_uses_is_taken() {
        for (root, line) in [
            ("mod auth;", Some(1)),
            ("fn main() {}\npub mod auth { }", Some(2)),
            ("use web::auth;", Some(1)),
            ("use web::{pages, auth};", Some(1)),
            ("use web::auth::{self, User};", Some(1)),
            ("use web::login as auth;", Some(1)),
            ("extern crate auth;", Some(1)),
            ("struct auth;", Some(1)),
            ("use web::auth as login;", None),
            ("use web::auth::User;", None),
            ("use web::auth::*;", None),
            ("fn auth() {} mod web { mod auth {} }", None),
        ] {
            let tree = tree(&[("src/main.rs", root)]);
            assert_eq!(named(&tree.sources[0], "auth"), line, "{root}");
        }
    }
}
