//! Upgrades of an application with edits in every file, to a template with changes in every file.

mod generated;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use generated::{Generated, git, said, sigra_with_template};
use tempfile::TempDir;

const MINE: &str = "Mine, at the top.";
const NEWER: &str = "Newer, at the bottom.";

/// Returns a copy of the template.
fn template() -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
    for path in files_in(&template) {
        let to = copy.path().join(path.strip_prefix(&template).expect("inside"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(&path, &to).expect("copied");
    }
    copy
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let inner = folders.iter().filter(|folder| !folder.ends_with(".git")).flat_map(|folder| files_in(folder));
    files.into_iter().chain(inner).filter(|path| !path.to_string_lossy().contains(".db")).collect()
}

fn comment(path: &Path, text: &str) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    match name.rsplit('.').next().expect("an end") {
        "rs" | "js" => format!("// {text}"),
        "sql" => format!("-- {text}"),
        "css" => format!("/* {text} */"),
        "html" | "txt" => format!("{{# {text} #}}"),
        "svg" | "md" => format!("<!-- {text} -->"),
        _ => format!("# {text}"),
    }
}

fn prepend(path: &Path, text: &str) {
    let before = fs::read_to_string(path).expect("text");
    fs::write(path, format!("{}\n{before}", comment(path, text))).expect("written");
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).expect("text");
    fs::write(path, format!("{before}{}\n", comment(path, text))).expect("written");
}

fn replace(path: &Path, from: &str, to: &str) {
    let before = fs::read_to_string(path).expect("text");
    assert!(before.contains(from), "{before}");
    fs::write(path, before.replace(from, to)).expect("written");
}

fn commit(folder: &Path) {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "Work"]);
}

/// Returns the generated files, without the record of them.
fn hosts_files(root: &Path) -> Vec<PathBuf> {
    let mut files = files_in(root);
    files.retain(|path| !path.starts_with(root.join(".sigra")) && !path.ends_with("Cargo.lock"));
    files
}

fn texts(root: &Path) -> BTreeMap<PathBuf, String> {
    hosts_files(root).into_iter().map(|path| (path.clone(), fs::read_to_string(&path).expect("text"))).collect()
}

fn upgrade(app: &Generated, template: &Path, flags: &[&str]) -> Output {
    sigra_with_template(&app.root(), &[&["upgrade"], flags].concat(), template)
}

#[test]
fn no_edit_is_lost_if_every_file_was_edited() {
    let app = Generated::new("diary", &[]);
    git(&app.root(), &["init", "--quiet"]);
    for path in hosts_files(&app.root()) {
        prepend(&path, MINE);
    }
    let home = "templates/home.html";
    replace(&app.root().join(home), "Good to see you", "Nice to see you");
    commit(&app.root());
    let template = template();
    for path in files_in(template.path()) {
        append(&path, NEWER);
    }
    replace(&template.path().join(home), "Good to see you", "Glad to see you");

    let output = upgrade(&app, template.path(), &[]);
    let texts = texts(&app.root());
    assert!(texts.len() > 70, "{}", said(&output));
    for (path, text) in texts {
        assert!(text.contains(MINE), "{}", path.display());
        let is_migration = path.components().any(|part| part.as_os_str() == "migrations");
        assert_eq!(text.contains(NEWER), !is_migration, "{}:\n{text}", path.display());
    }
    assert!(!output.status.success());
    assert!(said(&output).contains("conflict templates/home.html"), "{}", said(&output));
    assert!(said(&output).contains("error: 1 file has conflicts"), "{}", said(&output));
    let marked = "<<<<<<< ours\n  <h1>{{ t!(\"Nice to see you\") }}</h1>\n=======\n  <h1>{{ t!(\"Glad to see you\") }}</h1>\n>>>>>>> theirs\n";
    assert!(fs::read_to_string(app.root().join(home)).expect("text").contains(marked));

    commit(&app.root());
    let again = upgrade(&app, template.path(), &[]);
    assert_eq!(said(&again), "Everything is up to date.\n");
}

