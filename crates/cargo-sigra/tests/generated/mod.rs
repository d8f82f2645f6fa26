//! Generated applications in temporary folders.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod packages;
pub mod server;

use std::{
    cell::Cell,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use tempfile::TempDir;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use self::{packages::Packages, server::Server};

/// A package that only has dependencies.
const DEPENDENCIES: &str = "dependencies";

pub struct Generated {
    folder: TempDir,
    name: String,
}

impl Generated {
    /// Generates an application with the library of this checkout and the versions in its `Cargo.lock`. Each test needs
    /// another name, because all share one target folder.
    pub fn new(name: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let output = sigra(folder.path(), &[&["new", name, "--yes"], flags].concat());
        assert!(output.status.success(), "{}", said(&output));
        let generated = Self { folder, name: name.to_owned() };
        let lock = workspace().join("Cargo.lock");
        fs::copy(lock, generated.root().join("Cargo.lock")).expect("the versions of dependencies");
        generated
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Checks that it is formatted, has no warnings, and passes its own tests.
    pub fn check(&self) {
        self.cargo(&["fmt", "--check"]);
        self.cargo(&["clippy", "--offline", "--all-targets", "--", "--deny", "warnings"]);
        self.cargo(&["test", "--offline"]);
        remove_programs(&self.root(), &test(&[]));
    }

    /// Runs Cargo in the target folder of these tests, so that dependencies are built once.
    pub fn cargo(&self, args: &[&str]) {
        cargo(&self.root(), args);
    }
}

/// Applications in one workspace, so that shared dependencies are built once. They get the library from the packages
/// that would be published.
pub struct Workspace {
    folder: TempDir,
    packages: Packages,
    /// The generator in the packages. Without it, the one of this checkout, which is built already.
    packed_generator: Option<PathBuf>,
    tested: Vec<&'static str>,
    /// Whether tests were built, which take much space.
    has_programs: Cell<bool>,
}

impl Workspace {
    /// Generates the applications, some of which are tested. The folder's name has a space, an apostrophe and an
    /// umlaut, as users' folders can.
    pub fn of(applications: &[(&str, &[&str])], tested: &[&'static str]) -> Self {
        Self::empty(Packages::unpacked(), None, tested).with(applications)
    }

    /// Generates the applications with the generator from the packages.
    pub fn by_the_packed_generator(applications: &[(&str, &[&str])], tested: &[&'static str]) -> Self {
        let packages = Packages::unpacked();
        let generator = packages.generator();
        let made = Self::empty(packages, Some(generator), tested).with(applications);
        for (name, _) in applications {
            let manifest = read(&made.folder.path().join(name).join("Cargo.toml"));
            assert!(manifest.contains("sigra = { version = ") && !manifest.contains("path = \"/"), "{manifest}");
        }
        made
    }

    /// Returns a workspace with the versions, the profiles and the features of dependencies that this checkout has, so
    /// that what it has built is reused.
    fn empty(packages: Packages, packed_generator: Option<PathBuf>, tested: &[&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("Übung's apps ").tempdir().expect("a folder");
        let mut manifest: DocumentMut = read(&workspace().join("Cargo.toml")).parse().expect("TOML");
        manifest["workspace"] = Item::Table(Table::new());
        manifest["workspace"]["resolver"] = value("3");
        manifest["workspace"]["members"] = value(Array::from_iter([DEPENDENCIES]));
        fs::write(folder.path().join("Cargo.toml"), format!("{manifest}\n{}", packages.patch())).expect("written");
        fs::copy(workspace().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("the versions");
        let dependencies = folder.path().join(DEPENDENCIES);
        fs::create_dir_all(dependencies.join("src")).expect("made");
        fs::write(dependencies.join("src/lib.rs"), "//! Nothing.\n").expect("written");
        fs::write(dependencies.join("Cargo.toml"), packages.dependencies(DEPENDENCIES)).expect("written");
        Self { folder, packages, packed_generator, tested: tested.to_vec(), has_programs: Cell::new(false) }
    }

    fn with(self, applications: &[(&str, &[&str])]) -> Self {
        let names = applications.iter().map(|(name, _)| *name);
        self.edit_manifest(|workspace| workspace["members"].as_array_mut().expect("members").extend(names));
        for (name, flags) in applications {
            self.sigra("", &[&["new", name, "--yes"], *flags].concat());
        }
        self
    }

    fn edit_manifest(&self, edit: impl FnOnce(&mut Table)) {
        let manifest = self.folder.path().join("Cargo.toml");
        let mut ours: DocumentMut = read(&manifest).parse().expect("TOML");
        edit(ours["workspace"].as_table_mut().expect("a table"));
        fs::write(manifest, ours.to_string()).expect("written");
    }

    /// Adds the example in `examples/workspace`, with accounts installed.
    pub fn with_example(self) -> Self {
        let example = workspace().join("examples/workspace");
        copy(&example.join("crates"), &self.folder.path().join("crates"));
        let its: DocumentMut = read(&example.join("Cargo.toml")).parse().expect("TOML");
        self.edit_manifest(|workspace| {
            workspace["members"].as_array_mut().expect("members").push("crates/*");
            workspace["dependencies"] = its["workspace"]["dependencies"].clone();
        });
        self.sigra("crates/server", &["install", "--yes", "--force", "--db", "sqlite"]);
        self
    }

    /// Runs the generator in a folder of the workspace.
    fn sigra(&self, folder: &str, args: &[&str]) {
        let folder = self.folder.path().join(folder);
        let output = match &self.packed_generator {
            Some(generator) => Command::new(generator).current_dir(folder).arg("sigra").args(args).output(),
            None => command(&folder, args).env("SIGRA_PATH", self.packages.folder_of("sigra")).output(),
        };
        let output = output.expect("the generator");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Checks that all are formatted and have no warnings, and that those to test pass their own tests.
    pub fn check(&self) {
        self.lint();
        self.has_programs.set(true);
        cargo(self.folder.path(), &self.test());
    }

    /// Checks the formatting, and that everything compiles without warnings.
    pub fn lint(&self) {
        // With `--all`, it would also be about the library, by its path.
        cargo(self.folder.path(), &["fmt", "--check"]);
        let lints = ["clippy", "--offline", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        cargo(self.folder.path(), &lints);
    }

    /// Returns the arguments with which Cargo tests the applications.
    fn test(&self) -> Vec<&str> {
        test(&[&self.tested[..], &[DEPENDENCIES]].concat())
    }

    /// Builds an application, and starts it.
    pub fn serve(&self, application: &str) -> Server {
        cargo(self.folder.path(), &["build", "--offline", "--package", application, "--package", DEPENDENCIES]);
        let own = self.folder.path().join(format!("{application}.served"));
        fs::copy(target_folder().join("debug").join(application), &own).expect("the program");
        Server::start(&own, self.folder.path())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.has_programs.get() && !thread::panicking() {
            remove_programs(self.folder.path(), &self.test());
        }
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

/// Runs the generator in a folder.
pub fn sigra(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("the generator")
}

/// Runs the generator with environment variables.
pub fn sigra_with(folder: &Path, settings: &[(&str, &str)], args: &[&str]) -> Output {
    command(folder, args).envs(settings.iter().copied()).output().expect("the generator")
}

/// Runs the generator with another template, like another version.
pub fn sigra_with_template(folder: &Path, args: &[&str], template: &Path) -> Output {
    command(folder, args).env("SIGRA_TEMPLATE", template).output().expect("the generator")
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-sigra"));
    command.current_dir(folder).env("SIGRA_PATH", workspace().join("crates/sigra")).arg("sigra").args(args);
    command
}

/// Runs Cargo, and expects it to succeed.
pub fn cargo(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    // Variables that Cargo sets for these tests must not reach the application. Some build scripts would also run again
    // for them, and all that depends on their packages would be built twice.
    for (name, _) in env::vars_os() {
        let is_ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(|name| is_ours(name) || ["OUT_DIR", "RUSTFLAGS"].contains(&name)) {
            command.env_remove(name);
        }
    }
    command.envs([("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
    let command = command.current_dir(folder).env("CARGO_TARGET_DIR", target_folder()).args(args);
    let output = command.output().expect("cargo");
    assert!(output.status.success(), "cargo {}:\n{}", args.join(" "), said(&output));
    output
}

/// Returns the arguments with which Cargo tests these packages, or the one in the folder.
fn test<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    ["test", "--offline"].into_iter().chain(packages).collect()
}

/// Removes the binaries that a test built, because all of them together would fill the disk. `cargo clean` would also
/// remove binaries with the same name that other tests are about to run.
pub fn remove_programs(folder: &Path, test: &[&str]) {
    let built = cargo(folder, &[test, &["--no-run", "--message-format", "json"]].concat());
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if let Some(program) = message["executable"].as_str() {
            fs::remove_file(program).expect("the program that was built");
        }
    }
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("text")
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace")
}

pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The target folder of these tests.
pub fn target_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder")
}

pub fn git(folder: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    let output = Command::new("git").current_dir(folder).args(identity).args(args).output().expect("git");
    assert!(output.status.success(), "{}", said(&output));
}
