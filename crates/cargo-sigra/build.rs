//! Copies the template to `OUT_DIR`, where it is embedded from. A checkout has it in `template`. The published crate
//! has it in `embedded`, whose entries are links to the parts of `template`: Cargo leaves a folder with a `Cargo.toml`
//! out of a package. In a checkout, the links aren't used, because on Windows git makes text files of them.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Files with another name in `embedded`: Cargo leaves a folder with a `Cargo.toml` out of a package, and git would
/// apply a `.gitignore`.
const RENAMED: [(&str, &str); 3] =
    [("manifest.toml", "Cargo.toml"), ("gitignore", ".gitignore"), ("env.example", ".env.example")];

/// Files that a build, a run or an editor leaves in a folder.
const LEFTOVERS: [&str; 6] = [".db", ".db-shm", ".db-wal", ".my_app_dev_secret", "Cargo.lock", "target"];

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let (package, out) = (variable("CARGO_MANIFEST_DIR")?, variable("OUT_DIR")?.join("template"));
    let checkout = package.join("template");
    let source = if checkout.is_dir() { checkout } else { package.join("embedded") };
    println!("cargo:rerun-if-changed={}", source.display());
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    copy(&source, &out)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let renamed = RENAMED.iter().find(|(embedded, _)| *embedded == name);
        let to = to.join(renamed.map_or(&*name, |(_, name)| name));
        if LEFTOVERS.iter().any(|leftover| name.ends_with(leftover)) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}
