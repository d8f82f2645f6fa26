//! Finds the files of a crate like the compiler: from its root, by `mod x;`. Tests are left out.

use std::{
    io,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Expr, File, ImplItem, Item, ItemMod, Lit, Meta, punctuated::Punctuated, token::Comma};

use crate::system::text_file::{TextFile, parse_rust};

/// A file of a crate.
pub struct Source {
    pub path: PathBuf,
    /// `["web", "app"]` for `crate::web::app`.
    pub module: Vec<String>,
    /// The source that the spans in `file` refer to.
    pub text: String,
    /// The parsed source, without items that are only compiled for tests.
    pub file: File,
}

/// A file that isn't valid Rust.
pub struct Unparsed {
    pub path: PathBuf,
    pub error: syn::Error,
}

/// All files of a crate.
#[derive(Default)]
pub struct Tree {
    pub sources: Vec<Source>,
    pub unparsed: Vec<Unparsed>,
}

/// Reads a file.
type Read<'a> = &'a dyn Fn(&Path) -> io::Result<TextFile>;

impl Tree {
    /// Reads a crate, without the module `without` at its root.
    pub fn of(root: &Path, without: &str) -> Self {
        Self::read(root, without, &TextFile::read)
    }

    pub fn read(root: &Path, without: &str, read: Read) -> Self {
        let mut tree = Self::default();
        tree.add(root, root.parent().unwrap_or(Path::new("")), &[], without, read);
        tree
    }

    /// Adds a file and its modules, which are in the folder `children`. Skips a missing file, which the compiler
    /// reports anyway.
    fn add(&mut self, path: &Path, children: &Path, module: &[String], without: &str, read: Read) {
        let Ok(TextFile { text, .. }) = read(path) else { return };
        let mut file = match parse_rust(&text) {
            Ok(file) => file,
            Err(error) => return self.unparsed.push(Unparsed { path: path.to_owned(), error }),
        };
        drop_tests(&mut file.items);
        let mut places = Vec::new();
        let here = Place { folder: path.parent().unwrap_or(Path::new("")), children, module };
        modules(&file.items, &here, &mut places);
        self.sources.push(Source { path: path.to_owned(), module: module.to_owned(), text, file });
        for (module, candidates) in places {
            if module.len() == 1 && module[0] == without {
                continue;
            }
            let is_known = |path: &Path| self.sources.iter().any(|source| source.path == path);
            let found = candidates.into_iter().find(|(path, _)| read(path).is_ok());
            if let Some((path, children)) = found.filter(|(path, _)| !is_known(path)) {
                self.add(&path, &children, &module, without, read);
            }
        }
    }
}

/// The place of a `mod x;`.
struct Place<'a> {
    /// The folder of the file.
    folder: &'a Path,
    /// The folder of its modules' files.
    children: &'a Path,
    module: &'a [String],
}

/// A module and the files that it could be in, each with the folder of its own modules.
type Module = (Vec<String>, Vec<(PathBuf, PathBuf)>);

fn modules(items: &[Item], place: &Place, found: &mut Vec<Module>) {
    for item in items {
        match item {
            Item::Mod(item) => module(item, place, found),
            // `cfg_if! { … mod x; … }`
            Item::Macro(item) => {
                for name in modules_in(item.mac.tokens.clone()) {
                    found.push(plain(&name, place));
                }
            }
            _ => {}
        }
    }
}

fn module(item: &ItemMod, place: &Place, found: &mut Vec<Module>) {
    let name = item.ident.to_string();
    let name = name.trim_start_matches("r#");
    match (&item.content, path_attribute(&item.attrs)) {
        (None, None) => found.push(plain(name, place)),
        (None, Some(path)) => {
            let path = place.folder.join(path);
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            found.push((with(place.module, name), vec![(path, folder)]));
        }
        (Some((_, items)), path) => {
            let children = place.children.join(path.as_deref().unwrap_or(name));
            let inner = Place { folder: &children, children: &children, module: &with(place.module, name) };
            modules(items, &inner, found);
        }
    }
}

fn plain(name: &str, place: &Place) -> Module {
    let folder = place.children.join(name);
    let beside = (place.children.join(format!("{name}.rs")), folder.clone());
    (with(place.module, name), vec![beside, (folder.join("mod.rs"), folder)])
}

fn with(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn modules_in(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut names = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token, tokens.get(at + 1), tokens.get(at + 2)) {
            (TokenTree::Ident(word), Some(TokenTree::Ident(name)), Some(TokenTree::Punct(end)))
                if word == "mod" && end.as_char() == ';' =>
            {
                names.push(name.to_string());
            }
            (TokenTree::Group(group), ..) => names.extend(modules_in(group.stream())),
            _ => {}
        }
    }
    names
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

