//! Long code in the guides is in programs that are built and tested, and those are in the guides.

use std::collections::BTreeSet;

use toml_edit::DocumentMut;

use super::{
    links::pages,
    sources::{folders, read, root},
};

/// A longer snippet makes a guide hard to read.
const LONGEST: usize = 10;

/// Returns the names of the how-to guides.
fn how_to_guides() -> Vec<String> {
    let summary = read("docs/SUMMARY.md");
    let parts = summary.split("\n# ").filter(|part| part.starts_with("How-to guides"));
    let links = parts.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    links.map(|name| format!("docs/{name}")).collect()
}

/// A snippet that is run, with a `main` in the comment above it, is a program itself.
#[test]
fn a_how_to_guide_with_a_long_snippet_names_an_example() {
    let guides = how_to_guides();
    assert!(guides.len() > 20, "{guides:?}");
    for path in guides {
        let guide = read(&path);
        let parts: Vec<&str> = guide.split("```").collect();
        let snippets = parts.chunks(2).filter_map(|pair| Some((pair[0], pair.get(1)?)));
        let is_long = |code: &str| code.lines().skip(1).filter(|line| !line.trim().is_empty()).count() > LONGEST;
        let mut long = snippets.filter(|(above, code)| {
            let is_run = above.rsplit("<!-- compiled with").next().is_some_and(|frame| frame.contains("fn main()"));
            code.starts_with("rust") && is_long(code) && !is_run
        });
        if let Some((_, code)) = long.next() {
            assert!(guide.contains("`examples/"), "{path} names no example for this code:\n{code}");
        }
    }
}

#[test]
fn every_example_is_in_a_guide_and_every_named_one_exists() {
    let guides: Vec<String> = pages().iter().map(|path| read(path)).collect();
    for name in folders("examples") {
        let name = format!("`examples/{name}`");
        assert!(guides.iter().any(|guide| guide.contains(&name)), "no guide has {name}");
    }
    for rest in guides.iter().flat_map(|guide| guide.split("`examples/").skip(1)) {
        let name = rest.split(['`', '/']).next().expect("a name");
        assert!(root().join("examples").join(name).join("Cargo.toml").exists(), "examples/{name}");
    }
}

/// Returns the dependencies with features, such as "serde derive".
fn with_features(dependencies: impl Iterator<Item = (String, Vec<String>)>) -> BTreeSet<String> {
    dependencies.map(|(name, features)| format!("{name} {}", features.join(","))).collect()
}

#[test]
fn the_front_page_of_the_library_adds_the_dependencies_of_the_example() {
    let front = read("crates/sigra/src/docs/front.md");
    let commands = front.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the commands");
    let commands = commands.lines().filter_map(|line| line.strip_prefix("cargo add "));
    let shown = commands.flat_map(|added| {
        let (names, features) = added.split_once(" --features ").unwrap_or((added, ""));
        let features: Vec<String> = features.split(',').map(str::to_owned).collect();
        names.split(' ').map(|name| (name.to_owned(), features.clone())).collect::<Vec<_>>()
    });
    // Default features are on there: axum has all of these, and sqlx its macros.
    let manifest: DocumentMut = read("examples/library/Cargo.toml").parse().expect("TOML");
    let needed = manifest["dependencies"].as_table().expect("dependencies").iter().map(|(name, wanted)| {
        let features = wanted.get("features").and_then(|features| features.as_array());
        let features = features.into_iter().flatten().filter_map(|feature| feature.as_str());
        let is_default = |feature: &str| name == "axum" || (name == "sqlx" && feature == "macros");
        let features: Vec<String> = features.filter(|feature| !is_default(feature)).map(str::to_owned).collect();
        (name.to_owned(), if features.is_empty() { vec![String::new()] } else { features })
    });
    assert_eq!(with_features(shown), with_features(needed));
}
