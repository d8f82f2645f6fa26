//! Deleting what has expired.

/// Deletes at most so many rows of a table that expired, and gives their number. `$expired_column` is a condition on
/// which rows, up to the column that says since when. `$skip_locked` leaves rows alone that another purge has taken.
macro_rules! purge {
    ($conn:ident, $expired:ident, $to_time:path, $table:literal, $key:literal, $expired_column:literal, $skip_locked:literal) => {{
        const PURGE: &str = concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $expired_column,
            " <= $1 LIMIT $2",
            $skip_locked,
            ")"
        );
        let purge = sqlx::query(PURGE).bind($to_time($expired.before)).bind($expired.limit);
        Ok(purge.execute($conn).await?.rows_affected())
    }};
}

pub(super) use purge;
