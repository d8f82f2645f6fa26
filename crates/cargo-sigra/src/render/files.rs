//! Files of an application, before they are written.

use std::collections::BTreeMap;

/// Texts by their paths in the application, with `/` as separator.
pub type Files = BTreeMap<String, String>;

/// Returns a line for each top-level file and folder, and for each folder in another package.
pub fn summary<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for path in paths {
        let folder = if path.starts_with("../") { path.rsplit_once('/') } else { path.split_once('/') };
        match folder {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_summarized_with_the_number_of_their_files() {
        let paths =
            ["Cargo.toml", "src/main.rs", "src/web/router.rs", "../db/migrations/2_users.sql"].map(str::to_owned);
        assert_eq!(summary(paths.iter()), ["Cargo.toml", "../db/migrations/ (1 file)", "src/ (2 files)"]);
    }
}
