//! Finds a workspace around a new application, because Cargo refuses a package inside a workspace that isn't a member.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml_edit::DocumentMut;

/// Returns the `Cargo.toml` of the workspace that contains a folder.
pub fn around(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let manifests = folder.ancestors().skip(1).map(|folder| folder.join("Cargo.toml"));
    manifests.into_iter().find(|path| {
        let doc: Option<DocumentMut> = fs::read_to_string(path).ok().and_then(|text| text.parse().ok());
        doc.is_some_and(|doc| doc.contains_key("workspace"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_found_from_any_folder_in_it() {
        let root = tempfile::tempdir().expect("a folder");
        let inner = root.path().join("apps/new");
        fs::create_dir_all(&inner).expect("made");
        fs::write(root.path().join("apps/Cargo.toml"), "[package]\nname = \"apps\"\n").expect("written");
        assert_eq!(around(&inner), None);
        fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = []\n").expect("written");
        let found = around(&inner).expect("a workspace");
        assert_eq!(found, root.path().canonicalize().expect("a folder").join("Cargo.toml"));
    }
}
