//! Rows that may hold anything. What one of them holds concerns nobody but whose it is: an error belongs to its row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::error::BoxDynError;
use time::OffsetDateTime;
use uuid::Uuid;

use super::query::Columns;

/// Reads a row. A panic is an error: the host's `FromRow` is not ours, and PostgreSQL's `infinity` is past what
/// `sqlx` can tell.
pub(super) fn read<R, T>(row: &R, read: impl FnOnce(&R) -> sqlx::Result<T>) -> sqlx::Result<T> {
    let panicked = |_| Err(sqlx::Error::Decode("the row could not be read: a panic says why".into()));
    catch_unwind(AssertUnwindSafe(|| read(row))).unwrap_or_else(panicked)
}

/// Reads the rows that can be read. Of the others the log tells, by their id.
pub(super) fn readable<R: Columns, T>(
    rows: &[R],
    id: &'static str,
    read_row: impl Fn(&R) -> sqlx::Result<T>,
) -> Vec<T> {
    let read_or_tell = |row: &R| match read(row, &read_row) {
        Ok(read) => Some(read),
        Err(error) => {
            let id = row.value::<Uuid>(id).ok();
            tracing::error!(target: "sigra", ?id, %error, "a row can't be read, and is left out");
            None
        }
    };
    rows.iter().filter_map(read_or_tell).collect()
}

/// A time between the years 1 and 9999, which is what can be computed with and written down (RFC 3339).
pub(super) fn in_range(at: Option<OffsetDateTime>) -> Result<OffsetDateTime, BoxDynError> {
    at.filter(|at| at.year() >= 1).ok_or_else(|| "a time that is out of range".into())
}