#[test]
fn a_checkout_with_crlf_has_the_same_conflicts() {
    let app = Generated::new("diary", &[]);
    git(&app.root(), &["init", "--quiet"]);
    git(&app.root(), &["config", "core.autocrlf", "true"]);
    commit(&app.root());
    git(&app.root(), &["rm", "--quiet", "--cached", "-r", "."]);
    git(&app.root(), &["reset", "--quiet", "--hard"]);
    let (user, home) = ("src/accounts/user.rs", "templates/home.html");
    let read = |path: &str| fs::read_to_string(app.root().join(path)).expect("text");
    assert!(read(user).contains("\r\n") && read(".sigra/manifest.toml").contains("\r\n"));
    let template = template();
    assert_eq!(said(&upgrade(&app, template.path(), &[])), "Everything is up to date.\n");

    fs::write(app.root().join(user), format!("// {MINE}\r\n{}", read(user))).expect("written");
    replace(&app.root().join(home), "Good to see you", "Nice to see you");
    commit(&app.root());
    for path in ["src/web/layout.rs", user] {
        append(&template.path().join(path), NEWER);
    }
    replace(&template.path().join(home), "Good to see you", "Glad to see you");
    let output = upgrade(&app, template.path(), &[]);
    let expected = [
        // The template has no such text any more, and so no translation.
        "     update locales/de.po",
        "      merge src/accounts/user.rs",
        "     update src/web/layout.rs",
        "   conflict templates/home.html",
        "error: 1 file has conflicts: look for `<<<<<<<` and resolve them, then run the tests",
    ];
    assert_eq!(said(&output).lines().collect::<Vec<_>>(), expected);
    for path in [user, home, "src/web/layout.rs"] {
        let text = read(path);
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text}");
    }
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn independent_changes_are_merged_into_code_that_compiles() {
    let app = Generated::new("diary", &["--no-live"]);
    git(&app.root(), &["init", "--quiet"]);
    append(&app.root().join("src/accounts/user.rs"), MINE);
    fs::remove_file(app.root().join("tests/integration/bad_input.rs")).expect("removed");
    commit(&app.root());
    let template = template();
    prepend(&template.path().join("src/web/layout.rs"), NEWER);
    prepend(&template.path().join("src/accounts/user.rs"), NEWER);
    append(&template.path().join("tests/integration/bad_input.rs"), NEWER);
    fs::write(template.path().join("migrations/sqlite/20260301000000_newer.sql"), "-- Newer.\n").expect("written");
    append(&template.path().join("migrations/sqlite/20260101000000_create_users_auth_tables.sql"), NEWER);
    fs::remove_file(template.path().join("tests/integration/mailbox.rs")).expect("removed");
    let main = template.path().join("tests/integration/main.rs");
    let modules = fs::read_to_string(&main).expect("text");
    let fewer = modules.replace("mod mailbox;\n", "");
    assert_eq!(modules.lines().count() - fewer.lines().count(), 1);
    fs::write(main, fewer).expect("written");

    let before = texts(&app.root());
    let dry = upgrade(&app, template.path(), &["--dry-run"]);
    assert_eq!(texts(&app.root()), before, "a dry run changes nothing");
    let output = upgrade(&app, template.path(), &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&dry), said(&output));
    let expected = [
        "       keep migrations/20260101000000_create_users_auth_tables.sql (new applications get a different one, but \
         migrations are only added)",
        "     create migrations/20260301000000_newer.sql",
        "      merge src/accounts/user.rs",
        "     update src/web/layout.rs",
        "       skip tests/integration/bad_input.rs (it changed, but you deleted it)",
        "     remove tests/integration/mailbox.rs",
        "     update tests/integration/main.rs",
    ];
    assert_eq!(said(&output).lines().collect::<Vec<_>>(), expected);
    app.cargo(&["check", "--offline"]);
}

#[test]
fn a_migration_with_the_version_of_another_is_refused() {
    let app = Generated::new("diary", &[]);
    git(&app.root(), &["init", "--quiet"]);
    fs::write(app.root().join("migrations/20260301000000_mine.sql"), "-- Mine.\n").expect("written");
    commit(&app.root());
    let template = template();
    fs::write(template.path().join("migrations/sqlite/20260301000000_newer.sql"), "-- Newer.\n").expect("written");
    let before = texts(&app.root());
    let refused = upgrade(&app, template.path(), &[]);
    let message =
        "`migrations/20260301000000_newer.sql` would have the version of `./migrations/20260301000000_mine.sql`";
    assert!(!refused.status.success() && said(&refused).contains(message), "{}", said(&refused));
    assert_eq!(texts(&app.root()), before);
}

#[test]
fn other_formatting_is_no_conflict() {
    let app = Generated::new("diary", &[]);
    git(&app.root(), &["init", "--quiet"]);
    fs::write(app.root().join("rustfmt.toml"), "hard_tabs = true\nmax_width = 90\n").expect("written");
    app.cargo(&["fmt"]);
    let (user, layout) = ("src/accounts/user.rs", "src/web/layout.rs");
    let read = |path: &str| fs::read_to_string(app.root().join(path)).expect("text");
    assert!(read(user).contains("\n\tpub email: String,\n"), "{}", read(user));
    prepend(&app.root().join(user), MINE);
    commit(&app.root());
    let template = template();
    for path in [user, layout] {
        append(&template.path().join(path), NEWER);
    }
    let output = upgrade(&app, template.path(), &[]);
    let expected = ["      merge src/accounts/user.rs", "     update src/web/layout.rs"];
    assert_eq!(said(&output).lines().collect::<Vec<_>>(), expected);
    for path in [user, layout] {
        assert!(read(path).contains("\n\t") && read(path).contains(NEWER), "{}", read(path));
    }
    app.cargo(&["fmt", "--check"]);
}

#[test]
fn uncommitted_changes_are_refused() {
    let app = Generated::new("diary", &[]);
    let template = template();
    prepend(&template.path().join("src/web/layout.rs"), NEWER);
    git(&app.root(), &["init", "--quiet"]);
    commit(&app.root());
    append(&app.root().join("src/web/layout.rs"), MINE);
    let refused = upgrade(&app, template.path(), &[]);
    assert!(!refused.status.success() && said(&refused).contains("src/web/layout.rs"), "{}", said(&refused));
    assert!(upgrade(&app, template.path(), &["--force"]).status.success());
    let layout = fs::read_to_string(app.root().join("src/web/layout.rs")).expect("text");
    assert!(layout.contains(MINE) && layout.contains(NEWER));
}

#[test]
fn an_application_of_a_newer_version_is_refused() {
    let app = Generated::new("diary", &[]);
    let manifest = app.root().join(".sigra/manifest.toml");
    let text = fs::read_to_string(&manifest).expect("text").replace("version = \"0.1.0\"", "version = \"0.10.0\"");
    fs::write(&manifest, text).expect("written");
    let refused = sigra_with_template(&app.root(), &["upgrade", "--force"], template().path());
    assert!(!refused.status.success() && said(&refused).contains("cargo install cargo-sigra"), "{}", said(&refused));
}
