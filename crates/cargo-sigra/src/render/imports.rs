//! Merges the imports of generated files, which regions split into several items. The result is that of rustfmt with
//! `imports_granularity = "Crate"` and `group_imports = "StdExternalCrate"`, which aren't stable yet.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};

use syn::{Item, ItemUse, UseTree, spanned::Spanned};

/// Returns the text with merged imports, including those of inline modules. Text that can't be parsed is returned
/// unchanged, because rustfmt reports it.
pub fn merged(text: &str) -> String {
    let Ok(file) = syn::parse_file(text) else { return text.to_owned() };
    let mut runs = Vec::new();
    find_runs(text, &file.items, 0, &mut runs);
    let mut merged = text.to_owned();
    runs.sort_by_key(|run| run.range.start);
    for run in runs.iter().rev() {
        merged.replace_range(run.range.clone(), &run.block());
    }
    merged
}

/// Adjacent imports.
struct Run {
    range: Range<usize>,
    imports: Vec<Import>,
}

struct Import {
    group: Group,
    /// Attributes and visibility. Only imports with the same are merged.
    before: String,
    /// The imported paths. `None` if the import stays as it is, because it has a comment or a leading `::`.
    paths: Option<Vec<Path>>,
    root: String,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Std,
    Extern,
    Crate,
}

/// The path before the last name, and the last name: `name`, `name as other` or `*`.
struct Path(Vec<String>, String);

fn find_runs(text: &str, items: &[Item], begin: usize, runs: &mut Vec<Run>) {
    let mut end = begin;
    let mut is_open = false;
    for item in items {
        let range = item.span().byte_range();
        if let Item::Use(item) = item {
            let gap = &text[end..range.start];
            let comment = comment_above(gap);
            let is_apart = has_comment(&gap[..gap.len() - comment.len()]);
            let range = range.start - comment.len()..end_of_comment(text, range.end);
            let before = &text[item.span().byte_range().start..item.use_token.span.byte_range().start];
            let import = Import::of(item, before, &text[range.clone()]);
            end = range.end;
            match runs.last_mut().filter(|_| is_open && !is_apart) {
                Some(run) => {
                    run.range.end = range.end;
                    run.imports.push(import);
                }
                None => runs.push(Run { range, imports: vec![import] }),
            }
            is_open = true;
            continue;
        }
        if let Item::Mod(module) = item
            && let Some((brace, items)) = &module.content
        {
            find_runs(text, items, brace.span.open().byte_range().end, runs);
        }
        is_open = false;
        end = range.end;
    }
}

fn has_comment(gap: &str) -> bool {
    gap.contains("//") || gap.contains("/*")
}

/// Returns the comment directly above an item, without a blank line between them.
fn comment_above(gap: &str) -> &str {
    let mut begin = gap.len();
    for line in gap.split_inclusive('\n').rev() {
        let is_comment = line.trim_start().starts_with("//") && !line.trim_start().starts_with("//!");
        let is_indentation = begin == gap.len() && !line.ends_with('\n') && line.trim().is_empty();
        if !is_comment && !is_indentation {
            break;
        }
        begin -= line.len();
    }
    let above = &gap[begin..];
    if has_comment(above) { above.trim_start() } else { "" }
}

/// Returns the end of a comment on the same line.
fn end_of_comment(text: &str, end: usize) -> usize {
    let line = text[end..].split('\n').next().unwrap_or_default();
    if line.trim_start().starts_with("//") { end + line.len() } else { end }
}

impl Import {
    fn of(item: &ItemUse, before: &str, text: &str) -> Self {
        let mut paths = Vec::new();
        collect(&item.tree, &mut Vec::new(), &mut paths);
        let roots: BTreeSet<&String> = paths.iter().map(|path| path.0.first().unwrap_or(&path.1)).collect();
        let root = roots.first().map_or_else(String::new, |root| (*root).clone());
        let is_plain = item.leading_colon.is_none() && !has_comment(text) && roots.len() == 1;
        Self {
            group: Group::of(&root),
            before: before.to_owned(),
            paths: is_plain.then_some(paths),
            root,
            text: text.to_owned(),
        }
    }
}

impl Group {
    fn of(root: &str) -> Self {
        match root {
            "std" | "core" | "alloc" => Self::Std,
            "self" | "super" | "crate" => Self::Crate,
            _ => Self::Extern,
        }
    }
}

fn collect(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<Path>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            collect(&path.tree, before, found);
            before.pop();
        }
        // `a::{self}` is `a`.
        UseTree::Name(name) if name.ident == "self" => match before.split_last() {
            Some((last, rest)) => found.push(Path(rest.to_vec(), last.clone())),
            None => found.push(Path(Vec::new(), "self".to_owned())),
        },
        UseTree::Name(name) => found.push(Path(before.clone(), name.ident.to_string())),
        UseTree::Rename(name) => found.push(Path(before.clone(), format!("{} as {}", name.ident, name.rename))),
        UseTree::Glob(_) => found.push(Path(before.clone(), "*".to_owned())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, found)),
    }
}

