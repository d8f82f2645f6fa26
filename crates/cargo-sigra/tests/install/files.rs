//! Files with other line endings, byte order marks and formatting, and files that can't be written.

use std::{fs, path::Path, process::Command};

use crate::{
    generated::{git, said, sigra, sigra_with},
    host::{Host, UNRESOLVED},
};

const MAIN: &str = include_str!("../hosts/hello/src/main.rs");

fn is_text(path: &Path) -> bool {
    path.is_file() && !path.ends_with("base.tar.gz") && !path.ends_with("Cargo.lock")
}

fn with_crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

#[test]
fn byte_order_marks_script_lines_and_line_endings_are_kept() {
    let plain = Host::new("hello", "").installed(&[UNRESOLVED]).read("src/main.rs");
    for (begin, main) in [
        ("\u{feff}", format!("\u{feff}{MAIN}")),
        ("#!/usr/bin/env run\n", format!("#!/usr/bin/env run\n{MAIN}")),
        ("\u{feff}", format!("\u{feff}{}", with_crlf(MAIN))),
        ("\u{feff}#!/usr/bin/env run\r\n", with_crlf(&format!("\u{feff}#!/usr/bin/env run\n{MAIN}"))),
    ] {
        let host = Host::with("hello", &[("src/main.rs", &main)]).installed(&[UNRESOLVED]);
        let expected = if main.contains('\r') { with_crlf(&plain) } else { plain.clone() };
        assert_eq!(host.read("src/main.rs"), format!("{begin}{expected}"));
        let other = host.read("src/auth.rs");
        assert_eq!(
            other.matches("\r\n").count() > 0,
            main.contains('\r'),
            "new files have the line endings of existing ones"
        );
    }
    let manifest = with_crlf(&format!("\u{feff}{}", include_str!("../hosts/hello/Cargo.toml")));
    let host = Host::with("hello", &[("Cargo.toml", &manifest)]).installed(&[UNRESOLVED]);
    let changed = host.read("Cargo.toml");
    assert!(changed.starts_with("\u{feff}[package]\r\n"), "{changed}");
    assert_eq!(changed.matches('\n').count(), changed.matches("\r\n").count());
}

#[test]
fn new_files_have_the_line_endings_of_a_checkout() {
    let host = Host::new("hello", "");
    git(&host.root(), &["config", "core.autocrlf", "true"]);
    check_out_again(&host);
    assert!(host.read("src/main.rs").contains("\r\n"));
    let host = host.installed(&[UNRESOLVED]);
    let written = host.tree();
    assert!(written.len() > 100);
    for (path, (_, content)) in written.iter().filter(|(path, _)| is_text(path)) {
        let text = String::from_utf8(content.clone()).expect("text");
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{}", path.display());
    }
    check_out_again(&host);
    assert_eq!(host.tree(), written, "a checkout changes no byte, not even in migrations and the archive");
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "Everything is up to date.\n");
    assert_eq!(host.changes(), "");
}

#[test]
fn the_archive_is_binary_with_any_gitattributes() {
    let host = Host::with("hello", &[(".gitattributes", "* text eol=crlf\n")]);
    check_out_again(&host);
    let host = host.installed(&[UNRESOLVED]);
    let archive = fs::read(host.root().join(".sigra/base.tar.gz")).expect("bytes");
    check_out_again(&host);
    assert_eq!(fs::read(host.root().join(".sigra/base.tar.gz")).expect("bytes"), archive);
    assert_eq!(said(&sigra(&host.root(), &["upgrade"])), "Everything is up to date.\n");
}

/// Writes every file again, like a fresh checkout.
fn check_out_again(host: &Host) {
    git(&host.root(), &["rm", "--quiet", "--cached", "-r", "."]);
    git(&host.root(), &["reset", "--quiet", "--hard"]);
}

#[test]
fn obstacles_are_reported_and_nothing_is_written() {
    let host = Host::with("hello", &[("static", "A file.\n"), ("templates/auth/base.html/more.html", "")]);
    let message = host.refuses(&[], &[]);
    assert!(message.contains("nothing was written: "), "{message}");
    assert!(message.contains("needs `static` to be a folder, but it is a file: move it"), "{message}");
    assert!(!message.contains("Installed"), "{message}");
}

