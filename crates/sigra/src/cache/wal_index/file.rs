//! The file of the WAL index.

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
static OPEN: Mutex<Vec<Arc<Open>>> = Mutex::new(Vec::new());

/// The size of the header. The file has two copies in a row, so that a reader notices one that is half written.
const HEADER: usize = 48;

pub type Header = [u8; HEADER];

/// A WAL index, open for reading.
pub struct IndexFile(Arc<Open>);

struct Open {
    file: File,
    #[cfg(all(unix, feature = "mmap"))]
    map: io::Result<sigra_wal_index::MappedIndex>,
}

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
        open.retain(|open| Arc::strong_count(open) > 1 || open.file.metadata().map_or(true, |file| file.nlink() > 0));
        let wanted = match fs::metadata(path) {
            Ok(wanted) => wanted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_wanted = |file: &fs::Metadata| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino());
        if let Some(known) = open.iter().find(|open| open.file.metadata().is_ok_and(|file| is_wanted(&file))) {
            return Ok(Some(Self(known.clone())));
        }
        let file = File::open(path)?;
        let opened = Arc::new(Open {
            #[cfg(feature = "mmap")]
            map: sigra_wal_index::MappedIndex::open(&file),
            file,
        });
        open.push(opened.clone());
        Ok(Some(Self(opened)))
    }

    /// Returns the header, or `None` while a writer changes it.
    pub fn header(&self) -> Option<Header> {
        #[cfg(feature = "mmap")]
        if let Ok(map) = &self.0.map {
            return map.header();
        }
        let mut copies = [0; 2 * HEADER];
        std::os::unix::fs::FileExt::read_exact_at(&self.0.file, &mut copies, 0).ok()?;
        let (first, second) = copies.split_at(HEADER);
        if first == second { first.try_into().ok() } else { None }
    }
}

/// On other systems, SQLite locks in other ways, which may not allow reading the index.
#[cfg(not(unix))]
impl IndexFile {
    pub fn open(_: &Path) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub fn header(&self) -> Option<Header> {
        None
    }
}
