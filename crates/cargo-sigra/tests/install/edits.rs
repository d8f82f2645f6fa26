//! What an installation writes, without building the host.

use std::fs;

use crate::{
    generated::{said, sigra},
    host::{Host, UNRESOLVED},
};

#[test]
fn a_dry_run_shows_the_changes_and_changes_nothing() {
    for (name, package) in
        [("hello", ""), ("library", ""), ("member", "web"), ("nested", ""), ("shop", "crates/server"), ("users", "")]
    {
        let host = Host::new(name, package);
        let output = host.install(&["--dry-run"]);
        assert!(output.status.success() && said(&output).contains("+++ b/Cargo.toml"), "{}", said(&output));
        assert_eq!(host.changes(), "");
    }
}

#[test]
fn the_hosts_files_are_not_overwritten() {
    let host = Host::new("hello", "");
    fs::write(host.root().join("src/auth.rs"), "//! Mine.\n").expect("written");
    let dirty = host.install(&[UNRESOLVED]);
    assert!(said(&dirty).contains("uncommitted changes: src/auth.rs"), "{}", said(&dirty));
    host.commit();
    let taken = host.install(&[UNRESOLVED]);
    assert!(
        !taken.status.success()
            && said(&taken).contains("because `src/auth.rs` already exists. Choose another, such as `--module login`"),
        "{}",
        said(&taken)
    );
    assert_eq!(host.changes(), "");
    assert!(host.install(&["--module", "login", UNRESOLVED]).status.success());
    assert_eq!(host.read("src/auth.rs"), "//! Mine.\n");
}

#[test]
fn lines_of_the_hosts_cargo_toml_are_kept() {
    let host = Host::new("hello", "").installed(&[UNRESOLVED]);
    let manifest = host.read("Cargo.toml");
    for line in [
        "# The web.",
        "axum = { version = \"0.8\", features = [\"macros\", \"ws\"] } # as it comes",
        "tokio = { version = \"1\", features = [\"full\"] }",
    ] {
        assert!(manifest.lines().any(|found| found == line), "{manifest}");
    }
    let host = Host::new("nested", "").installed(&[UNRESOLVED]);
    let manifest = host.read("Cargo.toml");
    assert!(
        manifest.contains("tokio = { version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\", "),
        "{manifest}"
    );
}

#[test]
fn links_use_the_port_of_the_host() {
    let host = Host::new("hello", "");
    let output = said(&host.install(&[UNRESOLVED]));
    assert!(output.contains("\nOpen http://localhost:3000/users/register in a browser."), "{output}");
    assert!(host.read("src/auth/config.rs").contains("const DEFAULT_PORT: u16 = 3000;"));
    host.commit();
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "Everything is up to date.\n");

    let host = Host::new("library", "");
    let output = said(&host.install(&[UNRESOLVED]));
    assert!(output.contains("Links in emails begin with http://localhost:4000: set PUBLIC_URL"), "{output}");
    assert!(
        output.ends_with("Next:\n\n  cargo sigra routes\n\nOpen /users/register where your application listens.\n"),
        "a library can't be run: {output}"
    );
    assert!(host.read("src/auth/config.rs").contains("const DEFAULT_PORT: u16 = 4000;"));
}

#[test]
fn secrets_and_databases_are_kept_out_of_the_repository() {
    let host = Host::new("hello", "").installed(&[UNRESOLVED]);
    // `*.db*` was already ignored.
    assert_eq!(host.read(".gitignore"), "/target\n*.served\n*.db*\nCargo.lock\n.*_dev_secret\n.env\n");

    let host = Host::new("hello", "");
    fs::write(host.root().join(".gitignore"), "/target").expect("written");
    host.commit();
    let host = host.installed(&[UNRESOLVED]);
    let ignored = "/target\n.*_dev_secret\n.env\n*.db\n*.db-shm\n*.db-wal\n";
    assert_eq!(host.read(".gitignore"), ignored);
}

#[test]
fn the_hosts_changes_survive_another_install_and_an_upgrade() {
    let host = Host::new("hello", "").installed(&[UNRESOLVED]);
    let path = host.root().join("src/auth/accounts/user.rs");
    let mine = fs::read_to_string(&path).expect("text") + "// Mine.\n";
    fs::write(&path, &mine).expect("written");
    host.commit();
    assert!(host.install(&[UNRESOLVED]).status.success());
    let upgraded = sigra(&host.root(), &["upgrade"]);
    assert_eq!(said(&upgraded), "Everything is up to date.\n");
    assert_eq!(fs::read_to_string(&path).expect("text"), mine);

    let manifest = host.read("Cargo.toml");
    let without = manifest.lines().filter(|line| !line.starts_with("thiserror")).collect::<Vec<_>>().join("\n") + "\n";
    assert_ne!(without, manifest);
    fs::write(host.root().join("Cargo.toml"), without).expect("written");
    host.commit();
    let upgraded = sigra(&host.root(), &["upgrade"]);
    assert_eq!(said(&upgraded), "     change Cargo.toml\n");
    assert!(host.read("Cargo.toml").contains("thiserror = \"2\""), "a missing dependency is added again");
}
