//! Resolves the names in a file by its imports.

use std::collections::BTreeMap;

use syn::{
    File, ItemExternCrate, ItemUse, Path, UseTree,
    visit::{self, Visit},
};

/// The imports of a file, including those in its functions.
#[derive(Default)]
pub struct Names {
    imported: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// The longest chain of renames to follow, because `use a as b; use b as a;` is endless.
const LONGEST_CHAIN: usize = 4;

impl Names {
    pub fn of(file: &File) -> Self {
        let mut names = Self::default();
        names.visit_file(file);
        names
    }

    /// Returns a path that begins with its crate: `axum::serve` for `serve` after `use axum::serve`.
    pub fn full(&self, path: &Path) -> String {
        self.full_of(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>())
    }

    pub fn full_of(&self, segments: &[String]) -> String {
        let mut segments = segments.to_vec();
        if segments.first().is_some_and(|first| first == "self") && segments.len() > 1 {
            segments.remove(0);
        }
        for _ in 0..LONGEST_CHAIN {
            let Some(full) = segments.first().and_then(|first| self.imported.get(first)) else { break };
            if full.first() == segments.first() {
                segments.splice(0..1, full.iter().cloned());
                break;
            }
            segments.splice(0..1, full.iter().cloned());
        }
        segments.join("::")
    }

    /// Returns whether a name that has no import could come from a crate, by `use axum::*`.
    pub fn may_come_from(&self, name: &str, krate: &str) -> bool {
        !self.imported.contains_key(name) && self.globs.iter().any(|glob| *glob == [krate])
    }

    /// Returns whether an import names a crate.
    pub fn import_from(&self, krate: &str) -> bool {
        let paths = self.imported.values().chain(&self.globs);
        paths.into_iter().any(|path| path.first().is_some_and(|first| first == krate))
    }

    fn add(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.add(&path.tree, &with(path.ident.to_string())),
            UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = before.last() {
                    self.imported.insert(last.clone(), before.to_vec());
                }
            }
            UseTree::Name(name) => drop(self.imported.insert(name.ident.to_string(), with(name.ident.to_string()))),
            UseTree::Rename(rename) => {
                let full = if rename.ident == "self" { before.to_vec() } else { with(rename.ident.to_string()) };
                self.imported.insert(rename.rename.to_string(), full);
            }
            UseTree::Glob(_) => self.globs.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(tree, before)),
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add(&item.tree, &[]);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        if let Some((_, name)) = &item.rename {
            self.imported.insert(name.to_string(), vec![item.ident.to_string()]);
        }
        visit::visit_item_extern_crate(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_by_imports() {
        for (source, name, full) in [
            ("", "axum::serve", "axum::serve"),
            ("use axum::serve;", "serve", "axum::serve"),
            ("use axum::serve as go;", "go", "axum::serve"),
            ("use axum as web;", "web::serve", "axum::serve"),
            ("use axum::{self as web, Router};", "web::serve", "axum::serve"),
            ("use axum::{self, Router};", "axum::serve", "axum::serve"),
            ("use axum;", "axum::serve", "axum::serve"),
            ("extern crate axum as web;", "web::serve", "axum::serve"),
            ("use axum as web; use web::serve;", "serve", "axum::serve"),
            ("fn main() { use axum::serve; }", "serve", "axum::serve"),
            ("use crate::server::serve;", "serve", "crate::server::serve"),
            ("use a as b; use b as a;", "a::c", "a::c"),
        ] {
            let names = Names::of(&syn::parse_file(source).expect("Rust"));
            assert_eq!(names.full(&syn::parse_str(name).expect("a path")), full, "{source}");
        }
    }
}
