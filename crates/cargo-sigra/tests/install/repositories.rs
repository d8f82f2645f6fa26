//! Repositories of the host.

use std::fs;

use crate::{
    generated::{git, said, sigra},
    host::{Host, UNRESOLVED},
};

#[test]
fn a_repository_of_another_user_is_refused_with_the_fix() {
    let host = Host::new("hello", "");
    let message = host.refuses(&[("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")], &[]);
    assert!(message.contains("its folder belongs to another user"), "{message}");
    assert!(message.contains("`git config --global --add safe.directory "), "{message}");
    assert!(!message.contains("isn't in a git repository"), "{message}");
}

#[test]
fn uncommitted_files_are_refused() {
    let host = Host::new("hello", "");
    fs::remove_dir_all(host.root().join(".git")).expect("removed");
    let message = host.refuses(&[], &[]);
    assert!(message.contains("isn't in a git repository"), "{message}");
    git(&host.root(), &["init", "--quiet"]);
    let message = host.refuses(&[], &[]);
    assert!(message.contains("uncommitted changes: ") && message.contains("Cargo.toml"), "{message}");
    host.commit();
    host.installed(&[UNRESOLVED]);
}

#[test]
fn a_git_worktree_is_a_repository() {
    let host = Host::new("hello", "");
    git(&host.root(), &["worktree", "add", "--quiet", "beside"]);
    let beside = host.root().join("beside");
    let installed = sigra(&beside, &["install", "--yes"]);
    assert!(installed.status.success(), "{}", said(&installed));
    let again = sigra(&beside, &["install", "--yes"]);
    assert!(said(&again).contains("uncommitted changes"), "{}", said(&again));
}

#[test]
fn a_tracked_env_file_is_reported_and_not_ignored() {
    let host = Host::with("hello", &[(".gitignore", "/target\n"), (".env", "EXAMPLE=1\n")]);
    let output = host.install(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("git tracks `.env`"), "{}", said(&output));
    assert_eq!(host.read(".gitignore"), "/target\n.*_dev_secret\n*.db\n*.db-shm\n*.db-wal\n");
}

#[cfg(unix)]
#[test]
fn uncommitted_changes_behind_a_link_are_found() {
    let host = Host::new("member", "web");
    let (main, shared) = (host.root().join("src/main.rs"), host.root().join("../start.rs"));
    fs::rename(&main, &shared).expect("moved");
    std::os::unix::fs::symlink("../../start.rs", &main).expect("linked");
    host.commit();
    let text = fs::read_to_string(&shared).expect("text");
    fs::write(&shared, format!("{text}// Mine.\n")).expect("written");
    let message = host.refuses(&[], &[]);
    assert!(message.contains("uncommitted changes: start.rs"), "{message}");
    host.commit();
    let host = host.installed(&[UNRESOLVED]);
    assert!(fs::read_to_string(shared).expect("text").contains("with_accounts"));
    drop(host);
}