impl Run {
    /// Returns the imports in three groups: the standard library, other crates, and this crate.
    fn block(&self) -> String {
        let mut groups = BTreeMap::<Group, Vec<(String, String)>>::new();
        let mut trees = BTreeMap::<(Group, &str, &str), Tree>::new();
        for import in &self.imports {
            match &import.paths {
                Some(paths) => {
                    let tree = trees.entry((import.group, &import.root, &import.before)).or_default();
                    paths.iter().for_each(|path| tree.add(&path.0, &path.1));
                }
                None => groups.entry(import.group).or_default().push((import.root.clone(), import.text.clone())),
            }
        }
        for ((group, root, before), tree) in trees {
            groups.entry(group).or_default().push((root.to_owned(), format!("{before}use {tree};")));
        }
        let block = groups.into_values().map(|mut uses| {
            uses.sort_by(|a, b| order(&a.0, &b.0));
            uses.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n")
        });
        block.collect::<Vec<_>>().join("\n\n")
    }
}

/// Compares names in the order of rustfmt: `self`, `super`, `crate`, then by name.
fn order(a: &str, b: &str) -> Ordering {
    let rank = |name: &str| ["self", "super", "crate"].iter().position(|first| *first == name).unwrap_or(3);
    rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
}

/// Imports, by the first name of their path.
#[derive(Default)]
struct Tree {
    /// Names that are imported themselves: `name`, `name as other`, `*`.
    names: BTreeSet<String>,
    below: BTreeMap<String, Tree>,
}

impl Tree {
    fn add(&mut self, path: &[String], name: &str) {
        match path {
            [first, rest @ ..] => self.below.entry(first.clone()).or_default().add(rest, name),
            [] => drop(self.names.insert(name.to_owned())),
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `a` and `a::b` are `a::{self, b}`.
        let is_within = |name: &&String| !self.below.contains_key(*name);
        let names = self.names.iter().filter(is_within).cloned();
        let below = self.below.iter().map(|(name, tree)| {
            if self.names.contains(name) {
                format!("{name}::{{self, {}}}", tree.parts())
            } else {
                format!("{name}::{tree}")
            }
        });
        let parts: Vec<String> = names.chain(below).collect();
        match &parts[..] {
            [part] if !part.starts_with("self as ") => f.write_str(part),
            parts => write!(f, "{{{}}}", parts.join(", ")),
        }
    }
}

impl Tree {
    /// Returns the content without braces.
    fn parts(&self) -> String {
        let text = self.to_string();
        text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(&text).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[track_caller]
    fn assert_merged(text: &str, expected: &str) {
        assert_eq!(merged(text), expected);
        assert_eq!(merged(expected), expected, "merging is idempotent");
    }

    #[test]
    fn imports_from_one_crate_are_one_item() {
        assert_merged(
            "use axum::routing::get;\nuse axum::{Router, extract::State};\nuse axum::extract::Path;\n\nfn a() {}\n",
            "use axum::{Router, extract::{Path, State}, routing::get};\n\nfn a() {}\n",
        );
        assert_merged("use std::io;\nuse std::io::Write as _;\n", "use std::io::{self, Write as _};\n");
        assert_merged("use a::b::c;\nuse a::b;\nuse a::*;\n", "use a::{*, b::{self, c}};\n");
        assert_merged("use a::{self};\nuse a::b;\n", "use a::{self, b};\n");
        assert_merged("use a::{self as c};\nuse a::{self, b};\n", "use a::{self, b, self as c};\n");
        assert_merged("use a::b;\nuse a::b;\n", "use a::b;\n");
    }

    #[test]
    fn std_other_crates_and_this_crate_are_separate_groups() {
        assert_merged(
            "//! A file.\n\nmod a;\n\nuse crate::b;\nuse super::c;\nuse url::Url;\nuse self::a::A;\nuse std::fmt;\nuse axum::Router;\n\nfn a() {}\n",
            "//! A file.\n\nmod a;\n\nuse std::fmt;\n\nuse axum::Router;\nuse url::Url;\n\nuse self::a::A;\nuse super::c;\nuse crate::b;\n\nfn a() {}\n",
        );
    }

    #[test]
    fn imports_with_other_attributes_or_visibility_stay_apart() {
        assert_merged(
            "pub use self::a::A;\nuse self::b::B;\n#[cfg(unix)]\nuse self::c::C;\npub use self::d::D;\n",
            "use self::b::B;\n#[cfg(unix)]\nuse self::c::C;\npub use self::{a::A, d::D};\n",
        );
    }

    #[test]
    fn comments_stay_with_their_import() {
        assert_merged(
            "use b::B;\n// Why this one.\nuse a::A;\nuse b::C; // And this.\nuse b::D;\n",
            "// Why this one.\nuse a::A;\nuse b::C; // And this.\nuse b::{B, D};\n",
        );
        // A comment that belongs to no import.
        let apart = "use a::B;\n\n// A section.\n\nuse a::A;\n";
        assert_merged(apart, apart);
        let commented = "use a::B;\n// use a::A;\n\nfn b() {}\n";
        assert_merged(commented, commented);
    }

    #[test]
    fn imports_of_inline_modules_are_merged_separately() {
        assert_merged(
            "use a::A;\n\nmod tests {\n    use super::a;\n    use super::b;\n\n    fn f() {}\n}\n\nuse a::B;\n",
            "use a::A;\n\nmod tests {\n    use super::{a, b};\n\n    fn f() {}\n}\n\nuse a::B;\n",
        );
    }

    #[test]
    fn text_that_is_not_rust_is_unchanged() {
        assert_merged("use a::b;\nuse {", "use a::b;\nuse {");
    }
}
