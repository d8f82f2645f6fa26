//! What is asked of a database, in bounds.
//!
//! sqlx has a bound for each type that a statement is given or gives back: `Uuid: Encode<'q, DB>`. Such a bound on
//! another type than `Self` would have to be repeated at every function. Here the same is said of the database,
//! `DB: Encodes<'q, Uuid>`, and so a supertrait of [`Dialect`] can say it once.

use std::pin::Pin;

use sqlx::{ColumnIndex, Database, Decode, Encode, Executor, FromRow, IntoArguments, Pool, Row, Type};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{base::token::TokenHash, model::feed::Feed};

/// A statement and its arguments.
pub type SqlxQuery<DB> = sqlx::query::Query<'static, DB, <DB as Database>::Arguments>;

/// What a database will have answered.
pub type Answer<'e, T> = Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'e>>;

/// A database that the statements of `store` are written for: its words, and its own ways to hold what SQL has no
/// common type for.
pub trait Dialect:
    Database<Arguments: IntoArguments<Self>, Connection: Runs<Self>>
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
    /// Starts a transaction that may write.
    const BEGIN: &'static str;
    /// The time now by the database's clock, in milliseconds since the Unix epoch.
    const NOW_MS: &'static str;
    /// The function that gives the least of its arguments.
    const LEAST: &'static str;
    /// Matches a column with the list that is the first argument, as [`bind_ids`](Self::bind_ids) and
    /// [`bind_tokens`](Self::bind_tokens) add it.
    const IN_LIST: &'static str;
    /// The isolation level of the transaction, or NULL if there is one level only.
    const ISOLATION: &'static str;
    /// Locks rows of users, named `u`, until the end of the transaction.
    const LOCK_USERS: &'static str;
    /// Leaves rows alone that somebody else has locked.
    const SKIP_LOCKED: &'static str;

    /// What tells of changes.
    type Feed: Feed<Database = Self>;

    /// Whether another pool that connects as the host's does would find another database.
    fn is_private(host: &Pool<Self>) -> bool;

    /// Adds a list of ids.
    fn bind_ids(query: SqlxQuery<Self>, ids: &[Uuid]) -> SqlxQuery<Self>;

    /// Adds a list of hashes.
    fn bind_tokens(query: SqlxQuery<Self>, tokens: &[TokenHash]) -> SqlxQuery<Self>;

    /// How many rows a statement has changed.
    fn rows_affected(result: &Self::QueryResult) -> u64;
}

/// A time as a column holds it: `timestamptz`, or milliseconds since the Unix epoch where there is no such type. A time
/// that can't be computed with and written down is an error.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub OffsetDateTime);

/// A database that takes values of a type in its statements.
pub trait Encodes<'q, T>: Database {
    /// Adds the next argument of a statement.
    fn bind(query: SqlxQuery<Self>, value: T) -> SqlxQuery<Self>;
}

impl<'q, DB: Database, T: Encode<'q, DB> + Type<DB>> Encodes<'q, T> for DB {
    fn bind(query: SqlxQuery<Self>, value: T) -> SqlxQuery<Self> {
        query.bind(value)
    }
}

/// A database that has values of a type in its rows.
pub trait Decodes<'r, T>: Database {
    /// The value of a column.
    fn value(row: &'r Self::Row, column: &'static str) -> sqlx::Result<T>;
}

impl<'r, DB: Database, T: Decode<'r, DB> + Type<DB>> Decodes<'r, T> for DB
where
    &'static str: ColumnIndex<DB::Row>,
{
    fn value(row: &'r Self::Row, column: &'static str) -> sqlx::Result<T> {
        row.try_get(column)
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

/// The same of a type that is borrowed: of the caller, and of the row.
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
    /// The user in a row that has all their columns.
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
    fn execute<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, DB::QueryResult>;

    /// Its only row.
    fn fetch_one<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, DB::Row>;

    /// Its row, if there is one.
    fn fetch_optional<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, Option<DB::Row>>;

    /// Its rows.
    fn fetch_all<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, Vec<DB::Row>>;
}

impl<DB: Database<Arguments: IntoArguments<DB>>, C> Runs<DB> for C
where
    for<'c> &'c mut C: Executor<'c, Database = DB>,
{
    fn execute<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, DB::QueryResult> {
        Executor::execute(self, query)
    }

    fn fetch_one<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, DB::Row> {
        Executor::fetch_one(self, query)
    }

    fn fetch_optional<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, Option<DB::Row>> {
        Executor::fetch_optional(self, query)
    }

    fn fetch_all<'e>(&'e mut self, query: SqlxQuery<DB>) -> Answer<'e, Vec<DB::Row>> {
        Executor::fetch_all(self, query)
    }
}