#[cfg(unix)]
#[test]
fn read_only_files_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let host = Host::new("hello", "");
    let manifest = host.root().join("Cargo.toml");
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o444)).expect("set");
    let message = host.refuses(&[], &[]);
    assert!(message.contains("Cargo.toml` is read-only: make it writable"), "{message}");

    let other = tempfile::tempdir().expect("a folder");
    let host = Host::new("hello", "");
    symlink(other.path(), host.root().join("templates")).expect("linked");
    host.commit();
    let message = host.refuses(&[], &[]);
    assert!(message.contains("is a link that leads out of the repository"), "{message}");
    assert_eq!(fs::read_dir(other.path()).expect("a folder").count(), 0);

    let host = Host::new("hello", "");
    fs::create_dir(host.root().join("program")).expect("made");
    fs::rename(host.root().join("src/main.rs"), host.root().join("program/start.rs")).expect("moved");
    symlink("../program/start.rs", host.root().join("src/main.rs")).expect("linked");
    host.commit();
    let host = host.installed(&[UNRESOLVED]);
    assert!(fs::symlink_metadata(host.root().join("src/main.rs")).expect("a link").is_symlink());
    assert!(host.read("program/start.rs").contains("with_accounts"), "{}", host.read("program/start.rs"));
}

#[test]
fn invalid_settings_of_rustfmt_are_a_warning() {
    let main = MAIN.replace("    let app = Router", "    let  app = Router");
    for settings in ["max_width = \"wide\"\n", "this is not TOML"] {
        let host = Host::with("hello", &[("rustfmt.toml", settings), ("src/main.rs", &main)]);
        let output = host.install(&[UNRESOLVED]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("rustfmt doesn't accept the settings in your rustfmt.toml"),
            "{}",
            said(&output)
        );
        assert!(host.read("src/main.rs").contains("    let  app = Router"), "unformatted code is left as it is");
    }
    let host = Host::with("hello", &[("rustfmt.toml", "imports_granularity = \"Crate\"\n")]);
    let output = host.install(&[UNRESOLVED]);
    assert!(output.status.success() && !said(&output).contains("rustfmt"), "{}", said(&output));
}

#[cfg(unix)]
#[test]
fn without_rustfmt_nothing_is_written() {
    let programs = tempfile::tempdir().expect("a folder");
    let toolchain = Path::new(env!("CARGO")).parent().expect("a folder");
    let git = Command::new("sh").args(["-c", "command -v git"]).output().expect("a shell");
    let git = String::from_utf8(git.stdout).expect("text");
    for program in [&toolchain.join("cargo"), &toolchain.join("rustc"), Path::new(git.trim())] {
        let name = program.file_name().expect("a name");
        std::os::unix::fs::symlink(program, programs.path().join(name)).expect("linked");
    }
    let path = programs.path().display().to_string();
    let host = Host::new("hello", "");
    let refused = sigra_with(&host.root(), &[("PATH", &path)], &["install", "--yes"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("`rustup component add rustfmt`"), "{}", said(&refused));
    assert_eq!(host.changes(), "");
}

#[test]
fn another_version_is_upgraded_instead() {
    let host = Host::new("hello", "").installed(&[UNRESOLVED]);
    let manifest = host.root().join(".sigra/manifest.toml");
    let text = fs::read_to_string(&manifest).expect("text");
    let older = text.replace(concat!("version = \"", env!("CARGO_PKG_VERSION"), "\""), "version = \"0.0.9\"");
    assert_ne!(older, text);
    fs::write(&manifest, older).expect("written");
    // Such as a file that only the newer version has.
    fs::remove_file(host.root().join("src/auth/web/mailbox.rs")).expect("removed");
    host.commit();
    let refused = host.refuses(&[], &[UNRESOLVED]);
    let said = "accounts were installed by version 0.0.9, but this is ";
    assert!(refused.contains(said) && refused.contains("run `cargo sigra upgrade`"), "{refused}");
}
