//! Pages link to pages and headings that exist, and quote files correctly.

use std::{fs, path::Path};

use super::sources::{read, root};

pub fn pages() -> Vec<String> {
    let guides =
        fs::read_dir(root().join("docs")).expect("the guides").map(|entry| entry.expect("an entry").file_name());
    let guides = guides.map(|name| format!("docs/{}", name.to_string_lossy())).filter(|path| path.ends_with(".md"));
    guides
        .chain(["README.md", "SECURITY.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"].map(str::to_owned))
        .collect()
}

/// Returns a page without its code blocks, and without the comments that complete them.
pub fn prose(page: &str) -> String {
    let text: String = page.split("```").step_by(2).collect();
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.filter_map(|part| part.split_once("-->")).map(|(_, after)| after).collect::<String>()
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
            if path.starts_with("docs/") && target.starts_with("..") {
                dead.push(format!("{path}: {target} isn't in the book"));
            }
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
fn every_guide_is_in_the_summary_and_the_readme_leads_to_it() {
    let (summary, readme) = (read("docs/SUMMARY.md"), read("README.md"));
    assert!(readme.contains("](docs/SUMMARY.md)"), "README.md has no docs/SUMMARY.md");
    for path in pages().into_iter().filter(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md") {
        let name = path.trim_start_matches("docs/");
        assert_eq!(summary.matches(&format!("]({name})")).count(), 1, "{name} in docs/SUMMARY.md");
    }
}

/// A code host shows the lines that rustdoc hides. What they would have is in a comment: see `docs/snippets/build.rs`.
#[test]
fn no_snippet_shows_what_only_the_compiler_needs() {
    for path in pages() {
        for block in read(&path).split("```").skip(1).step_by(2).filter(|block| block.starts_with("rust")) {
            let hidden = block.lines().map(str::trim).find(|line| *line == "#" || line.starts_with("# "));
            assert_eq!(hidden, None, "in {path}: put it into the comment above, as docs/snippets/build.rs says");
        }
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
            let source = read(&format!("crates/cargo-sigra/template/{file}"));
            assert!(source.contains(block), "{path} misquotes {file}");
            quotations += 1;
        }
    }
    assert_ne!(quotations, 0);
}
