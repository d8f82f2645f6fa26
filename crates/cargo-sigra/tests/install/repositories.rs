//! What git says of the host's folder.

use std::fs;

use crate::{
    generated::{git, said, sigra},
    host::Host,
};

#[test]
fn a_repository_of_another_user_is_told_as_such() {
    let host = Host::new("hello", "");
    let told = host.refuses(&[("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")], &[]);
    assert!(told.contains("its folder belongs to another user"), "{told}");
    assert!(told.contains("`git config --global --add safe.directory "), "{told}");
    assert!(!told.contains("isn't in a git repository"), "{told}");
}

#[test]
fn what_git_has_not_been_given_yet_could_not_be_brought_back() {
    let host = Host::new("hello", "");
    fs::remove_dir_all(host.root().join(".git")).expect("removed");
    let told = host.refuses(&[], &[]);
    assert!(told.contains("isn't in a git repository"), "{told}");
    git(&host.root(), &["init", "--quiet"]);
    let told = host.refuses(&[], &[]);
    assert!(told.contains("uncommitted changes: ") && told.contains("Cargo.toml"), "{told}");
    host.commit();
    host.installed(&[]);
}

#[test]
fn a_work_tree_beside_its_repository_is_one() {
    let host = Host::new("hello", "");
    git(&host.root(), &["worktree", "add", "--quiet", "beside"]);
    let beside = host.root().join("beside");
    let installed = sigra(&beside, &["install", "--yes"]);
    assert!(installed.status.success(), "{}", said(&installed));
    let again = sigra(&beside, &["install", "--yes"]);
    assert!(said(&again).contains("uncommitted changes"), "{}", said(&again));
}

#[test]
fn an_env_file_that_is_tracked_is_told_and_not_ignored() {
    let host = Host::with("hello", &[(".gitignore", "/target\n"), (".env", "EXAMPLE=1\n")]);
    let output = host.install(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("git tracks `.env`"), "{}", said(&output));
    assert_eq!(host.read(".gitignore"), "/target\n.*_dev_secret\n*.db\n*.db-shm\n*.db-wal\n");
}

#[cfg(unix)]
#[test]
fn changes_behind_a_link_are_changes_too() {
    let host = Host::new("member", "web");
    let (main, shared) = (host.root().join("src/main.rs"), host.root().join("../start.rs"));
    fs::rename(&main, &shared).expect("moved");
    std::os::unix::fs::symlink("../../start.rs", &main).expect("linked");
    host.commit();
    let text = fs::read_to_string(&shared).expect("text");
    fs::write(&shared, format!("{text}// Mine.\n")).expect("written");
    let told = host.refuses(&[], &[]);
    assert!(told.contains("uncommitted changes: start.rs"), "{told}");
    host.commit();
    let host = host.installed(&[]);
    assert!(fs::read_to_string(shared).expect("text").contains("with_accounts"));
    drop(host);
}
