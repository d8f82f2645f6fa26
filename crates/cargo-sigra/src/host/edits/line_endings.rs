//! How the lines of new files end: as they would after a checkout. A migration that another branch brings back is then
//! the same bytes as the one that a database has run.

use std::{collections::BTreeSet, path::Path};

use crate::system::{git, text_file::TextFile};

/// Files that every package has one of. New ones are like the first.
const MODELS: [&str; 3] = ["src/lib.rs", "src/main.rs", "Cargo.toml"];

/// Those of the paths below a folder, which need not be there, whose lines are to end in `\r\n`: by what git does at a
/// checkout or, where it leaves files as they are, by what is there already.
pub fn of_new_files(root: &Path, paths: &[&str]) -> BTreeSet<String> {
    let folder = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(root);
    let below = root.strip_prefix(folder).unwrap_or(Path::new(""));
    let full: Vec<String> = paths.iter().map(|path| below.join(path).to_string_lossy().into_owned()).collect();
    let by_git = git::checks_out_with_crlf(folder, &full);
    let of_host = MODELS.iter().find_map(|path| TextFile::read(&root.join(path)).ok()).map(|file| file.has_crlf());
    let otherwise = of_host.unwrap_or_else(|| git::would_check_out_with_crlf(folder));
    let is_crlf = |full: &String| by_git.get(full).copied().unwrap_or(otherwise);
    paths.iter().zip(&full).filter(|(_, full)| is_crlf(full)).map(|(path, _)| (*path).to_owned()).collect()
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
