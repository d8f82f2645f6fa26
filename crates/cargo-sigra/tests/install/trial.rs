//! Cargo resolves the host's dependencies before anything is written.

use std::fs;

use crate::{
    generated::{git, said, sigra_with, target_folder},
    host::Host,
};

/// Settings without a network: nothing responds there.
const NO_NETWORK: [(&str, &str); 3] =
    [("CARGO_HTTP_PROXY", "http://127.0.0.1:1"), ("HTTPS_PROXY", "http://127.0.0.1:1"), ("CARGO_NET_RETRY", "0")];

const MANIFEST: &str = include_str!("../hosts/hello/Cargo.toml");

/// Returns a host with another dependency.
fn host(dependency: &str, package: &str) -> Host {
    Host::with(
        "hello",
        &[
            ("Cargo.toml", &format!("{MANIFEST}{dependency}\n")),
            (
                "own/Cargo.toml",
                &format!("[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2024\"\n{package}"),
            ),
            ("own/src/lib.rs", ""),
            ("own/build.rs", "fn main() {}\n"),
        ],
    )
}

#[test]
fn two_packages_that_link_the_same_library_are_refused() {
    let host = host("own = { path = \"own\" }", "links = \"sqlite3\"\n");
    let message = host.refuses(&NO_NETWORK, &[]);
    assert!(message.contains("which links to `sqlite3`") && message.contains("sqlx"), "{message}");
    let explained = "`sqlx` (libsqlite3-sys";
    let reason = "and `own` need different versions of the native library `sqlite3`, but a program can have only one";
    assert!(message.contains("cargo can't resolve the dependencies: ") && message.contains(reason), "{message}");
    assert!(message.contains(explained) && !message.contains("--no-resolve"), "{message}");
    assert!(message.contains(&format!("({}", host.root().canonicalize().expect("a folder").display())), "{message}");
    let dry = sigra_with(&host.root(), &NO_NETWORK, &["install", "--yes", "--dry-run"]);
    assert!(!dry.status.success(), "a dry run also fails: {}", said(&dry));
}

