//! Statements that are written once for both databases.

use std::time::Duration;

use sqlx::{Connection as _, Database, Row, SqlSafeStr, SqlStr};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    base::token::{SessionHashes, TokenHash},
    model::{
        database::{BoxFuture, Decodes, Dialect, Encodes, Runs as _, SqlxQuery, Time, in_time, no_response},
        window::Window,
    },
};

/// A statement and its arguments.
pub(super) struct Query<DB: Database> {
    statement: SqlxQuery<DB>,
    columns: Returned,
}

/// The columns that a statement returns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Returned {
    /// Those that it names.
    Named,
    /// All of a table. It is prepared each time it runs.
    All,
    /// The same, but it is prepared once for each connection.
    AllKept,
}

/// Creates a statement, which the database prepares once for each connection.
///
/// A `LIMIT` that never changes belongs in the text: SQLite prepares a statement with a bound one each time it runs,
/// because the plan depends on it.
///
/// One that returns all columns of a table is prepared each time it runs. Another process may add a column, and then,
/// on each connection that has prepared the statement, PostgreSQL refuses it until the connection is closed ("cached
/// plan must not change result type", SQLSTATE 0A000), and sqlx panics on SQLite.
pub(super) fn query<DB: Dialect>(text: impl SqlSafeStr) -> Query<DB> {
    let text = text.into_sql_str();
    let columns = if returns_all_columns(text.as_str()) { Returned::All } else { Returned::Named };
    create(text, columns)
}

/// Creates a statement that returns all columns of a table, but is prepared once for each connection. The caller
/// replaces a connection that fails.
pub(super) fn kept_query<DB: Dialect>(text: impl SqlSafeStr) -> Query<DB> {
    create(text.into_sql_str(), Returned::AllKept)
}

fn create<DB: Dialect>(text: SqlStr, columns: Returned) -> Query<DB> {
    #[cfg(all(test, feature = "sqlite"))]
    tests::STATEMENTS.set(tests::STATEMENTS.get() + 1);
    Query { statement: sqlx::query(text).persistent(columns != Returned::All), columns }
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
        Self { statement: DB::bind(self.statement, value), ..self }
    }

    /// Adds the two ends of a window: rows are after the first, and not after the second.
    pub fn bind_window(self, window: Window) -> Self {
        self.bind(Time(window.after)).bind(Time(window.until))
    }

    /// Adds a list of IDs, which [`IN_LIST`](Dialect::IN_LIST) matches.
    pub fn bind_ids(self, ids: &[Uuid]) -> Self {
        Self { statement: DB::bind_ids(self.statement, ids), ..self }
    }

    /// Adds a list of hashes, which [`IN_LIST`](Dialect::IN_LIST) matches.
    pub fn bind_tokens(self, tokens: &[TokenHash]) -> Self {
        Self { statement: DB::bind_tokens(self.statement, tokens), ..self }
    }

    /// Adds the hashes of a [lookup](Dialect::lookup).
    pub fn bind_lookup(self, tokens: &[TokenHash]) -> Self {
        Self { statement: DB::bind_lookup(self.statement, tokens), ..self }
    }

    /// Adds the hashes of a [lookup of sessions](Dialect::lookup_sessions).
    pub fn bind_sessions(self, tokens: &[SessionHashes]) -> Self {
        let (tokens, series): (Vec<_>, Vec<_>) = tokens.iter().map(|hashes| (hashes.token, hashes.series)).unzip();
        Self { statement: DB::bind_sessions(self.statement, &tokens, &series), ..self }
    }

    /// Runs the statement, and returns the number of rows that it changed.
    pub async fn execute(self, conn: &mut DB::Connection) -> sqlx::Result<u64> {
        Ok(DB::rows_affected(&in_time::<DB, _>(conn.execute(self.statement)).await?))
    }

    /// Runs the statement, and returns its only row.
    pub async fn fetch_one(self, conn: &mut DB::Connection) -> sqlx::Result<DB::Row> {
        self.fetch_optional(conn).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs the statement, and returns its row, if there is one.
    pub fn fetch_optional(self, conn: &mut DB::Connection) -> BoxFuture<'_, Option<DB::Row>> {
        let Some(notice) = self.notice() else { return in_time::<DB, _>(conn.fetch_optional(self.statement)) };
        in_time::<DB, _>(Box::pin(async move {
            run_before::<DB>(conn, self.columns, notice).await?;
            let row = conn.fetch_optional(self.statement).await?;
            if row.is_none() {
                check_alive::<DB>(conn).await?;
            }
            Ok(row)
        }))
    }

    /// Runs the statement, and returns its rows.
    pub fn fetch_all(self, conn: &mut DB::Connection) -> BoxFuture<'_, Vec<DB::Row>> {
        let Some(notice) = self.notice() else { return in_time::<DB, _>(conn.fetch_all(self.statement)) };
        in_time::<DB, _>(Box::pin(async move {
            run_before::<DB>(conn, self.columns, notice).await?;
            let rows = conn.fetch_all(self.statement).await?;
            if rows.is_empty() {
                check_alive::<DB>(conn).await?;
            }
            Ok(rows)
        }))
    }

    /// Returns what makes a connection notice new columns, if the statement's result depends on them. Without it, sqlx
    /// panics on SQLite at the first row of a table that has another column, in the thread of the connection. The result
    /// then looks like that of a statement that found nothing. So after no rows, the connection must still respond.
    fn notice(&self) -> Option<&'static str> {
        DB::NOTICE_COLUMNS.filter(|_| self.columns != Returned::Named)
    }
}

/// Makes a connection notice new columns, before a statement that is prepared each time it runs.
async fn run_before<DB: Dialect>(
    conn: &mut DB::Connection,
    columns: Returned,
    notice: &'static str,
) -> sqlx::Result<()> {
    if columns == Returned::All {
        conn.execute(sqlx::query(notice)).await?;
    }
    Ok(())
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

/// Fails if the thread of a connection has panicked. A message that it gets while it unwinds stays without an answer,
/// but the next one fails.
async fn check_alive<DB: Dialect>(conn: &mut DB::Connection) -> sqlx::Result<()> {
    for patience in [Duration::from_millis(20), Duration::from_secs(2)] {
        if let Ok(answered) = timeout(patience, conn.ping()).await {
            return answered;
        }
    }
    Err(no_response())
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

    /// The result must not look like that of a statement that finds nothing.
    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_kept_statement_fails_once_on_a_connection_that_has_not_noticed_a_new_column() {
        use sqlx::{Connection as _, Executor as _, Sqlite, SqliteConnection, sqlite::SqliteConnectOptions};

        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteConnectOptions::new().filename(folder.path().join("test.db")).create_if_missing(true);
        let mut other = SqliteConnection::connect_with(&options).await.expect("a connection");
        other.execute("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1)").await.expect("a table");
        for number in 0..20 {
            let mut conn = SqliteConnection::connect_with(&options).await.expect("a connection");
            let rows = super::kept_query::<Sqlite>("SELECT * FROM t").fetch_all(&mut conn).await;
            assert_eq!(rows.expect("rows").len(), 1);
            let none = super::kept_query::<Sqlite>("SELECT * FROM t WHERE id = 2").fetch_optional(&mut conn).await;
            assert!(none.expect("no error").is_none());
            let add = sqlx::AssertSqlSafe(format!("ALTER TABLE t ADD COLUMN c{number} INTEGER"));
            other.execute(sqlx::query(add)).await.expect("added");
            assert!(super::kept_query::<Sqlite>("SELECT * FROM t").fetch_all(&mut conn).await.is_err());
        }
    }
}
