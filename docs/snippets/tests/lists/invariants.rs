//! `docs/invariants.md`, and the tests with its numbers.

use std::collections::BTreeSet;

use super::{
    sources::{read, tests},
    tables::table,
};

#[test]
fn every_invariant_has_a_test_and_every_numbered_test_an_invariant() {
    let listed: Vec<u32> = table(&read("docs/invariants.md"), &["number", "rule"])
        .iter()
        .map(|row| row[0].parse().unwrap_or_else(|_| panic!("{} isn't a number", row[0])))
        .collect();
    assert!(listed.is_sorted_by(|one, next| one < next), "their numbers ascend: {listed:?}");

    let mut shown = BTreeSet::new();
    for test in tests() {
        let Some(rest) = test.strip_prefix("invariant_") else { continue };
        let number = rest.split('_').next().and_then(|number| number.parse().ok());
        let number: u32 = number.unwrap_or_else(|| panic!("{test} has no number"));
        assert!(listed.contains(&number), "{test} has the number of an invariant that doesn't exist");
        shown.insert(number);
    }
    let listed: BTreeSet<u32> = listed.into_iter().collect();
    assert_eq!(listed.difference(&shown).collect::<Vec<_>>(), Vec::<&u32>::new(), "these have no test");
}