#[test]
fn a_conflict_that_was_there_before_is_not_blamed_on_accounts() {
    let own = "own = { path = \"own\" }\nother = { path = \"other\" }";
    let host = host(own, "links = \"a\"\n");
    let other = "[package]\nname = \"other\"\nversion = \"1.0.0\"\nedition = \"2024\"\nlinks = \"a\"\n";
    for (path, text) in [("Cargo.toml", other), ("build.rs", "fn main() {}\n"), ("src/lib.rs", "")] {
        let path = host.root().join("other").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    host.commit();
    let message = host.refuses(&NO_NETWORK, &[]);
    assert!(message.contains("cargo can't resolve your dependencies even without the changes"), "{message}");
}

#[test]
fn a_member_of_a_workspace_is_resolved_in_its_workspace() {
    let host = Host::new("member", "web");
    let output = sigra_with(&host.root(), &NO_NETWORK, &["install", "--yes"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn dependencies_by_paths_are_found_from_the_copy() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::create_dir(outside.path().join("src")).expect("made");
    fs::write(outside.path().join("src/lib.rs"), "").expect("written");
    let manifest = "[package]\nname = \"outside\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(outside.path().join("Cargo.toml"), manifest).expect("written");
    let up = format!("../{}", outside.path().file_name().expect("a name").display());
    for path in [up, outside.path().display().to_string()] {
        let host = host(&format!("own = {{ path = \"./own\" }}\noutside = {{ path = \"{path}\" }}"), "");
        let output = sigra_with(&host.root(), &NO_NETWORK, &["install", "--yes"]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn without_a_network_only_no_resolve_continues() {
    let host = host("a-package-that-nobody-has-published = \"1\"", "");
    let message = host.refuses(&NO_NETWORK, &[]);
    assert!(message.contains("cargo can't reach the registry") && message.contains("`--no-resolve`"), "{message}");
    let output = sigra_with(&host.root(), &NO_NETWORK, &["install", "--yes", "--no-resolve"]);
    assert!(output.status.success(), "{}", said(&output));
}

/// Returns a cargo that runs other code instead of a command.
#[cfg(unix)]
fn cargo_that(command: &str, does: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cargo");
    let script = format!("#!/bin/sh\nif [ \"$1\" = {command} ]; then {does}; fi\nexec {} \"$@\"\n", env!("CARGO"));
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    folder
}

#[cfg(unix)]
#[test]
fn a_toolchain_that_is_not_installed_is_named() {
    let cargo =
        cargo_that("metadata", "echo \"error: toolchain '1.80.0' is not installed\n\nStack backtrace:\" >&2; exit 1");
    let host = Host::with("hello", &[("rust-toolchain.toml", "[toolchain]\nchannel = \"1.80.0\"\n")]);
    let path = cargo.path().join("cargo").display().to_string();
    let message = host.refuses(&[("CARGO", &path)], &[]);
    let file = host.root().canonicalize().expect("a folder").join("rust-toolchain.toml");
    assert_eq!(
        message,
        format!(
            "error: `{}` pins the toolchain `1.80.0`, which is not installed: run `rustup toolchain install 1.80.0`\n",
            file.display()
        )
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_installation_changes_nothing() {
    for (command, flags) in [("check", &["--check"][..]), ("update", &[])] {
        let cargo = cargo_that(command, "kill -INT $PPID; exit 0");
        let host = Host::new("hello", "");
        let path = cargo.path().join("cargo").display().to_string();
        let temporary = tempfile::tempdir().expect("a folder");
        let settings = [("CARGO", path.as_str()), ("TMPDIR", temporary.path().to_str().expect("text"))];
        let message = host.refuses(&settings, flags);
        assert!(message.contains("stopped; nothing was written"), "{message}");
        assert_eq!(fs::read_dir(temporary.path()).expect("a folder").count(), 0, "no copy is left");
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_written_if_the_changed_copy_does_not_compile() {
    let cargo = cargo_that("check", "cat \"$3\" \"${3%Cargo.toml}src/main.rs\" >&2; exit 101");
    let host = Host::new("hello", "");
    let path = cargo.path().join("cargo").display().to_string();
    let message = host.refuses(&[("CARGO", &path)], &["--check"]);
    assert!(message.contains("wouldn't compile with accounts"), "{message}");
    assert!(
        message.contains("\naskama = ") && message.contains("with_accounts(app)"),
        "the copy has the changes: {message}"
    );
}

#[test]
#[ignore = "for the long run: it compiles an application"]
fn a_copy_is_compiled_before_anything_is_written() {
    let target = target_folder().display().to_string();
    let settings = [("CARGO_TARGET_DIR", target.as_str()), ("CARGO_PROFILE_DEV_DEBUG", "0")];
    let host = Host::with(
        "hello",
        &[("src/auth_of_mine.rs", "pub const N: usize = include_str!(\"../notes.txt\").len();\n"), ("notes.txt", "a")],
    );
    let main = format!("mod auth_of_mine;\n{}", host.read("src/main.rs"))
        .replace("\"Hello, World!\"", "auth_of_mine::N.to_string()");
    fs::write(host.root().join("src/main.rs"), &main).expect("written");
    host.commit();
    let before = host.tree();
    let dry = sigra_with(&host.root(), &settings, &["install", "--yes", "--check", "--dry-run"]);
    assert!(dry.status.success(), "{}", said(&dry));
    assert_eq!(host.tree(), before);
    fs::write(host.root().join("src/main.rs"), main.replace("N.to_string()", "M.to_string()")).expect("written");
    host.commit();
    let message = host.refuses(&settings, &["--check"]);
    assert!(
        message.contains("wouldn't compile with accounts") && message.contains("cannot find value `M`"),
        "{message}"
    );
    git(&host.root(), &["checkout", "--quiet", "HEAD~", "--", "src/main.rs"]);
    host.commit();
    let output = sigra_with(&host.root(), &settings, &["install", "--yes", "--check"]);
    assert!(output.status.success(), "{}", said(&output));
    host.cargo(&["clean", "--package", "hello"]);
}
