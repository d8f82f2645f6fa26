//! Statements that are written once for both databases.

use sqlx::{Database, Row, SqlSafeStr};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::token::{SessionHashes, TokenHash},
    model::{
        database::{BoxFuture, Decodes, Dialect, Encodes, Runs as _, SqlxQuery, Time, in_time},
        window::Window,
    },
};

/// A statement and its arguments.
pub(super) struct Query<DB: Database>(SqlxQuery<DB>);

/// Creates a statement, which the database prepares once for each connection.
///
/// A `LIMIT` that never changes belongs in the text: SQLite prepares a statement with a bound one each time it runs,
/// because the plan depends on it.
///
/// One that returns all columns of a table is prepared each time it runs if the database would refuse it on every
/// connection that has prepared it, once the table has another column.
pub(super) fn query<DB: Dialect>(text: impl SqlSafeStr) -> Query<DB> {
    let text = text.into_sql_str();
    let is_kept = DB::KEEPS_ALL_COLUMNS || !returns_all_columns(text.as_str());
    let Query(query) = kept_query::<DB>(text);
    Query(query.persistent(is_kept))
}

/// Creates a statement that is prepared once for each connection even if it returns all columns of a table. The caller
/// replaces a connection that fails.
pub(super) fn kept_query<DB: Dialect>(text: impl SqlSafeStr) -> Query<DB> {
    #[cfg(all(test, feature = "sqlite"))]
    tests::STATEMENTS.set(tests::STATEMENTS.get() + 1);
    Query(sqlx::query(text))
}

/// Returns whether a statement returns all columns of a table, so that its result changes with the table.
fn returns_all_columns(text: &str) -> bool {
    ["SELECT *", "RETURNING *", ".*"].iter().any(|all| text.contains(all))
}

impl<DB: Dialect> Query<DB> {
    /// Adds the next argument.
    pub fn bind<'q, T>(self, value: T) -> Self
    where
        DB: Encodes<'q, T>,
    {
        Self(DB::bind(self.0, value))
    }

    /// Adds the two ends of a window: rows are after the first, and not after the second.
    pub fn bind_window(self, window: Window) -> Self {
        self.bind(Time(window.after)).bind(Time(window.until))
    }

    /// Adds a list of IDs, which [`IN_LIST`](Dialect::IN_LIST) matches.
    pub fn bind_ids(self, ids: &[Uuid]) -> Self {
        Self(DB::bind_ids(self.0, ids))
    }

    /// Adds a list of hashes, which [`IN_LIST`](Dialect::IN_LIST) matches.
    pub fn bind_tokens(self, tokens: &[TokenHash]) -> Self {
        Self(DB::bind_tokens(self.0, tokens))
    }

    /// Adds the hashes of a [lookup](Dialect::lookup).
    pub fn bind_lookup(self, tokens: &[TokenHash]) -> Self {
        Self(DB::bind_lookup(self.0, tokens))
    }

    /// Adds the hashes of a [lookup of sessions](Dialect::lookup_sessions).
    pub fn bind_sessions(self, tokens: &[SessionHashes]) -> Self {
        let (tokens, series): (Vec<_>, Vec<_>) = tokens.iter().map(|hashes| (hashes.token, hashes.series)).unzip();
        Self(DB::bind_sessions(self.0, &tokens, &series))
    }

    /// Runs the statement, and returns the number of rows that it changed.
    pub async fn execute(self, conn: &mut DB::Connection) -> sqlx::Result<u64> {
        Ok(DB::rows_affected(&in_time::<DB, _>(conn.execute(self.0)).await?))
    }

