//! The programs under test, built or installed where they are not yet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Result;

/// A server that a benchmark can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The servers in this crate.
    Serve,
    /// The same, with the feature `mmap`.
    ServeMmap,
    /// One of the binaries in `peers/`.
    Peer(&'static str),
    Django,
    /// One of the scripts in `peers/node/`.
    Node(&'static str),
}

impl Program {
    /// Makes it ready to run.
    pub fn make(self) -> Result<()> {
        match self {
            Self::Serve => run(&mut build("Cargo.toml", "serve", &target()?)?),
            Self::ServeMmap => run(build("Cargo.toml", "serve", &target()?.join("mmap"))?.args(["--features", "mmap"])),
            Self::Peer("better_auth") => run(with_icu(&mut build_peer("better_auth")?)?),
            Self::Peer(name) => run(&mut build_peer(name)?),
            Self::Django => install_python(),
            Self::Node(_) => install_node(),
        }
    }

    /// What to run, and with which arguments.
    pub fn command_line(self) -> Result<(PathBuf, Vec<PathBuf>)> {
        Ok(match self {
            Self::Serve => (target()?.join("release/serve"), vec![]),
            Self::ServeMmap => (target()?.join("mmap/release/serve"), vec![]),
            Self::Peer(name) => (target()?.join("release").join(name), vec![]),
            Self::Django => (python()?, vec![here().join("peers/django/site_under_test.py")]),
            Self::Node(script) => ("node".into(), vec![here().join("peers/node").join(script)]),
        })
    }

    /// The versions of what it consists of.
    pub fn versions(self) -> Result<String> {
        match self {
            Self::Serve | Self::ServeMmap => locked(&here().join("Cargo.lock"), &["axum", "sqlx", "tokio"]),
            Self::Peer(name) => {
                let packages: &[&str] = match name {
                    "authkestra" => &["authkestra-engine", "authkestra-axum", "tower-cookies"],
                    "axum_login" => &["axum-login", "tower-sessions", "tower-sessions-sqlx-store", "axum"],
                    "better_auth" => &["better-auth", "sea-orm"],
                    _ => &["torii", "torii-axum", "torii-storage-sqlite"],
                };
                locked(&here().join("peers/Cargo.lock"), packages)
            }
            Self::Django => {
                let pinned = fs::read_to_string(here().join("peers/django/requirements.txt"))?;
                let python = first_line(Command::new(python()?).arg("--version"))?;
                Ok(format!("{python}, {}", pinned.lines().collect::<Vec<_>>().join(", ").replace("==", " ")))
            }
            Self::Node(script) => {
                let of_express: &[&str] = &["express", "express-session", "passport", "better-sqlite3-session-store"];
                let own = if script == "express.js" { of_express } else { &["better-auth", "@better-auth/api-key"] };
                let versions = own.iter().chain(&["better-sqlite3"]).map(|package| installed(package));
                let versions = versions.collect::<Result<Vec<_>>>()?.join(", ");
                Ok(format!("Node {}, {versions}", first_line(Command::new("node").arg("--version"))?))
            }
        }
    }
}

/// This crate's folder.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where this program was built. The peers are built there too, and what Python needs is kept there.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).ok_or("this program is not in a target folder")?.to_owned())
}

/// The command that builds a binary of a package in this folder.
fn build(manifest: &str, binary: &str, target: &Path) -> Result<Command> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--bin", binary, "--manifest-path"]).arg(here().join(manifest));
    cargo.arg("--target-dir").arg(target);
    Ok(cargo)
}

/// Every peer has a feature of its name, for its libraries.
fn build_peer(binary: &str) -> Result<Command> {
    let mut cargo = build("peers/Cargo.toml", binary, &target()?)?;
    cargo.args(["--features", binary]);
    Ok(cargo)
}

/// Tells the crate better-auth which ICU is installed. It links it for its store in memory.
fn with_icu(cargo: &mut Command) -> Result<&mut Command> {
    let ask = |question: &str| first_line(Command::new("pkg-config").args([question, "icu-i18n"]));
    let version = ask("--modversion")?;
    let major = version.split('.').next().filter(|major| !major.is_empty());
    let major = major.ok_or("better_auth needs ICU's headers: install the packages `libicu-dev` and `pkg-config`")?;
    Ok(cargo.env("RUST_ICU_MAJOR_VERSION_NUMBER", major).env("RUST_ICU_LINK_SEARCH_DIR", ask("--variable=libdir")?))
}

fn python() -> Result<PathBuf> {
    Ok(target()?.join("django-peer/bin/python"))
}

fn install_python() -> Result<()> {
    let wanted = here().join("peers/django/requirements.txt");
    if !python()?.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(target()?.join("django-peer")))?;
    }
    run(Command::new(python()?)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(wanted))
}

fn install_node() -> Result<()> {
    let folder = here().join("peers/node");
    let (wanted, done) = (fs::read(folder.join("package.json"))?, folder.join("node_modules/.installed"));
    if fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--prefix"])
        .arg(&folder))?;
    Ok(fs::write(done, wanted)?)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

/// The first line that a program prints.
pub fn first_line(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The versions of some packages in a lock file.
fn locked(lock: &Path, packages: &[&str]) -> Result<String> {
    let lock = fs::read_to_string(lock)?;
    let version = |package: &&str| {
        let rest = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?.1;
        Some(format!("{package} {}", rest.split('"').next()?))
    };
    Ok(packages.iter().filter_map(version).collect::<Vec<_>>().join(", "))
}

fn installed(package: &str) -> Result<String> {
    let path = here().join("peers/node/node_modules").join(package).join("package.json");
    let text = fs::read_to_string(path)?;
    let version = text.split_once("\"version\": \"").and_then(|(_, rest)| rest.split('"').next());
    Ok(format!("{package} {}", version.ok_or_else(|| format!("{package} has no version"))?))
}
