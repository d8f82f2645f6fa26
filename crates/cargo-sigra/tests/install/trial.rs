//! Hosts whose dependencies Cargo resolves before anything is written.

use std::fs;

use crate::{
    generated::{git, said, sigra_with, target_folder},
    host::Host,
};

/// Nobody answers there.
const NO_NETWORK: [(&str, &str); 3] =
    [("CARGO_HTTP_PROXY", "http://127.0.0.1:1"), ("HTTPS_PROXY", "http://127.0.0.1:1"), ("CARGO_NET_RETRY", "0")];

const MANIFEST: &str = include_str!("../hosts/hello/Cargo.toml");

/// A host with a dependency of its own.
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
fn two_packages_that_link_one_library_are_told_before() {
    let host = host("own = { path = \"own\" }", "links = \"sqlite3\"\n");
    let told = host.refuses(&NO_NETWORK, &[]);
    assert!(told.contains("which links to `sqlite3`") && told.contains("sqlx"), "{told}");
    assert!(told.contains(&format!("({}", host.root().canonicalize().expect("a folder").display())), "{told}");
    let dry = sigra_with(&host.root(), &NO_NETWORK, &["install", "--yes", "--dry-run"]);
    assert!(!dry.status.success(), "a dry run tells it too: {}", said(&dry));
}

#[test]
fn a_member_of_a_workspace_is_tried_within_it() {
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
fn without_a_network_it_goes_on_only_when_told_to() {
    let host = host("a-package-that-nobody-has-published = \"1\"", "");
    let told = host.refuses(&NO_NETWORK, &[]);
    assert!(told.contains("cargo can't reach the registry") && told.contains("`--no-resolve`"), "{told}");
    let output = sigra_with(&host.root(), &NO_NETWORK, &["install", "--yes", "--no-resolve"]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A cargo that does another thing in place of a command.
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
fn who_stops_it_finds_all_as_it_was() {
    for (command, flags) in [("check", &["--check"][..]), ("update", &[])] {
        let cargo = cargo_that(command, "kill -INT $PPID; exit 0");
        let host = Host::new("hello", "");
        let path = cargo.path().join("cargo").display().to_string();
        let temporary = tempfile::tempdir().expect("a folder");
        let settings = [("CARGO", path.as_str()), ("TMPDIR", temporary.path().to_str().expect("text"))];
        let told = host.refuses(&settings, flags);
        assert!(told.contains("stopped; nothing was written"), "{told}");
        assert_eq!(fs::read_dir(temporary.path()).expect("a folder").count(), 0, "no copy is left");
    }
}

#[cfg(unix)]
#[test]
fn what_does_not_compile_is_not_written() {
    let cargo = cargo_that("check", "cat \"$3\" \"${3%Cargo.toml}src/main.rs\" >&2; exit 101");
    let host = Host::new("hello", "");
    let path = cargo.path().join("cargo").display().to_string();
    let told = host.refuses(&[("CARGO", &path)], &["--check"]);
    assert!(told.contains("would not compile with accounts"), "{told}");
    assert!(
        told.contains("\naskama = ") && told.contains("with_accounts(app)"),
        "it is a copy with the changes: {told}"
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
    let told = host.refuses(&settings, &["--check"]);
    assert!(told.contains("would not compile with accounts") && told.contains("cannot find value `M`"), "{told}");
    git(&host.root(), &["checkout", "--quiet", "HEAD~", "--", "src/main.rs"]);
    host.commit();
    let output = sigra_with(&host.root(), &settings, &["install", "--yes", "--check"]);
    assert!(output.status.success(), "{}", said(&output));
    host.cargo(&["clean", "--package", "hello"]);
}
