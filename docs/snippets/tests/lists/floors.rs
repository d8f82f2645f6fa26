//! The floors of each crate, from the lowest up. A file only uses its own folder and lower floors, by the module that
//! defines an item and not through the crate's root. No files use each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
};

use super::{
    arrows::{Arrow, Modules},
    sources::root,
};

/// Modules by their path, with `/` as separator. Modules on the same floor don't use each other.
type Floors<'a> = &'a [&'a [&'a str]];

#[track_caller]
fn assert_floors(crate_root: &str, floors: Floors) {
    let read = |file: &str| fs::read_to_string(root().join(file)).ok();
    let wrong = violations(&Modules::of(crate_root, &read), floors);
    assert!(wrong.is_empty(), "{crate_root}: {} violations\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns all violations, one line each.
fn violations(modules: &Modules, floors: Floors) -> Vec<String> {
    let arrows = modules.arrows();
    let mut wrong = misplaced(modules, floors);
    wrong.extend(arrows.iter().filter_map(|arrow| {
        let violation = violation(arrow, floors)?;
        Some(format!("{}:{} -> {} {violation}", modules.file(&arrow.from), arrow.line, modules.file(&arrow.to)))
    }));
    wrong.extend(circles(modules, &arrows));
    wrong
}

/// Returns modules without a floor, and floors without a module.
fn misplaced(modules: &Modules, floors: Floors) -> Vec<String> {
    let unlisted = modules.paths().filter(|path| floor(path, floors).is_none() && !is_above(path, floors));
    let mut wrong: Vec<String> =
        unlisted.map(|path| format!("{} is on no floor: list it", modules.file(path))).collect();
    let known: BTreeSet<String> = modules.paths().map(|path| path.join("/")).collect();
    let listed = floors.iter().flat_map(|floor| floor.iter());
    wrong.extend(listed.filter(|entry| !known.contains(**entry)).map(|entry| format!("{entry} doesn't exist")));
    wrong
}

/// Returns whether a module only contains others that are listed one by one.
fn is_above(path: &[String], floors: Floors) -> bool {
    let folder = format!("{}/", path.join("/"));
    floors.iter().flat_map(|floor| floor.iter()).any(|entry| entry.starts_with(&folder))
}

/// Returns the number of a module's floor and its entry there: the longest entry that is the module or contains it.
fn floor<'a>(path: &[String], floors: Floors<'a>) -> Option<(usize, &'a str)> {
    let path = path.join("/");
    let is_in = |entry: &str| path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let entries = floors.iter().enumerate().flat_map(|(number, floor)| floor.iter().map(move |entry| (number, *entry)));
    entries.filter(|(_, entry)| is_in(entry)).max_by_key(|(_, entry)| entry.len())
}

fn violation(arrow: &Arrow, floors: Floors) -> Option<&'static str> {
    if arrow.to.is_empty() {
        return Some("uses the crate's root: name the module that defines it");
    }
    let ((from, own), (to, other)) = (floor(&arrow.from, floors)?, floor(&arrow.to, floors)?);
    match from.cmp(&to) {
        _ if own == other => None,
        std::cmp::Ordering::Less => Some("points up"),
        std::cmp::Ordering::Equal => Some("points to the side: both are on one floor"),
        std::cmp::Ordering::Greater => None,
    }
}

/// Returns the shortest circle through each file that is in one.
fn circles(modules: &Modules, arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let mut next: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|arrow| !arrow.to.is_empty()) {
        next.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in next.keys() {
        let Some(circle) = way_back(start, &next) else { continue };
        if seen.insert(circle.iter().copied().collect::<BTreeSet<_>>()) {
            let files: Vec<&str> = circle.iter().map(|path| modules.file(path)).collect();
            found.push(format!("{} is a circle", files.join(" -> ")));
        }
    }
    found
}

/// Returns the shortest path from a module back to itself.
fn way_back<'a>(
    start: &'a [String],
    next: &BTreeMap<&'a [String], BTreeSet<&'a [String]>>,
) -> Option<Vec<&'a [String]>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for to in next.get(way.last()?).into_iter().flatten() {
            let longer = [way.as_slice(), &[to]].concat();
            if *to == start {
                return Some(longer);
            }
            if seen.insert(*to) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// Returns the violations in a small crate.
fn violations_of(files: &[(&str, &str)], floors: Floors) -> Vec<String> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    violations(&Modules::of("src/lib.rs", &|file| files.get(file).map(|text| (*text).to_owned())), floors)
}

const ROOT: (&str, &str) = ("src/lib.rs", "mod base; mod model; mod web; pub use web::router::Router;");
const FLOORS: Floors = &[&["base"], &["model"], &["web"]];
const FACADE: (&str, &str) =
    ("src/web/mod.rs", "//! Pages.\nmod page; pub mod router;\npub(crate) use self::{page::Page, router::Router};");

