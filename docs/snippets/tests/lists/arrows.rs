//! Finds which files of a crate use which others, by imports and by paths in code and macros.
//!
//! Code for tests is left out. A file that only has `mod` and `pub use` is a facade: what is imported through it counts
//! as imported from the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, File, ImplItem, Item, ItemUse, MetaList, TraitItem, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module path, such as `["web", "router"]` for `crate::web::router`.
type Path = Vec<String>;

/// The files of a crate, by module.
pub struct Modules(BTreeMap<Path, Module>);

struct Module {
    file: String,
    children: BTreeSet<String>,
    /// The files of children with a `path` attribute. If there are several, the first one.
    paths: BTreeMap<String, String>,
    /// The names that a facade exports. `None` for a file with its own code.
    facade: Option<BTreeMap<String, Path>>,
    uses: Vec<Use>,
}

/// A path that begins at the crate's root.
struct Use {
    path: Path,
    line: usize,
}

/// A use of something that another file defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: Path,
    pub to: Path,
    pub line: usize,
}

impl Modules {
    /// Reads the modules of a crate. `read` returns the text of a file, if it exists.
    pub fn of(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut modules = BTreeMap::new();
        let mut pending = vec![(Path::new(), root.to_owned())];
        while let Some((path, file)) = pending.pop() {
            let text = read(&file).unwrap_or_else(|| panic!("{file} can't be read"));
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let (parent, name) = file.rsplit_once('/').expect("a folder");
            let parent = parent.to_owned();
            let folder = match name {
                "main.rs" | "lib.rs" | "mod.rs" => parent.clone(),
                _ => file.trim_end_matches(".rs").to_owned(),
            };
            let module = Module::of(file, &path, &syntax);
            for child in &module.children {
                let named = [format!("{folder}/{child}.rs"), format!("{folder}/{child}/mod.rs")];
                let elsewhere = module.paths.get(child).map(|path| format!("{parent}/{path}"));
                let file = elsewhere.into_iter().chain(named).find(|file| read(file).is_some());
                let file = file.unwrap_or_else(|| panic!("{folder} has no module {child}"));
                pending.push((with(&path, child), file));
            }
            modules.insert(path, module);
        }
        Self(modules)
    }

    /// Returns all modules except the root.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().filter(|path| !path.is_empty())
    }

    pub fn file(&self, path: &[String]) -> &str {
        &self.0[path].file
    }

    /// Returns all uses, except those of the root file, which can use everything.
    pub fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (from, module) in self.0.iter().filter(|(path, _)| !path.is_empty()) {
            for Use { path, line } in &module.uses {
                if let Some(to) = self.defined_in(path).filter(|to| to != from) {
                    arrows.insert(Arrow { from: from.clone(), to, line: *line });
                }
            }
        }
        arrows
    }

    /// Returns the module that defines the item at a path. `None` for a facade itself, because other paths show what it
    /// is used for.
    fn defined_in(&self, path: &[String]) -> Option<Path> {
        let is_module = |length: &usize| self.0.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(is_module).unwrap_or_default();
        let (module, rest) = path.split_at(length);
        match (&self.0[module].facade, rest.split_first()) {
            (Some(_), None) => None,
            (Some(exported), Some((name, rest))) if !module.is_empty() && exported.contains_key(name) => {
                self.defined_in(&[exported[name].as_slice(), rest].concat())
            }
            _ => Some(module.to_owned()),
        }
    }
}

impl Module {
    fn of(file: String, path: &[String], syntax: &File) -> Self {
        let items: Vec<&Item> = syntax.items.iter().filter(|item| !is_for_tests(attributes(item))).collect();
        let children: BTreeSet<String> = items
            .iter()
            .filter_map(|item| match item {
                Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
                _ => None,
            })
            .collect();
        let paths = items.iter().filter_map(|item| match item {
            Item::Mod(module) => Some((module.ident.to_string(), path_of(&module.attrs)?)),
            _ => None,
        });
        let paths = paths.collect();
        let is_facade = items.iter().all(|item| match item {
            Item::Mod(module) => module.content.is_none(),
            Item::Use(import) => !matches!(import.vis, Visibility::Inherited),
            _ => false,
        });
        let mut reader = Reader { here: path.to_owned(), root: path, names: BTreeMap::new(), uses: Vec::new() };
        reader.names.extend(children.iter().map(|child| (child.clone(), with(path, child))));
        // Collect names first, because code can use names that are imported further down.
        Imports(&mut reader).visit_file(syntax);
        let facade = is_facade.then(|| reader.names.clone());
        reader.visit_file(syntax);
        Self { file, children, paths, facade, uses: reader.uses }
    }
}

