//! The bounds that a database must meet.
//!
//! sqlx has a bound for each type of an argument or a column: `Uuid: Encode<'q, DB>`. Because it isn't a bound on
//! `Self`, every function would have to repeat it. Here, it is a bound on the database, `DB: Encodes<'q, Uuid>`, so a
//! supertrait of [`Dialect`] states it once.

use std::{io, pin::Pin, time::Duration};

use sqlx::{
    ColumnIndex, Database, Decode, Encode, Executor, FromRow, IntoArguments, Pool, Row, Type,
    database::HasStatementCache,
};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{base::token::TokenHash, model::feed::Feed};

/// A statement and its arguments.
pub type SqlxQuery<DB> = sqlx::query::Query<'static, DB, <DB as Database>::Arguments>;

/// The future of a statement's result.
pub type BoxFuture<'e, T> = Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'e>>;

/// A database that the statements of `store` are written for: its keywords, and how it binds values that SQL has no
/// common type for.
pub trait Dialect:
    Database<Arguments: IntoArguments<Self>, Connection: Runs<Self>>
    + HasStatementCache
    + Stores<bool>
    + Stores<i32>
    + Stores<i64>
    + Stores<Uuid>
    + Stores<String>
    + Stores<Vec<u8>>
    + Stores<Time>
    + StoresRef<str>
    + StoresRef<[u8]>
{
    /// The statement that begins a transaction that may write.
    const BEGIN: &'static str;
    /// The current time by the database's clock, in milliseconds since the Unix epoch.
    const NOW_MS: &'static str;
    /// The function that returns the least of its arguments.
    const LEAST: &'static str;
    /// Matches a column with the list that is the first argument, as [`bind_ids`](Self::bind_ids) and
    /// [`bind_tokens`](Self::bind_tokens) add it.
    const IN_LIST: &'static str;
    /// The isolation level of the transaction, or NULL if the database has only one level.
    const ISOLATION: &'static str;
    /// The clause that locks rows of users, named `u`, until the end of the transaction.
    const LOCK_USERS: &'static str;
    /// The clause that locks rows until the end of the transaction, in the order of the query.
    const LOCK_ROWS: &'static str;
    /// The clause that skips rows that other transactions have locked.
    const SKIP_LOCKED: &'static str;
    /// The statement that makes a connection notice that a table has another column. `None` if preparing a statement
    /// does.
    const NOTICE_COLUMNS: Option<&'static str>;
    /// How long the database may take to respond. `None` if it is in the same process.
    const RESPONSE_LIMIT: Option<Duration>;
    /// Copies what the write-ahead log has into the database, where commits of users do that.
    const CHECKPOINT: Option<Checkpoint>;

    /// The feed of changes.
    type Feed: Feed<Database = Self>;

    /// Prepares a connection for looking up tokens.
    fn prepare_reader(conn: &mut Self::Connection) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Returns whether another pool with the host's options would connect to another database.
    fn is_private(host: &Pool<Self>) -> bool;

    /// Binds a list of ids.
    fn bind_ids(query: SqlxQuery<Self>, ids: &[Uuid]) -> SqlxQuery<Self>;

    /// Binds a list of hashes.
    fn bind_tokens(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self>;

    /// Returns the rows of a table of tokens, as `t`, that have one of the hashes that
    /// [`bind_lookup`](Self::bind_lookup) adds as the first argument: what is before the table's name, and the
    /// condition on its column `token`. There is room for `places` hashes.
    fn lookup(places: usize) -> (String, &'static str);

    /// Binds the hashes of a lookup.
    fn bind_lookup(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self>;

    /// Returns a table `asked` that comes before the table of tokens in a statement. Its columns `token` and `series`
    /// are the hashes that [`bind_sessions`](Self::bind_sessions) adds as the first arguments. There is room for
    /// `places` tokens.
    fn lookup_sessions(places: usize) -> String;

    /// Binds the hashes of a lookup of sessions: of each token, and of its series.
    fn bind_sessions(query: SqlxQuery<Self>, tokens: &[TokenHash], series: &[TokenHash]) -> SqlxQuery<Self>;

    /// Returns how many rows a statement changed.
    fn rows_affected(result: &Self::QueryResult) -> u64;
}

/// Fails if the database doesn't respond within its limit. A server that vanished never does, and without an error the
/// connection would keep its place in the pool.
pub fn in_time<'e, DB: Dialect, T: Send + 'e>(response: BoxFuture<'e, T>) -> BoxFuture<'e, T> {
    let Some(limit) = DB::RESPONSE_LIMIT else { return response };
    Box::pin(async move { timeout(limit, response).await.unwrap_or_else(|_| Err(no_response())) })
}

/// The error if the database doesn't respond in time.
pub fn no_response() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not respond in time"))
}

/// How to copy what the write-ahead log has into the database.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint {
    /// The statement that does it, without waiting for anybody.
    pub run: &'static str,
    /// The statement that returns after how many pages a commit does it, or 0 if another program does.
    pub interval: &'static str,
    /// The column of the interval.
    pub column: &'static str,
}

/// A time as a column has it: `timestamptz`, or milliseconds since the Unix epoch in a database without that type. A
/// column's time that can't be represented is an error.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub OffsetDateTime);

/// A database whose statements take arguments of a type.
pub trait Encodes<'q, T>: Database {
    /// Binds the next argument of a statement.
    fn bind(query: SqlxQuery<Self>, value: T) -> SqlxQuery<Self>;
}

impl<'q, DB: Database, T: Encode<'q, DB> + Type<DB>> Encodes<'q, T> for DB {
    fn bind(query: SqlxQuery<Self>, value: T) -> SqlxQuery<Self> {
        query.bind(value)
    }
}

