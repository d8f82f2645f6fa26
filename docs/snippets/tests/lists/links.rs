//! Pages link to pages and headings that exist, and quote files correctly.

use std::{fs, path::Path};

use super::sources::{read, root};

pub fn pages() -> Vec<String> {
    let guides =
        fs::read_dir(root().join("docs")).expect("the guides").map(|entry| entry.expect("an entry").file_name());
    let guides = guides.map(|name| format!("docs/{}", name.to_string_lossy())).filter(|path| path.ends_with(".md"));
    guides.chain(["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned)).collect()
}

/// Returns a page without its code blocks.
pub fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// Returns the anchors that GitHub and mdBook create from headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for path in pages() {
        let page = read(&path);
        let folder = Path::new(&path).parent().expect("a folder");
        let text = prose(&page);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let linked = if file.is_empty() { root().join(&path) } else { root().join(folder).join(file) };
            let has_anchor = |anchor| fs::read_to_string(&linked).is_ok_and(|page| anchors(&page).contains(anchor));
            if !linked.exists() || !anchor.map(str::to_owned).as_ref().is_none_or(has_anchor) {
                dead.push(format!("{path}: {target}"));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn every_guide_is_in_the_summary_in_the_readme_and_compiled() {
    let (summary, readme, compiled) = (read("docs/SUMMARY.md"), read("README.md"), read("docs/snippets/src/lib.rs"));
    for path in pages().into_iter().filter(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md") {
        let name = path.trim_start_matches("docs/");
        assert!(summary.contains(&format!("]({name})")), "docs/SUMMARY.md has no {name}");
        assert!(name == "introduction.md" || readme.contains(&format!("]({path})")), "README.md has no {path}");
        assert!(
            !read(&path).contains("```rust") || compiled.contains(&format!("../../{name}\"")),
            "{name} isn't compiled"
        );
    }
}

/// A quotation is introduced by "This is the handler, from `src/web/pages/session.rs`:".
#[test]
fn quoted_code_is_in_its_file() {
    let mut quotations = 0;
    for path in pages() {
        for rest in read(&path).split("This is the handler, from `").skip(1) {
            let (file, rest) = rest.split_once('`').expect("a path");
            let block = rest.split("```").nth(1).and_then(|block| block.split_once('\n')).expect("a block").1;
            let visible: Vec<&str> = block.lines().filter(|line| *line != "#" && !line.starts_with("# ")).collect();
            let source = read(&format!("crates/cargo-sigra/template/{file}"));
            assert!(source.contains(&visible.join("\n")), "{path} misquotes {file}");
            quotations += 1;
        }
    }
    assert_ne!(quotations, 0);
}