    /// Runs the statement, and returns its only row.
    pub fn fetch_one(self, conn: &mut DB::Connection) -> BoxFuture<'_, DB::Row> {
        in_time::<DB, _>(conn.fetch_one(self.0))
    }

    /// Runs the statement, and returns its row, if there is one.
    pub fn fetch_optional(self, conn: &mut DB::Connection) -> BoxFuture<'_, Option<DB::Row>> {
        in_time::<DB, _>(conn.fetch_optional(self.0))
    }

    /// Runs the statement, and returns its rows.
    pub fn fetch_all(self, conn: &mut DB::Connection) -> BoxFuture<'_, Vec<DB::Row>> {
        in_time::<DB, _>(conn.fetch_all(self.0))
    }
}

/// The columns of a row.
pub(super) trait Columns: Row<Database: Dialect> {
    /// Returns the value of a column.
    fn value<'r, T>(&'r self, column: &'static str) -> sqlx::Result<T>
    where
        Self::Database: Decodes<'r, T>;

    /// Returns the hash in a column.
    fn hash(&self, column: &'static str) -> sqlx::Result<TokenHash> {
        to_hash(self.value(column)?)
    }

    /// Returns the hash in a column, or `None` if it is null.
    fn optional_hash(&self, column: &'static str) -> sqlx::Result<Option<TokenHash>> {
        self.value::<Option<&[u8]>>(column)?.map(to_hash).transpose()
    }

    /// Returns the time in a column.
    fn time(&self, column: &'static str) -> sqlx::Result<OffsetDateTime> {
        self.value(column).map(|Time(at)| at)
    }

    /// Returns the time in a column, or `None` if it is null.
    fn optional_time(&self, column: &'static str) -> sqlx::Result<Option<OffsetDateTime>> {
        Ok(self.value::<Option<Time>>(column)?.map(|Time(at)| at))
    }
}

impl<R: Row<Database: Dialect>> Columns for R {
    fn value<'r, T>(&'r self, column: &'static str) -> sqlx::Result<T>
    where
        Self::Database: Decodes<'r, T>,
    {
        <R::Database as Decodes<'r, T>>::value(self, column)
    }
}

fn to_hash(bytes: &[u8]) -> sqlx::Result<TokenHash> {
    let hash = <[u8; 32]>::try_from(bytes);
    hash.map(TokenHash::from).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The columns of a row, read one after another from the first one on.
pub(super) struct InOrder<'r, R> {
    row: &'r R,
    next: usize,
}

impl<'r, R: Row<Database: Dialect>> InOrder<'r, R> {
    pub fn of(row: &'r R) -> Self {
        Self { row, next: 0 }
    }

    /// Returns the value of the next column.
    pub fn value<T>(&mut self) -> sqlx::Result<T>
    where
        R::Database: Decodes<'r, T>,
    {
        let at = self.next;
        self.next += 1;
        <R::Database as Decodes<'r, T>>::value_at(self.row, at)
    }

    /// Returns the time in the next column.
    pub fn time(&mut self) -> sqlx::Result<OffsetDateTime> {
        self.value().map(|Time(at)| at)
    }

    /// Returns the time in the next column, or `None` if it is null.
    pub fn optional_time(&mut self) -> sqlx::Result<Option<OffsetDateTime>> {
        Ok(self.value::<Option<Time>>()?.map(|Time(at)| at))
    }
}

#[cfg(test)]
pub(super) mod tests {
    #[cfg(feature = "sqlite")]
    use std::cell::Cell;

    use super::returns_all_columns;

    #[cfg(feature = "sqlite")]
    thread_local! {
        /// How many statements this thread has created.
        pub static STATEMENTS: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn statements_whose_result_changes_with_a_table_are_recognized() {
        for all in ["SELECT * FROM oauth_flows", "SELECT 1 AS one, u.* FROM users u", "DELETE FROM t RETURNING *"] {
            assert!(returns_all_columns(all), "{all}");
        }
        for some in
            ["SELECT count(*) FROM users_tokens", "SELECT extract(epoch FROM now()) * 1000", "SELECT u.id FROM u"]
        {
            assert!(!returns_all_columns(some), "{some}");
        }
    }
}
