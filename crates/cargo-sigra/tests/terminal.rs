//! The output of the commands, word for word. `TRYCMD=overwrite` updates it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn sigra(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-sigra"));
    // The author of commits, and no settings of this machine.
    command.envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")]);
    command.envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")]);
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
    command.current_dir(folder).arg("sigra").args(args).output().expect("the generator")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_secret_is_new_and_accepted_by_the_library() {
    let secret = || {
        let printed = Command::new(env!("CARGO_BIN_EXE_cargo-sigra")).args(["gen", "secret"]).output();
        let text = String::from_utf8(printed.expect("the generator").stdout).expect("text");
        text.strip_suffix('\n').expect("one line").to_owned()
    };
    let (one, two) = (secret(), secret());
    assert_ne!(one, two);
    for secret in [one, two] {
        sigra::SecretKeyBase::new(secret).expect("a secret");
    }
}

#[test]
fn the_output_matches_the_snapshots() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").case("tests/cmd/*.toml");
}

#[test]
fn a_new_application_can_be_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = sigra(folder.path(), &["new", "notes", "--yes", "--commit"]);
    assert!(output.status.success(), "{output:?}");
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(folder.path().join("notes")).args(args).output().expect("git");
        text(output.stdout)
    };
    assert_eq!(git(&["log", "--format=%an: %s"]), "Ada: Generate notes with cargo sigra new\n");
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert!(git(&["ls-files"]).lines().any(|file| file == ".github/workflows/ci.yml"));

    let inside = sigra(&folder.path().join("notes"), &["new", "shop", "--yes", "--commit"]);
    assert!(!inside.status.success() && !folder.path().join("notes/shop").exists());
    let said = text(inside.stderr);
    assert!(said.contains("leave `--commit` out, and commit there"), "{said}");
}

#[test]
fn a_new_migration_runs_after_all_others() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(sigra(folder.path(), &["new", "notes", "--yes"]).status.success());
    let notes = folder.path().join("notes");
    for name in ["add_name_to_users", "create_notes"] {
        let output = sigra(&notes, &["gen", "migration", name]);
        assert!(output.status.success() && text(output.stdout).contains(name));
    }
    let mut names: Vec<_> = fs::read_dir(notes.join("migrations")).expect("a folder").flatten().collect();
    names.sort_by_key(|entry| entry.file_name());
    let names: Vec<_> = names.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(
        names.len() == 3 && names[1].ends_with("_add_name_to_users.sql") && names[2].ends_with("_create_notes.sql")
    );
    assert!(names[1].split('_').next() < names[2].split('_').next(), "{names:?}");

    for name in ["AddName", "../evil", "add name", ""] {
        let refused = sigra(&notes, &["gen", "migration", name]);
        assert!(!refused.status.success() && text(refused.stderr).contains("is not a valid name"), "{name}");
    }
}

/// Cargo's own completions know nothing of other commands.
#[cfg(unix)]
#[test]
fn bash_completes_cargo_sigra() {
    const ASK: &str = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _cargo_or_sigra "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("completions.bash");
    fs::write(&script, sigra(folder.path(), &["completions", "bash"]).stdout).expect("written");
    let completed = |words: &[&str]| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", ASK, "bash"]).arg(&script).args(words);
        text(bash.output().expect("bash").stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["cargo", "sigra", "ins"]), ["install"]);
    assert_eq!(completed(&["cargo", "sigra", "gen", "m"]), ["migration"]);
    assert!(completed(&["cargo", "sigra", "new", "--no-l"]).contains(&"--no-live".to_owned()));
    assert!(!completed(&["cargo", "d"]).contains(&"doctor".to_owned()), "a command of Cargo is completed by Cargo");
}
