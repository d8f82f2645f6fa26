//! Problems of an edit, found before anything is written.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml_edit::DocumentMut;

use super::edit::{After, Before, Edit};
use crate::system::text_file::{self, TextFile};

/// Why a file can't be written, and how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    #[error("`{0}` already exists: move it, or run this again")]
    Taken(String),
    #[error("`{0}` has changed in the meantime: run this again")]
    Changed(String),
    #[error("`{0}` is a folder, but a file must be written there: move it")]
    Folder(String),
    #[error("`{path}` needs `{file}` to be a folder, but it is a file: move it")]
    FileForFolder { path: String, file: PathBuf },
    #[error("`{0}` is read-only: make it writable")]
    ReadOnly(PathBuf),
    #[error("`{path}` is a broken link: fix or remove it")]
    Dangling { path: String },
    #[error("`{path}` is a link that leads out of the repository, to `{target}`: replace the link with a copy")]
    Outside { path: String, target: PathBuf },
    #[error("`{first}` and `{second}` are the same file, because of a link: replace the link with a copy")]
    Twice { first: String, second: String },
    #[error("can't read `{path}`: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error("`{path}` would no longer be valid Rust, which is a bug in cargo-sigra: {error}")]
    NotRust { path: String, error: syn::Error },
    #[error("`{path}` would no longer be valid TOML, which is a bug in cargo-sigra: {error}")]
    NotToml { path: String, error: Box<toml_edit::TomlError> },
}

/// A file to write, after all checks passed.
#[derive(Debug)]
pub struct Write {
    /// The path that the host knows it by.
    pub path: String,
    /// The file itself, with all links resolved.
    pub target: PathBuf,
    pub is_there: bool,
    /// `None` if the file is removed.
    pub content: Option<Vec<u8>>,
}

/// Returns the file that an edit writes. `None` if it already has that content.
pub fn write_of(edit: &Edit, root: &Path, limit: &Path, ends_in_crlf: bool) -> Result<Option<Write>, Obstacle> {
    let (target, is_there) = place(root, limit, &edit.path)?;
    let stored = if is_there { Some(read(edit, &target)?) } else { None };
    let file = match (&edit.before, &stored) {
        (Before::Nothing, Some(_)) => return Err(Obstacle::Taken(edit.path.clone())),
        (Before::Text(_), None) => return Err(Obstacle::Changed(edit.path.clone())),
        (Before::Text(before), Some(stored)) => {
            let file = decoded(edit, stored)?;
            if file.text != *before {
                return Err(Obstacle::Changed(edit.path.clone()));
            }
            file
        }
        (Before::Nothing, None) => TextFile::new(ends_in_crlf),
        // If our own file is broken, its old content is of no use.
        (Before::Anything, stored) => {
            let stored = stored.as_deref().and_then(|stored| std::str::from_utf8(stored).ok());
            stored.map_or_else(|| TextFile::new(ends_in_crlf), TextFile::decode)
        }
    };
    let content = match &edit.after {
        After::Nothing => None,
        After::Text(text) => {
            parse(edit, text, &file)?;
            Some(file.encode(text).into_bytes())
        }
        After::Bytes(bytes) => Some(bytes.clone()),
    };
    if stored == content {
        return Ok(None);
    }
    refuse_read_only(&target, is_there)?;
    Ok(Some(Write { path: edit.path.clone(), target, is_there, content }))
}

/// Returns the file with all links resolved, and whether it exists.
fn place(root: &Path, limit: &Path, path: &str) -> Result<(PathBuf, bool), Obstacle> {
    let wanted = root.join(path);
    let unreadable = |error| Obstacle::Unreadable { path: path.to_owned(), error };
    let (target, is_there) = if fs::symlink_metadata(&wanted).is_ok() {
        let target = wanted.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Obstacle::Dangling { path: path.to_owned() },
            _ => unreadable(error),
        })?;
        if target.is_dir() {
            return Err(Obstacle::Folder(path.to_owned()));
        }
        (target, true)
    } else {
        let there = wanted.ancestors().skip(1).find(|folder| fs::symlink_metadata(folder).is_ok());
        let there = there.unwrap_or(root);
        let folder = there.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Obstacle::Dangling { path: path.to_owned() },
            _ => unreadable(error),
        })?;
        if !folder.is_dir() {
            let file = there.strip_prefix(root).unwrap_or(there).to_owned();
            return Err(Obstacle::FileForFolder { path: path.to_owned(), file });
        }
        (folder.join(wanted.strip_prefix(there).unwrap_or(&wanted)), false)
    };
    if !target.starts_with(limit) {
        return Err(Obstacle::Outside { path: path.to_owned(), target });
    }
    Ok((target, is_there))
}

fn read(edit: &Edit, target: &Path) -> Result<Vec<u8>, Obstacle> {
    fs::read(target).map_err(|error| Obstacle::Unreadable { path: edit.path.clone(), error })
}

fn decoded(edit: &Edit, stored: &[u8]) -> Result<TextFile, Obstacle> {
    std::str::from_utf8(stored).map(TextFile::decode).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        Obstacle::Unreadable { path: edit.path.clone(), error }
    })
}

/// Checks that the new text parses. If the old text didn't parse, the new one need not either.
fn parse(edit: &Edit, text: &str, before: &TextFile) -> Result<(), Obstacle> {
    let path = || edit.path.clone();
    if !edit.must_parse {
        return Ok(());
    }
    if edit.path.ends_with(".rs") && text_file::parse_rust(&before.text).is_ok() {
        text_file::parse_rust(text).map_err(|error| Obstacle::NotRust { path: path(), error })?;
    }
    if edit.path.ends_with(".toml") && before.text.parse::<DocumentMut>().is_ok() {
        text.parse::<DocumentMut>().map_err(|error| Obstacle::NotToml { path: path(), error: Box::new(error) })?;
    }
    Ok(())
}

/// Refuses read-only files, which are protected on purpose, even if a superuser could write them.
fn refuse_read_only(target: &Path, is_there: bool) -> Result<(), Obstacle> {
    let is_read_only = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.permissions().readonly());
    let folder = target.ancestors().skip(1).find(|folder| folder.is_dir());
    let file = Some(target).filter(|_| is_there);
    match file.into_iter().chain(folder).find(|path| is_read_only(path)) {
        Some(path) => Err(Obstacle::ReadOnly(path.to_owned())),
        None => Ok(()),
    }
}
