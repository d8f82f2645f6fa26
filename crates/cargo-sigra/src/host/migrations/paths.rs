//! Paths of folders, for comparing and printing.

use std::path::{Component, Path, PathBuf};

/// Returns a path relative to the package, with `/` as separator.
pub fn shown(root: &Path, path: &Path) -> String {
    let common = root.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = root.components().skip(common).map(|_| "..".to_owned());
    let down = path.components().skip(common).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// Returns a path without `.` and `..`, with links resolved if it exists.
pub fn normalized(path: &Path) -> PathBuf {
    if let Ok(found) = path.canonicalize() {
        return found;
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

pub fn distinct(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut distinct: Vec<PathBuf> = paths.map(|path| normalized(&path)).collect();
    distinct.sort();
    distinct.dedup();
    distinct
}

pub fn quoted(folders: &[String]) -> String {
    folders.iter().map(|folder| format!("`{folder}`")).collect::<Vec<_>>().join(" and ")
}