/// Returns `database/sqlite.rs` for `#[cfg_attr(…, path = "database/sqlite.rs")]`.
fn path_of(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg_attr") => list.tokens.to_string(),
            _ => return None,
        };
        let (_, path) = text.split_once("path = \"")?;
        Some(path.split_once('"')?.0.to_owned())
    })
}

/// Collects the paths of a file that stay in its crate.
struct Reader<'a> {
    /// The current module: the file's, or one inside it.
    here: Path,
    root: &'a [String],
    /// The names of the file's imports and child modules.
    names: BTreeMap<String, Path>,
    uses: Vec<Use>,
}

impl Reader<'_> {
    /// Returns a path from the crate's root. `None` if it leads to another crate, or is a local name.
    fn absolute(&self, segments: &[String]) -> Option<Path> {
        let (first, mut rest) = segments.split_first()?;
        let mut path = match &**first {
            "crate" => Path::new(),
            "self" => self.here.clone(),
            "super" => self.here.split_last()?.1.to_owned(),
            name => self.names.get(name)?.clone(),
        };
        while let Some(("super", behind)) = rest.split_first().map(|(first, behind)| (&**first, behind)) {
            path.pop();
            rest = behind;
        }
        Some([path.as_slice(), rest].concat())
    }

    fn uses(&mut self, segments: &[String], line: usize) {
        if let Some(path) = self.absolute(segments).filter(|_| segments.len() > 1) {
            self.uses.push(Use { path, line });
        }
    }

    /// Collects paths in unparsed tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_colons = |at: usize| tokens[at..].iter().take(2).filter(|token| is(token, ':')).count() == 2;
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut segments = vec![first.to_string()];
                    while is_colons(at + 1) {
                        match tokens.get(at + 3) {
                            Some(TokenTree::Ident(next)) => segments.push(next.to_string()),
                            Some(TokenTree::Group(group)) => {
                                self.group(&segments, group.stream());
                                break;
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    self.uses(&segments, first.span().start().line);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Collects the paths of `{a, b::c}` after a path, in unparsed tokens.
    fn group(&mut self, before: &[String], tokens: TokenStream) {
        for part in tokens.into_iter().collect::<Vec<_>>().split(|token| is(token, ',')) {
            let names = part.iter().filter_map(|token| match token {
                TokenTree::Ident(name) => Some(name),
                _ => None,
            });
            let line = names.clone().next().map_or(0, line_of);
            let segments: Path = before.iter().cloned().chain(names.map(Ident::to_string)).collect();
            self.uses(&segments, line);
        }
    }
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn line_of(name: &Ident) -> usize {
    name.span().start().line
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if is_for_tests(&function.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !matches!(item, TraitItem::Fn(function) if is_for_tests(&function.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.here.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.here.pop();
        }
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        for Import { path, line, .. } in imports(&import.tree) {
            self.uses(&path, line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments: Path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.uses(&segments, path.segments.first().map_or(0, |first| line_of(&first.ident)));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(list.tokens.clone());
    }

    /// Skips visibilities, because `pub(in crate::web)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// Collects the names of a file's imports.
struct Imports<'r, 'a>(&'r mut Reader<'a>);

impl<'ast> Visit<'ast> for Imports<'_, '_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.0.here.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.0.here.pop();
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        for Import { path, name, .. } in imports(&import.tree) {
            if let (Some(name), Some(path)) = (name, self.0.absolute(&path)) {
                self.0.names.insert(name, path);
            }
        }
        debug_assert!(self.0.here.starts_with(self.0.root));
    }
}

struct Import {
    path: Path,
    /// The name in this file. `None` for `*`.
    name: Option<String>,
    line: usize,
}

fn imports(tree: &UseTree) -> Vec<Import> {
    let import = |ident: &Ident, name: &Ident| Import {
        path: vec![ident.to_string()],
        name: Some(name.to_string()),
        line: line_of(ident),
    };
    match tree {
        UseTree::Name(name) => vec![import(&name.ident, &name.ident)],
        UseTree::Rename(rename) => vec![import(&rename.ident, &rename.rename)],
        UseTree::Glob(_) => vec![Import { path: Path::new(), name: None, line: 0 }],
        UseTree::Group(group) => group.items.iter().flat_map(imports).collect(),
        UseTree::Path(path) => {
            let mut found = imports(&path.tree);
            for import in &mut found {
                // `web::{self, …}` is `web`.
                if import.path == ["self"] {
                    import.path.clear();
                    import.name =
                        import.name.take().map(|name| if name == "self" { path.ident.to_string() } else { name });
                }
                import.path.insert(0, path.ident.to_string());
                import.line = line_of(&path.ident).max(import.line);
            }
            found
        }
    }
}

fn with(path: &[String], name: &str) -> Path {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// Returns whether an item has `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |list: &MetaList| {
        let tokens = list.tokens.to_string();
        tokens == "test" || tokens.replace(' ', "").starts_with("all(test,")
    };
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(is_test))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