#[test]
fn correct_code_has_no_violations() {
    let files = [
        ROOT,
        FACADE,
        ("src/base.rs", "pub(crate) fn now() {} #[cfg(test)] mod tests { use crate::web::Page; use super::*; }"),
        ("src/model.rs", "mod user; use crate::base; fn f() { base::now() }"),
        ("src/model/user.rs", "pub(in crate::model) struct User; use std::fmt; mod inner { use super::User; }"),
        ("src/web/page.rs", "use crate::{base, model::{user::User, self}}; pub struct Page;"),
        ("src/web/router.rs", "use super::Page; pub struct Router;"),
    ];
    assert_eq!(violations_of(&files, FLOORS), Vec::<String>::new());
}

#[test]
fn each_way_to_use_a_module_is_found() {
    for up in [
        "use crate::web::router::Router;",
        "use crate::{model, web::{page, router::{self}}};",
        "use super::web::router::*;",
        "use crate::web::Router;",
        "use crate::web; fn f() { web::Router::new() }",
        "use crate::web as pages; fn f() { pages::router::new() }",
        "fn f() -> crate::web::router::Router { todo() }",
        "fn f() { super::web::router::new() }",
        "fn f() { assert!(crate::web::router::is_there()) }",
        "macro_rules! m { () => { $crate::web::router::Router } }",
        "macro_rules! m { () => { use crate::web::{router}; } }",
        "mod inner { fn f() { super::super::web::router::new() } }",
        "impl S { fn f() { let f = || <S as crate::web::router::Get>::get(); } }",
        "#[error(\"{}\", crate::web::router::new())] struct E;",
        "pub use crate::web::router::Router;",
    ] {
        let files = [
            ROOT,
            FACADE,
            ("src/base.rs", up),
            ("src/model.rs", ""),
            ("src/web/page.rs", "pub struct Page;"),
            ("src/web/router.rs", "pub struct Router;"),
        ];
        let violations = violations_of(&files, FLOORS);
        assert!(
            violations.contains(&"src/base.rs:1 -> src/web/router.rs points up".to_owned()),
            "{up}: {violations:?}"
        );
    }
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
    let files = [
        ROOT,
        ("src/base.rs", ""),
        ("src/model.rs", "mod user; struct Id; fn f() { user::new() }"),
        ("src/model/user.rs", "use super::Id;"),
        ("src/web/mod.rs", "mod page; mod router;"),
        ("src/web/page.rs", "use super::router::Router;"),
        ("src/web/router.rs", "use super::page::Page;"),
    ];
    let expected = [
        "src/model.rs -> src/model/user.rs -> src/model.rs is a circle",
        "src/web/page.rs -> src/web/router.rs -> src/web/page.rs is a circle",
    ];
    assert_eq!(violations_of(&files, FLOORS), expected);
}

#[test]
fn uses_of_the_root_and_of_the_same_floor_and_unlisted_modules_are_reported() {
    let files = [
        ("src/lib.rs", "mod base; mod model; mod web; mod stray;"),
        ("src/base.rs", "use crate::Router;"),
        ("src/model.rs", "use crate::web::Page;"),
        ("src/web.rs", ""),
        ("src/stray.rs", ""),
    ];
    let expected = [
        "src/stray.rs is on no floor: list it",
        "mail doesn't exist",
        "src/base.rs:1 -> src/lib.rs uses the crate's root: name the module that defines it",
        "src/model.rs:1 -> src/web.rs points to the side: both are on one floor",
    ];
    assert_eq!(violations_of(&files, &[&["base", "mail"], &["model", "web"]]), expected);
}

#[test]
fn the_generator_respects_its_floors() {
    assert_floors(
        "crates/cargo-sigra/src/main.rs",
        &[
            // Other programs, the terminal, and files.
            &["system"],
            &["plan"],
            &["sql", "template"],
            &["render"],
            &["host/edits"],
            &["host"],
            &["manifest"],
            &["cli"],
            &[
                "commands/completions",
                "commands/doctor",
                "commands/install",
                "commands/migration",
                "commands/new",
                "commands/routes",
                "commands/secret",
                "commands/upgrade",
            ],
        ],
    );
}

#[test]
fn the_library_respects_its_floors() {
    assert_floors(
        "crates/sigra/src/lib.rs",
        &[
            &["base"],
            &["model"],
            &["cache", "password", "browser"],
            &["in_process", "store"],
            &["config"],
            &["sigra"],
            &["audit", "health"],
            &["sessions"],
            &["email_tokens", "limits", "mail"],
            &["api_tokens", "mfa", "oauth", "oauth_server", "device_bound", "recovery"],
            &["housekeeping"],
            &["web"],
            &["testing", "doctest"],
        ],
    );
}

#[test]
fn the_template_respects_its_floors() {
    assert_floors(
        "crates/cargo-sigra/template/src/lib.rs",
        &[
            &["config", "languages"],
            &["dates", "devices"],
            &["database"],
            &["accounts"],
            &["web"],
            &["app"],
            &["mount"],
            &["server"],
        ],
    );
}
