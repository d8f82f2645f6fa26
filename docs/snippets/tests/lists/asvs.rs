//! `docs/asvs.md`: every requirement of levels 1 and 2 has one row, and the evidence of every row exists.

use std::collections::BTreeSet;

use super::{
    sources::{read, root, tests},
    tables::{code, table},
};

/// All ids of the standard with their levels, in order.
const STANDARD: &str = include_str!("asvs-5.0.0.txt");

const STATES: [&str; 5] = ["met", "host", "deviation", "not applicable", "not yet"];

struct Row {
    ids: Vec<String>,
    state: String,
    shown_by: String,
}

fn standard() -> Vec<(&'static str, u32)> {
    let id = |line: &'static str| line.split_once(' ').and_then(|(id, level)| Some((id, level.parse().ok()?)));
    STANDARD.lines().map(|line| id(line).expect("an id and a level")).collect()
}

fn rows() -> Vec<Row> {
    let page = read("docs/asvs.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [ids, state, _, shown_by] = cells[..] else { panic!("not four cells: {line}") };
        let ids = ids.split(", ").flat_map(expand).collect();
        Row { ids, state: state.to_owned(), shown_by: shown_by.to_owned() }
    })
    .collect()
}

/// Returns the ids in a range such as `6.2.1-6.2.3`, or a single one.
fn expand(range: &str) -> Vec<String> {
    let position = |id: &str| {
        let found = standard().iter().position(|(known, _)| *known == id);
        found.unwrap_or_else(|| panic!("ASVS 5.0.0 has no {id}"))
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    standard()[position(first)..=position(last)].iter().map(|(id, _)| (*id).to_owned()).collect()
}

#[test]
fn every_requirement_of_levels_1_and_2_has_one_row_in_order() {
    let rows = rows();
    let number = |row: &Row| row.ids[0].split('.').map(|part| part.parse().expect("a number")).collect::<Vec<u32>>();
    for pair in rows.windows(2) {
        assert!(number(&pair[0]) < number(&pair[1]), "{} comes before {}", pair[0].ids[0], pair[1].ids[0]);
    }
    let mut listed = BTreeSet::new();
    for id in rows.into_iter().flat_map(|row| row.ids) {
        assert!(listed.insert(id.clone()), "{id} is listed twice");
    }
    let missing = standard().into_iter().filter(|(id, level)| *level <= 2 && !listed.contains(*id));
    assert_eq!(missing.collect::<Vec<_>>(), []);
}

#[test]
fn every_row_has_a_state_and_met_requirements_have_evidence() {
    for row in rows() {
        let id = &row.ids[0];
        assert!(STATES.contains(&row.state.as_str()), "{id} is `{}`", row.state);
        let is_shown = !code(&row.shown_by).is_empty() || row.shown_by.starts_with("by construction");
        assert!(row.state != "met" || is_shown, "{id} is met, but has no evidence");
    }
}

/// Evidence is the name of a Rust test, or the path of a browser test or another file.
#[test]
fn every_named_test_and_file_exists() {
    let (page, tests) = (read("docs/asvs.md"), tests());
    let precedents = table(&page, &["precedent", "what went wrong", "test"]).into_iter().map(|row| row[2].clone());
    let evidence = rows().into_iter().map(|row| row.shown_by).chain(precedents);
    for named in evidence.flat_map(|cell| code(&cell)) {
        if named.contains(['/', '.']) {
            assert!(root().join(&named).exists(), "there is no {named}");
        } else {
            assert!(tests.contains(&named), "there is no test {named}");
        }
    }
}
