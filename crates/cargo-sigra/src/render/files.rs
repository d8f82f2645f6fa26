//! Files of an application, before they are written.

use std::collections::BTreeMap;

/// Texts by their paths in the application, with `/` as separator.
pub type Files = BTreeMap<String, String>;

/// Returns a line for each top-level file and folder.
pub fn summary<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for path in paths {
        match path.split_once('/') {
            Some((folder, _)) => *folders.entry(folder).or_default() += 1,
            None => lines.push(path.clone()),
        }
    }
    lines.extend(folders.into_iter().map(|(folder, count)| match count {
        1 => format!("{folder}/ (1 file)"),
        count => format!("{folder}/ ({count} files)"),
    }));
    lines
}
