//! An application's files, before they are written.

use std::collections::BTreeMap;

/// By their path in the application, with `/` between its parts.
pub type Files = BTreeMap<String, String>;

/// A line for each file at the top and each folder there.
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
