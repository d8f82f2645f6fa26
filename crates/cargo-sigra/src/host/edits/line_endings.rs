//! Line endings of new files: the same as after a checkout. So a migration that another branch adds has the same bytes
//! as the one that a database already ran.

use std::{collections::BTreeSet, path::Path};

use crate::system::{git, text_file::TextFile};

/// Files that almost every package has. New files follow the first that exists.
const MODELS: [&str; 3] = ["src/lib.rs", "src/main.rs", "Cargo.toml"];

/// Returns the paths whose lines must end in `\r\n`: those that git converts at a checkout or, if git converts none,
/// all of them if the host's files do. The folder need not exist.
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
    fn without_a_repository_new_files_have_the_line_endings_of_existing_ones() {
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
