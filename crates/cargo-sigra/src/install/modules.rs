//! `mod auth;` in the host's crate, and accounts around its router.

use syn::{Item, spanned::Spanned};

use super::{InstallError, serve::Served};
use crate::{
    edits::Edit,
    generate::Plan,
    host::Host,
    rustfmt,
    text_file::{TextFile, parse_rust},
};

/// The edits of the crate's root, and of the file that serves the router. They may be one.
pub fn declare(host: &Host, plan: &Plan, served: &Served) -> Result<Vec<Edit>, crate::Error> {
    let mut edits = Vec::new();
    let module = plan.module.as_deref().unwrap_or_default();
    let (served_in, before, after) = match served {
        Served::Here { path, before, after } => (Some(path), before.as_str(), after.as_str()),
        Served::Already | Served::Nowhere => (None, "", ""),
    };
    let Some(root) = host.crate_root() else { return Ok(edits) };
    let is_one = served_in.is_some_and(|path| path == root);
    let unreadable = |error| InstallError::Unreadable { path: root.to_owned(), error };
    let original = TextFile::read(root).map_err(unreadable)?.text;
    let text = if is_one { after } else { &original };
    let declared = with_module(text, module, host.lib.is_some());
    let settings = plan.rustfmt.as_deref();
    if declared != original {
        let declared = rustfmt::keep_formatted(&original, declared, settings);
        edits.push(Edit::change(&host.relative(root), &original, declared));
    }
    if let Some(path) = served_in.filter(|_| !is_one) {
        edits.push(Edit::change(
            &host.relative(path),
            before,
            rustfmt::keep_formatted(before, after.to_owned(), settings),
        ));
    }
    Ok(edits)
}

/// After the last module, or else after the imports. A program does not call all that it is given, and says so.
fn with_module(source: &str, module: &str, is_library: bool) -> String {
    let Ok(file) = parse_rust(source) else { return source.to_owned() };
    let is_there = |item: &Item| matches!(item, Item::Mod(found) if found.ident == module);
    if file.items.iter().any(is_there) {
        return source.to_owned();
    }
    let declaration = if is_library {
        format!("pub mod {module};")
    } else {
        format!(
            "#[allow(dead_code, unused_imports, reason = \"what is not used yet is there to be used\")]\nmod {module};"
        )
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

    #[test]
    fn a_module_is_declared_where_it_is_looked_for() {
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
}
