//! The template: a complete application, embedded in this program.

use include_dir::{Dir, DirEntry, include_dir};

static EMBEDDED: Dir = include_dir!("$CARGO_MANIFEST_DIR/embedded");

/// What can't keep its name in `embedded/`: a folder with a `Cargo.toml` is left out of the published crate, and
/// a `.gitignore` would be obeyed there.
const RENAMED: [(&str, &str); 3] =
    [("manifest.toml", "Cargo.toml"), ("gitignore", ".gitignore"), ("env.example", ".env.example")];

/// A file of the template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateFile {
    /// Where it is in the template, with `/` between its parts.
    pub path: &'static str,
    pub text: &'static str,
}

/// All files of the template.
pub fn files() -> Vec<TemplateFile> {
    let mut found = Vec::new();
    collect(&EMBEDDED, &mut found);
    found.sort_by_key(|file| file.path);
    found
}

fn collect(dir: &'static Dir, found: &mut Vec<TemplateFile>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(dir, found),
            DirEntry::File(file) => {
                let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) else { continue };
                let renamed = RENAMED.iter().find(|(embedded, _)| *embedded == path);
                found.push(TemplateFile { path: renamed.map_or(path, |(_, path)| path), text });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Whoever adds a folder to the template must link it.
    #[test]
    fn every_file_of_the_template_is_embedded() {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
        let mut on_disk = BTreeSet::new();
        list(&template, &template, &mut on_disk);
        let embedded: BTreeSet<String> = files().iter().map(|file| file.path.to_owned()).collect();
        assert!(on_disk.len() > 50, "{on_disk:?}");
        assert_eq!(embedded, on_disk);
    }

    fn list(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("inside").to_str().expect("text").replace('\\', "/");
            if path.is_dir() {
                list(root, &path, found);
            } else if !name.contains(".db") && name != ".my_app_dev_secret" {
                found.insert(name);
            }
        }
    }
}
