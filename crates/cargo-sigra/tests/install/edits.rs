//! What is written into a host, without building it.

use std::fs;

use crate::{
    generated::{said, sigra},
    host::Host,
};

#[test]
fn nothing_of_the_hosts_is_overwritten() {
    let host = Host::new("hello", "");
    fs::write(host.root().join("src/auth.rs"), "//! Mine.\n").expect("written");
    let dirty = host.install(&[]);
    assert!(said(&dirty).contains("uncommitted changes: src/auth.rs"), "{}", said(&dirty));
    host.commit();
    let taken = host.install(&[]);
    assert!(
        !taken.status.success()
            && said(&taken).contains("because `src/auth.rs` is there. Choose another, such as `--module login`"),
        "{}",
        said(&taken)
    );
    assert_eq!(host.changes(), "");
    assert!(host.install(&["--module", "login"]).status.success());
    assert_eq!(host.read("src/auth.rs"), "//! Mine.\n");
}

#[test]
fn what_stands_in_the_hosts_manifest_stays_as_it_is() {
    let host = Host::new("hello", "").installed(&[]);
    let manifest = host.read("Cargo.toml");
    for line in [
        "# The web.",
        "axum = { version = \"0.8\", features = [\"macros\", \"ws\"] } # as it comes",
        "tokio = { version = \"1\", features = [\"full\"] }",
    ] {
        assert!(manifest.lines().any(|there| there == line), "{manifest}");
    }
    let host = Host::new("nested", "").installed(&[]);
    let manifest = host.read("Cargo.toml");
    assert!(
        manifest.contains("tokio = { version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\", "),
        "{manifest}"
    );
}

#[test]
fn links_lead_to_where_the_host_listens() {
    let host = Host::new("hello", "");
    let output = said(&host.install(&[]));
    assert!(output.contains("\nOpen http://localhost:3000/users/register in a browser."), "{output}");
    assert!(host.read("src/auth/config.rs").contains("const DEFAULT_PORT: u16 = 3000;"));
    host.commit();
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "There is nothing new.\n");

    let host = Host::new("library", "");
    let output = said(&host.install(&[]));
    assert!(output.contains("Links in emails begin with http://127.0.0.1:4000: set PUBLIC_URL"), "{output}");
    assert!(
        output.ends_with("Next:\n\n  cargo sigra routes\n\nOpen /users/register where your application listens.\n"),
        "a library can't be run: {output}"
    );
    assert!(host.read("src/auth/config.rs").contains("const DEFAULT_PORT: u16 = 4000;"));
}

#[test]
fn secrets_and_databases_are_kept_out_of_the_repository() {
    let host = Host::new("hello", "").installed(&[]);
    // `*.db*` was there.
    assert_eq!(host.read(".gitignore"), "/target\n*.served\n*.db*\nCargo.lock\n.*_dev_secret\n.env\n");

    let host = Host::new("hello", "");
    fs::write(host.root().join(".gitignore"), "/target").expect("written");
    host.commit();
    let host = host.installed(&[]);
    let ignored = "/target\n.*_dev_secret\n.env\n*.db\n*.db-shm\n*.db-wal\n";
    assert_eq!(host.read(".gitignore"), ignored);
}

#[test]
fn what_the_host_has_made_of_it_stays_at_the_next_install_and_upgrade() {
    let host = Host::new("hello", "").installed(&[]);
    let path = host.root().join("src/auth/accounts/user.rs");
    let mine = fs::read_to_string(&path).expect("text") + "// Mine.\n";
    fs::write(&path, &mine).expect("written");
    host.commit();
    assert!(host.install(&[]).status.success());
    let upgraded = sigra(&host.root(), &["upgrade"]);
    assert_eq!(said(&upgraded), "There is nothing new.\n");
    assert_eq!(fs::read_to_string(&path).expect("text"), mine);

    let manifest = host.read("Cargo.toml");
    let without = manifest.lines().filter(|line| !line.starts_with("thiserror")).collect::<Vec<_>>().join("\n") + "\n";
    assert_ne!(without, manifest);
    fs::write(host.root().join("Cargo.toml"), without).expect("written");
    host.commit();
    let upgraded = sigra(&host.root(), &["upgrade"]);
    assert_eq!(said(&upgraded), "     change Cargo.toml\n");
    assert!(host.read("Cargo.toml").contains("thiserror = \"2\""), "what is missing is added again");
}
