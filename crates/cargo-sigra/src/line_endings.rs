//! How the lines of new files end: as they would after a checkout. A migration that another branch brings back is then
//! the same bytes as the one that a database has run.

use std::{collections::BTreeSet, path::Path};

use crate::{git, text_file::TextFile};

/// Files that every package has one of. New ones are like the first.
const MODELS: [&str; 3] = ["src/lib.rs", "src/main.rs", "Cargo.toml"];

/// Those of the paths whose lines are to end in `\r\n`: by what git does at a checkout or, where it leaves files as they
/// are, by what is there already.
pub fn of_new_files(root: &Path, paths: &[&str]) -> BTreeSet<String> {
    let of_host =
        MODELS.iter().find_map(|path| TextFile::read(&root.join(path)).ok()).is_some_and(|file| file.has_crlf());
    let by_git = git::checks_out_with_crlf(root, paths);
    let ends_in_crlf = |path: &&&str| by_git.get(**path).copied().unwrap_or(of_host);
    paths.iter().filter(ends_in_crlf).map(|path| (*path).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn without_a_repository_new_files_are_like_those_that_are_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let of_new_files = || of_new_files(folder.path(), &["src/auth.rs"]).len();
        assert_eq!(of_new_files(), 0);
        fs::write(folder.path().join("Cargo.toml"), "[package]\r\nname = \"a\"\r\n").expect("written");
        assert_eq!(of_new_files(), 1);
        fs::create_dir(folder.path().join("src")).expect("made");
        fs::write(folder.path().join("src/main.rs"), "fn main() {\n}\n").expect("written");
        assert_eq!(of_new_files(), 0);
    }
}
