//! Upgrades of accounts in existing applications.

use std::{fs, path::Path};

use crate::{
    generated::{copy, said, sigra, sigra_with_template},
    host::{Host, UNRESOLVED},
};

#[test]
fn a_second_migration_comes_after_those_that_the_host_has_added_since() {
    let notes = [("migrations/0001_notes.sql", "CREATE TABLE notes (id INTEGER);")];
    let host = Host::with("hello", &notes).installed(&[UNRESOLVED]);
    let added = sigra(&host.root(), &["gen", "migration", "add_tags"]);
    assert!(said(&added).contains("migrations/0003_add_tags.sql"), "{}", said(&added));
    host.commit();

    let template = tempfile::tempdir().expect("a folder");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("template"), template.path());
    for name in ["20260301000000_newer.sql", "20260302000000_newest.sql"] {
        fs::write(template.path().join("migrations/sqlite").join(name), "-- Newer.\n").expect("written");
    }
    let upgrade = || sigra_with_template(&host.root(), &["upgrade", "--no-resolve"], template.path());
    let upgraded = upgrade();
    assert!(upgraded.status.success(), "{}", said(&upgraded));
    let expected = ["     create migrations/0004_newer.sql", "     create migrations/0005_newest.sql"];
    assert_eq!(said(&upgraded).lines().collect::<Vec<_>>(), expected);
    host.commit();
    let added = sigra(&host.root(), &["gen", "migration", "add_colors"]);
    assert!(said(&added).contains("migrations/0006_add_colors.sql"), "{}", said(&added));
    host.commit();
    assert_eq!(said(&upgrade()), "Everything is up to date.\n");
}

#[test]
fn other_formatting_is_up_to_date() {
    let host = Host::new("hello", "").installed(&[UNRESOLVED]);
    fs::write(host.root().join("rustfmt.toml"), "hard_tabs = true\n").expect("written");
    host.cargo(&["fmt"]);
    let user = host.read("src/auth/accounts/user.rs");
    assert!(user.contains("\n\tpub email: String,\n"), "{user}");
    fs::write(host.root().join("src/auth/accounts/user.rs"), format!("// Mine.\n{user}")).expect("written");
    host.commit();
    let output = sigra(&host.root(), &["upgrade", "--no-resolve"]);
    assert_eq!(said(&output), "Everything is up to date.\n");
}
