//! The guides describe the files that are generated.

mod generated;

use std::{fs, path::Path};

use generated::workspace;

/// Folders that are described as a whole.
const FOLDERS: [&str; 5] =
    ["locales/", "templates/", "migrations/", "tests/integration/support/", "tests/integration/server/"];

#[test]
fn every_file_of_the_template_is_in_the_guide() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
    let guide = fs::read_to_string(workspace().join("docs/generated-files.md")).expect("the guide");
    let mut paths = Vec::new();
    list(&template, &template, &mut paths);
    assert!(paths.len() > 70, "{paths:?}");
    paths.retain(|path| !FOLDERS.iter().any(|folder| path.starts_with(folder)));
    let missing: Vec<_> = paths.iter().filter(|path| !guide.contains(&format!("`{path}`"))).collect();
    assert!(missing.is_empty(), "docs/generated-files.md doesn't mention {missing:?}");
}

#[test]
fn the_guide_only_names_files_that_exist() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
    let guide = fs::read_to_string(workspace().join("docs/generated-files.md")).expect("the guide");
    let named = guide.split('`').skip(1).step_by(2);
    let paths: Vec<_> = named.filter(|name| name.starts_with("src/") || name.starts_with("tests/")).collect();
    assert!(paths.len() > 40, "{paths:?}");
    for path in paths.into_iter().filter(|path| !path.contains("auth/") && *path != "src/") {
        assert!(template.join(path).exists(), "{path}");
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("inside").to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            list(root, &path, found);
        } else if !name.contains(".db") && !name.ends_with("_secret") {
            found.push(name);
        }
    }
}
