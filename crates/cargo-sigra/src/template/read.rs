//! Reads the template: a complete application, embedded in this program.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use include_dir::{Dir, DirEntry, include_dir};

static EMBEDDED: Dir = include_dir!("$OUT_DIR/template");

/// The environment variable with a folder to read the template from, to try changes without compiling them in.
const OTHER: &str = "SIGRA_TEMPLATE";

/// Files that a build, a run or an editor leaves in a folder.
const LEFTOVERS: [&str; 4] = [".db", ".my_app_dev_secret", "Cargo.lock", "target/"];

/// A file of the template.
#[derive(Clone, Debug)]
pub struct TemplateFile {
    /// The path in the template, with `/` as separator.
    pub path: String,
    pub text: String,
}

/// Why the template can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read the template in `{path}`, the value of {OTHER}: {error}")]
pub struct TemplateError {
    path: PathBuf,
    error: io::Error,
}

/// Returns all files of the template.
pub fn files() -> Result<Vec<TemplateFile>, TemplateError> {
    let mut found = match env::var_os(OTHER) {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            on_disk(&folder, &folder).map_err(|error| TemplateError { path: folder, error })?
        }
        None => embedded(),
    };
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Returns the files that are embedded in this program.
pub fn embedded() -> Vec<TemplateFile> {
    let mut found = Vec::new();
    collect(&EMBEDDED, &mut found);
    found
}

fn collect(dir: &Dir, found: &mut Vec<TemplateFile>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(dir, found),
            DirEntry::File(file) => {
                let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) else { continue };
                found.push(TemplateFile { path: path.replace('\\', "/"), text: text.to_owned() });
            }
        }
    }
}

fn on_disk(root: &Path, folder: &Path) -> io::Result<Vec<TemplateFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if LEFTOVERS.iter().any(|leftover| name.contains(leftover)) {
            continue;
        }
        if path.is_dir() {
            found.extend(on_disk(root, &path)?);
        } else {
            found.push(TemplateFile { path: name, text: fs::read_to_string(&path)? });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("template")
    }

    /// If this fails, link the new file or folder of the template in `embedded/`.
    #[test]
    fn every_part_of_the_template_is_linked_for_the_published_crate() {
        for entry in fs::read_dir(template()).expect("a folder") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            if LEFTOVERS.iter().any(|leftover| format!("{name}/").contains(leftover)) {
                continue;
            }
            let linked = match &*name {
                "Cargo.toml" => "manifest.toml",
                ".gitignore" => "gitignore",
                ".env.example" => "env.example",
                name => name,
            };
            let link = template().join("../embedded").join(linked);
            // Where git has no links, it is a text file that contains the path.
            let leads_to = fs::read_link(&link).or_else(|_| fs::read_to_string(&link).map(PathBuf::from));
            let leads_to = leads_to.unwrap_or_else(|error| panic!("no link to {name}: {error}"));
            assert_eq!(leads_to, Path::new("../template").join(name));
        }
    }

    #[test]
    fn every_file_of_the_template_is_embedded() {
        let folder = template();
        let paths = |files: Vec<TemplateFile>| {
            let mut paths: Vec<String> = files.into_iter().map(|file| file.path).collect();
            paths.sort();
            paths
        };
        let on_disk = paths(on_disk(&folder, &folder).expect("the template"));
        assert!(on_disk.len() > 50, "{on_disk:?}");
        assert_eq!(paths(embedded()), on_disk);
    }
}
