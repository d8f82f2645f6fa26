use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// All index files that were opened and still exist.
///
/// SQLite holds POSIX locks on them, and closing a file releases all locks that the process has on it, including
/// SQLite's
/// (<https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>). They
/// are therefore closed only once they are deleted, when the locks no longer matter.
static OPEN: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());

/// A WAL index, open for reading.
pub struct IndexFile(Arc<File>);

/// Each file is opened only once.
impl PartialEq for IndexFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(unix)]
impl IndexFile {
    /// Opens the file. Returns `None` if it doesn't exist.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt;

        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|file| Arc::strong_count(file) > 1 || file.metadata().map_or(true, |file| file.nlink() > 0));
        let wanted = match fs::metadata(path) {
            Ok(wanted) => wanted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_wanted = |file: &fs::Metadata| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino());
        if let Some(file) = open.iter().find(|file| file.metadata().is_ok_and(|file| is_wanted(&file))) {
            return Ok(Some(Self(file.clone())));
        }
        let file = Arc::new(File::open(path)?);
        open.push(file.clone());
        Ok(Some(Self(file)))
    }

    /// Reads the first bytes.
    pub fn read_start(&self, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&*self.0, bytes, 0)
    }
}

/// On other systems, SQLite locks in other ways, which may not allow reading the index.
#[cfg(not(unix))]
impl IndexFile {
    pub fn open(_: &Path) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub fn read_start(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
