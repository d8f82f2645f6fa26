//! The record of generated files in the application: `.sigra/manifest.toml` has the choices and checksums, and
//! `.sigra/base.tar.gz` the files as they were generated. An upgrade compares them with the host's files.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    host::edits::Edit,
    plan::{
        Plan, SOURCES,
        choices::Choices,
        migrations::{self, Migrations, written_version},
        names::AppName,
        sigra_source::SigraSource,
        users::UserNames,
    },
    render::files::Files,
    system::text_file::TextFile,
};

/// The line about the folder in the list of created files.
pub const SUMMARY: &str = ".sigra/ (a record for `cargo sigra upgrade`)";

const FOLDER: &str = ".sigra";
const MANIFEST: &str = "manifest.toml";
const BASE: &str = "base.tar.gz";
const ATTRIBUTES: &str = ".gitattributes";

/// Keeps settings such as `core.autocrlf` and `* text` from changing the archive.
const ARCHIVE_STAYS: &str = "# An archive, which git must not change.\nbase.tar.gz binary\n";

const HEADER: &str = "# The record of what `cargo sigra` generated. Commit this folder: `cargo sigra upgrade` needs it to\n\
     # keep your changes. Don't edit it.\n\n";

/// The choices that an application was generated with, and the SHA-256 of each file as it was generated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this program.
    pub version: String,
    pub app: AppName,
    /// The module of accounts, in an existing application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The folder that contains the module.
    #[serde(default = "sources", skip_serializing_if = "is_sources")]
    pub folder: String,
    /// The port that the application listens on, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The SQL that made an existing table the users table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    /// The folder of migrations, and who runs them.
    #[serde(default)]
    pub migrations: Migrations,
    pub users: UserNames,
    pub choices: Choices,
    pub files: BTreeMap<String, String>,
}

fn sources() -> String {
    SOURCES.to_owned()
}

fn is_sources(folder: &str) -> bool {
    folder == SOURCES
}

/// Why the record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("there is no `{0}`: run this in an application that `cargo sigra new` or `cargo sigra install` generated")]
    Missing(PathBuf),
    #[error("can't read `{path}`: {error}. Restore it from version control")]
    Unreadable { path: PathBuf, error: String },
    #[error("can't record what was generated: {0}")]
    Unwritable(io::Error),
    #[error("`{0}` doesn't match `manifest.toml` next to it. Restore both from version control")]
    Differs(PathBuf),
}

impl Manifest {
    pub fn of(plan: &Plan, files: &Files) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            app: plan.app.clone(),
            module: plan.module.clone(),
            folder: plan.folder.clone(),
            port: plan.port,
            migrations: plan.migrations.clone(),
            adopted: plan.adopted.clone(),
            users: plan.users.clone(),
            choices: plan.choices,
            files: files.iter().map(|(path, text)| (path.clone(), hash(text))).collect(),
        }
    }

    /// Returns the plan that generates the same application again.
    pub fn plan(&self, sigra: SigraSource) -> Plan {
        Plan {
            app: self.app.clone(),
            users: self.users.clone(),
            choices: self.choices,
            sigra,
            module: self.module.clone(),
            folder: self.folder.clone(),
            port: self.port,
            migrations: Migrations { ours: self.versions(), ..self.migrations.clone() },
            adopted: self.adopted.clone(),
            rustfmt: None,
        }
    }

    /// Returns the versions of the migrations that were generated, by the names after them.
    fn versions(&self) -> BTreeMap<String, String> {
        let ours = self.files.keys().filter(|path| self.migrations.has(path)).map(Path::new);
        ours.filter_map(|path| Some((migrations::name(path)?.to_owned(), written_version(path)?))).collect()
    }

    /// Reads the record of the application in a folder.
    pub fn read(root: &Path) -> Result<Self, ManifestError> {
        let path = root.join(FOLDER).join(MANIFEST);
        if !path.exists() {
            return Err(ManifestError::Missing(Path::new(FOLDER).join(MANIFEST)));
        }
        let unreadable = |error: String| ManifestError::Unreadable { path: path.clone(), error };
        let text = TextFile::read(&path).map_err(|error| unreadable(error.to_string()))?.text;
        toml::from_str(&text).map_err(|error| unreadable(error.message().to_owned()))
    }

    /// Returns the edits that write the record into an application.
    pub fn edits(&self, files: &Files) -> Result<Vec<Edit>, ManifestError> {
        let path = |name: &str| format!("{FOLDER}/{name}");
        let text = toml::to_string_pretty(self).map_err(|error| ManifestError::Unwritable(io::Error::other(error)))?;
        let packed = pack(files).map_err(ManifestError::Unwritable)?;
        Ok(vec![
            Edit::put(&path(MANIFEST), format!("{HEADER}{text}")),
            Edit::put(&path(ATTRIBUTES), ARCHIVE_STAYS.to_owned()),
            Edit::put_bytes(&path(BASE), packed),
        ])
    }

    /// Returns the files as they were generated.
    pub fn base(&self, root: &Path) -> Result<Files, ManifestError> {
        let path = root.join(FOLDER).join(BASE);
        let unreadable = |error: io::Error| ManifestError::Unreadable { path: path.clone(), error: error.to_string() };
        let files = fs::read(&path).and_then(|packed| unpack(&packed)).map_err(unreadable)?;
        let is_same = files.len() == self.files.len()
            && files.iter().all(|(name, text)| self.files.get(name).is_some_and(|known| *known == hash(text)));
        if is_same { Ok(files) } else { Err(ManifestError::Differs(path)) }
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces `..` in the paths of another package's files, because an archive can't contain files outside its folder.
const PARENT: (&str, &str) = ("../", "..%2F");

/// Packs files. The same files always result in the same bytes.
fn pack(files: &Files) -> io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, path.replace(PARENT.0, PARENT.1), text.as_bytes())?;
    }
    let mut gzip = archive.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

fn unpack(packed: &[u8]) -> io::Result<Files> {
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    let mut files = Files::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().replace(PARENT.1, PARENT.0);
        let mut text = String::new();
        entry.read_to_string(&mut text)?;
        files.insert(path, text);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::edits::Transaction;

    fn files() -> Files {
        Files::from([("src/a.rs".to_owned(), "a".repeat(9000)), ("../db/b.sql".to_owned(), "ü\n".to_owned())])
    }

    #[test]
    fn packing_is_deterministic_and_reversible() {
        let packed = pack(&files()).expect("packed");
        assert_eq!(packed, pack(&files()).expect("packed"));
        assert_eq!(unpack(&packed).expect("files"), files());
    }

    #[test]
    fn a_base_that_was_changed_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = Manifest::of(&Plan::default_for_tests(), &files());
        let edits = manifest.edits(&files()).expect("a record");
        Transaction::prepare(folder.path(), &edits).and_then(Transaction::commit).expect("written");
        let read = Manifest::read(folder.path()).expect("a manifest");
        assert_eq!(read, manifest);
        assert_eq!(read.base(folder.path()).expect("a base"), files());

        let other = Files::from([("src/a.rs".to_owned(), "changed".to_owned())]);
        fs::write(folder.path().join(".sigra/base.tar.gz"), pack(&other).expect("packed")).expect("written");
        assert!(matches!(read.base(folder.path()), Err(ManifestError::Differs(_))));
    }
}