fn drop_tests(items: &mut Vec<Item>) {
    items.retain(|item| !is_test(attributes(item)));
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    drop_tests(items);
                }
            }
            Item::Impl(block) => block.items.retain(|item| match item {
                ImplItem::Fn(function) => !is_test(&function.attrs),
                _ => true,
            }),
            _ => {}
        }
    }
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

/// Returns whether an item is only compiled for tests: `#[cfg(test)]`, `#[test]`, `#[tokio::test]`, `#[sqlx::test]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta)),
        meta => meta.path().segments.last().is_some_and(|last| last.ident == "test"),
    })
}

/// Returns whether a condition holds only in tests.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => {
            let inner = list.parse_args_with(Punctuated::<Meta, Comma>::parse_terminated).unwrap_or_default();
            match list.path.get_ident().map(ToString::to_string).as_deref() {
                Some("all") => inner.iter().any(needs_test),
                Some("any") => !inner.is_empty() && inner.iter().all(needs_test),
                _ => false,
            }
        }
        Meta::NameValue(_) => false,
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Returns a crate with these files. The first one is its root.
    pub fn tree(files: &[(&str, &str)]) -> Tree {
        let texts: BTreeMap<PathBuf, &str> = files.iter().map(|(path, text)| (path.into(), *text)).collect();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let read = |path: &Path| texts.get(path).map(|text| TextFile::decode(text)).ok_or_else(missing);
        Tree::read(Path::new(files[0].0), "auth", &read)
    }

    fn modules(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let path = |source: &Source| source.path.to_string_lossy().into_owned();
        tree(files).sources.iter().map(|source| (path(source), source.module.join("::"))).collect()
    }

    #[track_caller]
    fn assert_modules(files: &[(&str, &str)], expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(path, module)| ((*path).into(), (*module).into())).collect();
        assert_eq!(modules(files), expected);
    }

    #[test]
    fn files_are_found_where_the_compiler_finds_them() {
        assert_modules(
            &[
                ("backend/main.rs", "mod a;\nmod b;\npub(crate) mod c { mod d; }\nmod gone;"),
                ("backend/a.rs", "mod e;"),
                ("backend/a/e.rs", ""),
                ("backend/b/mod.rs", "mod f;"),
                ("backend/b/f.rs", ""),
                ("backend/c/d.rs", ""),
                ("backend/unused.rs", ""),
            ],
            &[
                ("backend/main.rs", ""),
                ("backend/a.rs", "a"),
                ("backend/a/e.rs", "a::e"),
                ("backend/b/mod.rs", "b"),
                ("backend/b/f.rs", "b::f"),
                ("backend/c/d.rs", "c::d"),
            ],
        );
    }

    #[test]
    fn path_attributes_are_followed() {
        assert_modules(
            &[
                ("src/main.rs", "mod a;\n#[path = \"other/x.rs\"]\nmod x;"),
                ("src/a.rs", "#[path = \"z.rs\"]\nmod y;"),
                ("src/z.rs", ""),
                ("src/other/x.rs", "mod inner;"),
                ("src/other/inner.rs", ""),
            ],
            &[
                ("src/main.rs", ""),
                ("src/a.rs", "a"),
                ("src/z.rs", "a::y"),
                ("src/other/x.rs", "x"),
                ("src/other/inner.rs", "x::inner"),
            ],
        );
    }

    #[test]
    fn modules_in_a_macro_are_followed_too() {
        let root = "cfg_if::cfg_if! { if #[cfg(feature = \"ssr\")] { pub mod server; } }";
        assert_modules(
            &[("src/lib.rs", root), ("src/server.rs", "")],
            &[("src/lib.rs", ""), ("src/server.rs", "server")],
        );
    }

    #[test]
    fn tests_and_the_module_of_accounts_are_left_out() {
        let root = "#[cfg(test)]\nmod tests;\n#[cfg(all(test, unix))]\nmod more;\n#[cfg(not(test))]\nmod real;\nmod auth;\n\
             #[tokio::test]\nasync fn t() {}\nstruct A;\nimpl A { #[cfg(test)] fn u() {} }";
        let texts = ["src/tests.rs", "src/more.rs", "src/real.rs", "src/auth.rs"].map(|path| (path, ""));
        let files: Vec<_> = [("src/main.rs", root)].into_iter().chain(texts).collect();
        assert_modules(&files, &[("src/main.rs", ""), ("src/real.rs", "real")]);
        let items = &tree(&files).sources[0].file.items;
        assert_eq!(items.len(), 4, "no function of tests is left");
    }

    #[test]
    fn files_that_are_not_rust_are_reported() {
        let tree = tree(&[("src/main.rs", "mod a;"), ("src/a.rs", "fn {")]);
        assert_eq!(tree.unparsed.iter().map(|file| file.path.as_path()).collect::<Vec<_>>(), [Path::new("src/a.rs")]);
    }
}