/// A database whose rows have values of a type.
pub trait Decodes<'r, T>: Database {
    /// Returns the value of a column.
    fn value(row: &'r Self::Row, column: &'static str) -> sqlx::Result<T>;

    /// Returns the value of the column at a place, counted from 0.
    fn value_at(row: &'r Self::Row, place: usize) -> sqlx::Result<T>;
}

impl<'r, DB: Database, T: Decode<'r, DB> + Type<DB>> Decodes<'r, T> for DB
where
    &'static str: ColumnIndex<DB::Row>,
    usize: ColumnIndex<DB::Row>,
{
    fn value(row: &'r Self::Row, column: &'static str) -> sqlx::Result<T> {
        row.try_get(column)
    }

    fn value_at(row: &'r Self::Row, place: usize) -> sqlx::Result<T> {
        row.try_get(place)
    }
}

/// A database that has columns of a type, which may be nullable.
pub trait Stores<T>:
    for<'q> Encodes<'q, T> + for<'q> Encodes<'q, Option<T>> + for<'r> Decodes<'r, T> + for<'r> Decodes<'r, Option<T>>
{
}

impl<DB, T> Stores<T> for DB where
    DB: for<'q> Encodes<'q, T>
        + for<'q> Encodes<'q, Option<T>>
        + for<'r> Decodes<'r, T>
        + for<'r> Decodes<'r, Option<T>>
{
}

/// A database that has columns of a type, with values that are borrowed from the caller or from the row.
pub trait StoresRef<T: ?Sized + 'static>:
    for<'q> Encodes<'q, &'q T>
    + for<'q> Encodes<'q, Option<&'q T>>
    + for<'r> Decodes<'r, &'r T>
    + for<'r> Decodes<'r, Option<&'r T>>
{
}

impl<DB, T: ?Sized + 'static> StoresRef<T> for DB where
    DB: for<'q> Encodes<'q, &'q T>
        + for<'q> Encodes<'q, Option<&'q T>>
        + for<'r> Decodes<'r, &'r T>
        + for<'r> Decodes<'r, Option<&'r T>>
{
}

/// A database whose rows the host's user is read from.
pub trait Reads<U>: Database {
    /// Returns the user in a row that has all their columns.
    fn user(row: &Self::Row) -> sqlx::Result<U>;
}

impl<DB: Database, U: for<'r> FromRow<'r, DB::Row>> Reads<U> for DB {
    fn user(row: &Self::Row) -> sqlx::Result<U> {
        U::from_row(row)
    }
}

/// A connection that runs statements.
pub trait Runs<DB: Database> {
    /// Runs a statement.
    fn execute<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, DB::QueryResult>;

    /// Runs a statement and returns its only row.
    fn fetch_one<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, DB::Row>;

    /// Runs a statement and returns its row, if there is one.
    fn fetch_optional<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, Option<DB::Row>>;

    /// Runs a statement and returns its rows.
    fn fetch_all<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, Vec<DB::Row>>;
}

impl<DB: Database<Arguments: IntoArguments<DB>>, C> Runs<DB> for C
where
    for<'c> &'c mut C: Executor<'c, Database = DB>,
{
    fn execute<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, DB::QueryResult> {
        Executor::execute(self, query)
    }

    fn fetch_one<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, DB::Row> {
        Executor::fetch_one(self, query)
    }

    fn fetch_optional<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, Option<DB::Row>> {
        Executor::fetch_optional(self, query)
    }

    fn fetch_all<'e>(&'e mut self, query: SqlxQuery<DB>) -> BoxFuture<'e, Vec<DB::Row>> {
        Executor::fetch_all(self, query)
    }
}
