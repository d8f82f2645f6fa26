//! The template: a complete application, embedded in this program.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use include_dir::{Dir, DirEntry, include_dir};

static EMBEDDED: Dir = include_dir!("$CARGO_MANIFEST_DIR/embedded");

/// What can't keep its name in `embedded/`: a folder with a `Cargo.toml` is left out of the published crate, and
/// a `.gitignore` would be obeyed there.
const RENAMED: [(&str, &str); 3] =
    [("manifest.toml", "Cargo.toml"), ("gitignore", ".gitignore"), ("env.example", ".env.example")];

/// A folder to read the template from in place of the one in this program: to try what another one gives.
const OTHER: &str = "SIGRA_TEMPLATE";

/// What a build, a run or an editor leaves in a folder.
const LEFTOVERS: [&str; 4] = [".db", ".my_app_dev_secret", "Cargo.lock", "target/"];

/// A file of the template.
#[derive(Clone, Debug)]
pub struct TemplateFile {
    /// Where it is in the template, with `/` between its parts.
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

/// All files of the template.
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

/// The files that this program has in it.
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
                let renamed = RENAMED.iter().find(|(embedded, _)| *embedded == path);
                let path = renamed.map_or(path, |(_, path)| path).to_owned();
                found.push(TemplateFile { path, text: text.to_owned() });
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

    /// Whoever adds a folder to the template must link it.
    #[test]
    fn every_file_of_the_template_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
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
