//! Reading rows, which may have any content. An error in one row affects only that row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::error::BoxDynError;
use time::OffsetDateTime;
use uuid::Uuid;

use super::query::Columns;

/// Reads a row, and turns a panic into an error: the host's `FromRow` can panic, and so can `sqlx` on PostgreSQL's
/// `infinity`.
pub(super) fn read<R, T>(row: &R, read: impl FnOnce(&R) -> sqlx::Result<T>) -> sqlx::Result<T> {
    let panicked = |_| Err(sqlx::Error::Decode("reading the row panicked: see the log".into()));
    catch_unwind(AssertUnwindSafe(|| read(row))).unwrap_or_else(panicked)
}

/// Returns the rows that can be read, and logs the IDs of the others.
pub(super) fn readable<R: Columns, T>(
    rows: &[R],
    id: &'static str,
    read_row: impl Fn(&R) -> sqlx::Result<T>,
) -> Vec<T> {
    let read_or_tell = |row: &R| match read(row, &read_row) {
        Ok(read) => Some(read),
        Err(error) => {
            let id = row.value::<Uuid>(id).ok();
            tracing::error!(target: "sigra", ?id, %error, "could not read a row: it is skipped");
            None
        }
    };
    rows.iter().filter_map(read_or_tell).collect()
}

/// Returns the time if it is between the years 1 and 9999, which RFC 3339 can express.
pub(super) fn in_range(at: Option<OffsetDateTime>) -> Result<OffsetDateTime, BoxDynError> {
    at.filter(|at| at.year() >= 1).ok_or_else(|| "the time is out of range".into())
}
