//! Reads the header of a SQLite WAL index through a memory map.
//!
//! Every commit to a SQLite database in WAL mode changes this header, in whichever process it happens
//! (<https://www.sqlite.org/walformat.html>). Reading it from memory takes some nanoseconds, and a system call takes up
//! to a microsecond. This is a crate of its own because it needs `unsafe`, which [sigra] forbids. Most applications
//! don't use it directly.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("my_app.db-shm");
//! # std::fs::write(&path, [0; 32768])?;
//! use sigra_wal_index::{Header, MappedIndex};
//!
//! let file = std::fs::File::open(path)?;
//! let index = MappedIndex::open(&file)?;
//! let before: Option<Header> = index.header();
//! assert_eq!(index.header(), before, "nothing was committed");
//! # Ok(()) }
//! ```
//!
//! # Keep the file open
//!
//! SQLite holds POSIX locks on the file. Closing it [releases all locks that this process has on it][locks], including
//! SQLite's, and the database can be damaged. So open the file once, and close it only after all connections of this
//! process are closed.
//!
//! [locks]: https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
//!
//! # The file must not be truncated
//!
//! If a process truncates the file while it is mapped, reading it ends this process with `SIGBUS`. SQLite maps the same
//! file and has the same requirement. SQLite itself truncates it only while no connection is open, so keep one open as
//! long as the map.
//!
//! [sigra]: https://docs.rs/sigra

#![deny(unsafe_code)]
#![cfg(unix)]

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicU32, Ordering, fence},
};

use memmap2::{MmapOptions, MmapRaw};

/// The size of one copy of the header, in words of 4 bytes. Memory that can only be read allows atomic loads of at most
/// the size of a register.
const WORDS: usize = 12;

/// The size of both copies, in bytes.
const COPIES: usize = 2 * 4 * WORDS;

/// The header, as SQLite wrote it.
pub type Header = [u8; 4 * WORDS];

/// A WAL index that is mapped into memory, for reading only.
#[derive(Debug)]
pub struct MappedIndex(MmapRaw);

impl MappedIndex {
    /// Maps the start of the file, which must [stay open](crate#keep-the-file-open).
    ///
    /// # Errors
    ///
    /// That of the system, or [`io::ErrorKind::UnexpectedEof`] if the file is shorter than the two copies of the
    /// header.
    pub fn open(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() < COPIES as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has no header of a WAL index"));
        }
        MmapOptions::new().len(COPIES).map_raw_read_only(file).map(Self)
    }

    /// Returns the header. `None` while a writer changes it.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        // SQLite writes the second copy first, and then, after a barrier, the first one.
        let words = self.words();
        let load = |at: usize| words[at].load(Ordering::Relaxed).to_ne_bytes();
        let first: [[u8; 4]; WORDS] = std::array::from_fn(load);
        fence(Ordering::Acquire);
        let second: [[u8; 4]; WORDS] = std::array::from_fn(|at| load(WORDS + at));
        if first != second {
            return None;
        }
        first.as_flattened().try_into().ok()
    }

    #[expect(unsafe_code, reason = "nothing else reads memory that other processes write")]
    fn words(&self) -> &[AtomicU32; 2 * WORDS] {
        // SAFETY: The map has at least `COPIES` bytes, which `open` has checked, and lives as long as `self`. It begins
        // at a page, so it is aligned. Other processes, and SQLite in this one, write to it at any time, so it is read
        // only by relaxed atomic loads of 4 bytes, which any write may race with, and which memory that can only be
        // read allows.
        unsafe { &*self.0.as_ptr().cast() }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::FileExt};

    use super::*;

    fn index(bytes: &[u8]) -> (File, io::Result<MappedIndex>) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        let index = MappedIndex::open(&file);
        (file, index)
    }

    #[test]
    fn a_write_to_the_file_is_seen_at_once() {
        let (file, index) = index(&[7; 32_768]);
        let index = index.expect("mapped");
        assert_eq!(index.header(), Some([7; 48]));
        for byte in 0..=u8::MAX {
            file.write_all_at(&[byte; 96], 0).expect("written");
            assert_eq!(index.header(), Some([byte; 48]));
        }
    }

    #[test]
    fn a_header_that_is_being_written_is_none() {
        let (file, index) = index(&[0; 32_768]);
        let index = index.expect("mapped");
        for at in 0..96 {
            file.write_all_at(&[1], at).expect("written");
            assert_eq!(index.header(), None, "byte {at}");
            file.write_all_at(&[0], at).expect("written");
            assert!(index.header().is_some(), "byte {at}");
        }
    }

    #[test]
    fn a_file_without_a_header_is_an_error() {
        for len in [0, 1, 95] {
            let error = index(&vec![0; len]).1.expect_err("too short");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(index(&[0; 96]).1.is_ok());
    }
}
