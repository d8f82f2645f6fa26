//! The table of instructions for each hot path, which is kept in the repository.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::Result;

/// The share by which a path can grow above the table, before its growth needs a reason.
pub const TOLERANCE: f64 = 0.02;

/// The same, of a path with several threads: they hand over their work in another way each time.
pub const TOLERANCE_OF_THREADS: f64 = 0.10;

const HEADER: &str = "\
# Instructions for one request, written by `instructions --write REASON`: see README.md.
# A row's reason says why its count last changed by more than 2 %, or 10 % with several threads.

";

/// The counts, and the programs that they depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub rustc: String,
    pub valgrind: String,
    #[serde(default, rename = "path")]
    pub rows: Vec<Row>,
}

/// A hot path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub instructions: u64,
    pub reason: String,
}

/// A count that was found now.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    pub name: &'static str,
    pub instructions: u64,
    /// How much of it is noise.
    pub tolerance: f64,
}

impl Table {
    /// Reads the table, unless there is none yet.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display()).into()),
        }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, format!("{HEADER}{}", toml::to_string(self)?))?)
    }

    /// Returns whether counts by these programs can be compared with the table's. Another compiler generates other
    /// instructions, and another valgrind emulates another processor.
    #[must_use]
    pub fn is_comparable(&self, rustc: &str, valgrind: &str) -> bool {
        self.rustc == rustc && self.valgrind == valgrind
    }

    /// The share by which a path has grown since its row was written, below zero if it has shrunk. `None` without a
    /// row.
    #[must_use]
    pub fn growth(&self, count: &Count) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == count.name)?;
        Some(count.instructions as f64 / row.instructions as f64 - 1.0)
    }

    /// The paths that have grown by more than the tolerance, or have no row.
    #[must_use]
    pub fn unexplained(&self, counts: &[Count]) -> Vec<&'static str> {
        let is_unexplained = |count: &&Count| self.growth(count).is_none_or(|growth| growth > count.tolerance);
        counts.iter().filter(is_unexplained).map(|count| count.name).collect()
    }

    /// Takes over the counts. A path that has changed by no more than the tolerance keeps its row, so that many small
    /// changes add up until one of them needs a reason. With other programs, every path that was counted has changed.
    pub fn update(&mut self, counts: &[Count], rustc: &str, valgrind: &str, reason: &str) {
        let is_comparable = self.is_comparable(rustc, valgrind);
        for count in counts {
            let is_explained = self.growth(count).is_some_and(|growth| growth.abs() <= count.tolerance);
            if is_comparable && is_explained {
                continue;
            }
            let row = Row { name: count.name.to_owned(), instructions: count.instructions, reason: reason.to_owned() };
            match self.rows.iter_mut().find(|row| row.name == count.name) {
                Some(old) => *old = row,
                None => self.rows.push(row),
            }
        }
        (self.rustc, self.valgrind) = (rustc.to_owned(), valgrind.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = |name: &str| Row { name: name.to_owned(), instructions: 1000, reason: "first count".to_owned() };
        Table { rustc: "rustc 1".to_owned(), valgrind: "valgrind 3".to_owned(), rows: vec![row("bare"), row("cached")] }
    }

    fn count(name: &'static str, instructions: u64) -> Count {
        Count { name, instructions, tolerance: TOLERANCE }
    }

    #[test]
    fn growth_beyond_the_tolerance_and_a_path_without_a_row_are_unexplained() {
        let counts = [count("bare", 1019), count("cached", 1021), count("uncached", 5)];
        assert_eq!(table().unexplained(&counts), ["cached", "uncached"]);
        assert!(table().unexplained(&[count("bare", 500)]).is_empty());

        let threads = |instructions| Count { tolerance: TOLERANCE_OF_THREADS, ..count("cached", instructions) };
        assert!(table().unexplained(&[threads(1099)]).is_empty());
        assert_eq!(table().unexplained(&[threads(1101)]), ["cached"]);
    }

    #[test]
    fn an_update_keeps_the_rows_that_changed_little() {
        let mut updated = table();
        updated.update(
            &[count("bare", 1010), count("cached", 900), count("uncached", 5)],
            "rustc 1",
            "valgrind 3",
            "why",
        );
        let rows: Vec<_> = updated.rows.iter().map(|row| (&*row.name, row.instructions, &*row.reason)).collect();
        assert_eq!(rows, [("bare", 1000, "first count"), ("cached", 900, "why"), ("uncached", 5, "why")]);
    }

    #[test]
    fn an_update_with_another_compiler_writes_every_row() {
        let mut updated = table();
        updated.update(&[count("bare", 1001)], "rustc 2", "valgrind 3", "another rustc");
        assert_eq!(updated.rows[0], Row { name: "bare".into(), instructions: 1001, reason: "another rustc".into() });
        assert!(updated.is_comparable("rustc 2", "valgrind 3") && !updated.is_comparable("rustc 1", "valgrind 3"));
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instructions.toml");
        assert_eq!(Table::read(&path).unwrap(), None);
        table().write(&path).unwrap();
        assert_eq!(Table::read(&path).unwrap(), Some(table()));
    }
}
