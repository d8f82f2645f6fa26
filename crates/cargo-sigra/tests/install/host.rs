//! Existing applications from `tests/hosts`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::generated::{cargo, copy, git, said, server::Server, sigra, sigra_with, target_folder, workspace};

/// Skips the resolution of dependencies. It takes half the time of an installation, and some hosts have dependencies
/// that these tests are not built with.
pub const UNRESOLVED: &str = "--no-resolve";

/// An application from `tests/hosts`, committed to a separate repository.
pub struct Host {
    folder: TempDir,
    /// The folder of the package, relative to the repository.
    package: &'static str,
}

impl Host {
    pub fn new(name: &str, package: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(name), folder.path());
        fs::copy(workspace().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("the versions");
        fs::write(folder.path().join(".gitignore"), "/target\n*.served\n*.db*\nCargo.lock\n").expect("written");
        git(folder.path(), &["init", "--quiet"]);
        let host = Self { folder, package };
        host.commit();
        host
    }

    /// Returns a host with some files replaced or added.
    pub fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let host = Self::new(name, "");
        for (path, text) in files {
            let path = host.root().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        host.commit();
        host
    }

    /// Returns the content of its folder except `.git`: files with their bytes, links, and permissions.
    pub fn tree(&self) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let metadata = fs::symlink_metadata(&path).expect("metadata");
                if path.ends_with(".git") {
                    continue;
                }
                let content = if metadata.is_file() { fs::read(&path).expect("bytes") } else { Vec::new() };
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, (format!("{:?} {:?}", metadata.file_type(), metadata.permissions()), content));
            }
        }
        found
    }

    /// Expects an installation to fail without changing anything, and returns the message.
    pub fn refuses(&self, settings: &[(&str, &str)], flags: &[&str]) -> String {
        let before = self.tree();
        let output = sigra_with(&self.root(), settings, &[&["install", "--yes"], flags].concat());
        assert!(!output.status.success(), "{}", said(&output));
        assert_eq!(self.tree(), before);
        said(&output)
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join(self.package)
    }

    pub fn commit(&self) {
        git(self.folder.path(), &["add", "--all"]);
        git(self.folder.path(), &["commit", "--quiet", "--message", "Work"]);
    }

    /// Returns uncommitted changes.
    pub fn changes(&self) -> String {
        let status = Command::new("git").current_dir(self.folder.path()).args(["status", "--porcelain"]).output();
        said(&status.expect("git"))
    }

    pub fn install(&self, flags: &[&str]) -> Output {
        sigra(&self.root(), &[&["install", "--yes"], flags].concat())
    }

    /// Installs accounts, and commits them.
    pub fn installed(self, flags: &[&str]) -> Self {
        let output = self.install(flags);
        assert!(output.status.success(), "{}", said(&output));
        self.commit();
        let again = self.install(flags);
        assert!(said(&again).contains("Everything is already installed."), "{}", said(&again));
        assert_eq!(self.changes(), "", "a second installation changes nothing");
        self
    }

    /// Checks that it is formatted and has no warnings.
    pub fn checked(self) -> Self {
        self.cargo(&["fmt", "--check"]);
        self.cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"]);
        self
    }

    pub fn cargo(&self, args: &[&str]) {
        cargo(&self.root(), args);
    }

    /// Starts it, and removes its build results.
    pub fn serve(&self, program: &str) -> Server {
        self.cargo(&["build"]);
        let built = target_folder().join("debug").join(program);
        let own = self.folder.path().join(format!("{program}.served"));
        fs::copy(built, &own).expect("the program");
        self.cargo(&["clean", "--package", program]);
        Server::start(&own, self.folder.path())
    }

    /// Replaces the whole `INSERT` of the registration with the one in a warning.
    pub fn fill_required_columns(&self) {
        let warned = said(&self.install(&["--dry-run"]));
        let given =
            warned.lines().find(|line| line.trim_start().starts_with("INSERT INTO ")).expect("an INSERT").trim();
        let path = self.root().join("src/auth/accounts/registration.rs");
        let code = fs::read_to_string(&path).expect("text");
        let begin = code.find("INSERT INTO ").expect("an INSERT");
        let end = begin + code[begin..].find('"').expect("the end of the string");
        assert_ne!(&code[begin..end], given);
        fs::write(&path, format!("{}{given}{}", &code[..begin], &code[end..])).expect("written");
        let is_complete = given.ends_with(") ON CONFLICT (lower(email)) DO NOTHING RETURNING *");
        assert!(is_complete, "without its end, every registration would count as a second one: {given}");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).expect("text")
    }
}
