//! A generated application in a folder of its own.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

pub struct Generated {
    folder: TempDir,
    name: String,
}

impl Generated {
    /// With the library of this checkout, and the versions of its dependencies. Each test has a name of its own for
    /// it, since all share one target folder.
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

    /// Formatted, without warnings, and good by its own tests.
    pub fn check(&self) {
        self.cargo(&["fmt", "--check"]);
        self.cargo(&["clippy", "--offline", "--all-targets", "--", "--deny", "warnings"]);
        self.cargo(&["test", "--offline"]);
        self.remove_programs();
    }

    /// All of them together would fill the disk. `cargo clean` would take programs of the same name with them, which
    /// other tests are about to run.
    fn remove_programs(&self) {
        let built = cargo(&self.root(), &["test", "--offline", "--no-run", "--message-format", "json"]);
        for line in String::from_utf8_lossy(&built.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if let Some(program) = message["executable"].as_str() {
                fs::remove_file(program).expect("what was just built");
            }
        }
    }

    /// Beside the tests' own artifacts, so that dependencies are built once.
    pub fn cargo(&self, args: &[&str]) {
        let output = cargo(&self.root(), args);
        assert!(output.status.success(), "cargo {}:\n{}", args.join(" "), said(&output));
    }
}

/// Runs the generator in a folder.
pub fn sigra(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("the generator")
}

/// As a version would that has another template.
pub fn sigra_with_template(folder: &Path, args: &[&str], template: &Path) -> Output {
    command(folder, args).env("SIGRA_TEMPLATE", template).output().expect("the generator")
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-sigra"));
    command.current_dir(folder).env("SIGRA_PATH", workspace().join("crates/sigra")).arg("sigra").args(args);
    command
}

pub fn cargo(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    // Settings of the run of these tests are not those of the application's.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command.envs([("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
    command.current_dir(folder).env("CARGO_TARGET_DIR", target_folder()).args(args).output().expect("cargo")
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace")
}

pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Where these tests are built too.
pub fn target_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder")
}

pub fn git(folder: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    let output = Command::new("git").current_dir(folder).args(identity).args(args).output().expect("git");
    assert!(output.status.success(), "{}", said(&output));
}
