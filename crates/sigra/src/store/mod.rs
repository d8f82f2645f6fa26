//! The one place with SQL. A [`Store`] knows the library's tables and joins the host's users; it knows no HTTP.

mod attempts;
mod audit_log;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod begin;
mod browsers;
mod email_tokens;
mod outgoing_mails;
mod own_pool;
mod passkeys;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod purge;
mod reader;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
mod second_factors;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod statement;

use std::future::Future;

use time::OffsetDateTime;

#[doc(hidden)]
pub use self::own_pool::OwnPool;
pub(crate) use self::reader::Reader;
pub use self::{
    attempts::Attempts,
    audit_log::AuditLog,
    browsers::{Browser, BrowserKind, Browsers, NewBrowser, Seen},
    email_tokens::{EmailTokens, NewEmailToken, Sent},
    outgoing_mails::{KeptMail, OutgoingMails},
    passkeys::{PasskeyRow, Passkeys},
    second_factors::{SealedTotp, SecondFactors, TotpRow},
};
#[cfg(feature = "sqlite")]
use crate::base::clock::to_ms;
pub use crate::model::{
    session::{EndedSession, Found, NewSession, PresentedToken, Renewal, SessionId, SessionRow, Standing},
    window::{Expired, Window},
};
use crate::{
    base::{
        error::WrongIsolation,
        token::{SessionHashes, TokenHash},
    },
    model::{feed::Feed, user::AuthUser},
};

/// Bytes that are written to see whether there is room: more than any request writes.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const PROBE_SIZE: usize = 64 * 1024;

/// The library's tables with their indexes, for SQLite. They refer to a table `users` with a column `id`; where yours
/// has [another name](AuthUser::TABLE), replace that.
///
/// The generator writes it into the host's migrations; a host without the generator runs it itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> sqlx::Result<()> {
/// let pool = sqlx::SqlitePool::connect("sqlite::memory:").await?;
/// sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY)").execute(&pool).await?;
/// sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "sqlite")]
pub const SQLITE_SCHEMA: &str = include_str!("sqlite.sql");

/// The library's tables with their indexes, for PostgreSQL. They refer to a table `users` with a column `id` of type
/// `uuid`; where that is `bigint`, replace the type of every `user_id` and `actor_id` too, and where the table has
/// [another name](AuthUser::TABLE), the name.
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres.sql");

#[cfg(feature = "sqlite")]
fn from_ms(ms: i64) -> sqlx::Result<OffsetDateTime> {
    row::in_range(OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok())
}

/// A database that can hold sessions. Implemented for `sqlx::Sqlite` and `sqlx::Postgres`; not meant to be implemented
/// elsewhere.
///
/// Every function is one statement, or runs in the caller's transaction.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't store the sessions of `{U}`",
    note = "`{U}` must implement `sqlx::FromRow` (derive it), and `AuthUser::Id` must be a type that `{Self}` can store"
)]
pub trait Store<U: AuthUser>:
    EmailTokens<U> + AuditLog<U> + SecondFactors<U> + Passkeys<U> + Browsers<U> + Attempts + OutgoingMails
{
    /// What tells of changes.
    #[doc(hidden)]
    type Feed: Feed<Database = Self>;

    /// A pool for the library's own use, that connects as the host's does.
    #[doc(hidden)]
    fn own_pool(host: &sqlx::Pool<Self>) -> OwnPool<Self>;

    /// Writes as much as a request may, and deletes it again: whether there is room, and the database takes it.
    fn probe(conn: &mut Self::Connection) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Starts a transaction that may write.
    fn begin(pool: &sqlx::Pool<Self>) -> impl Future<Output = sqlx::Result<sqlx::Transaction<'static, Self>>> + Send;

    /// The user as they are now.
    fn find_user(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<Option<U>>> + Send;

    /// The same, and until the end of the transaction nobody else logs them in, answers a challenge of theirs, ends
    /// their sessions, or changes what they log in with. An error in a transaction of another isolation level than
    /// that relies on.
    fn lock_user(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<Option<U>>> + Send;

    /// Locks the users whose session a token is of, or was, or that has an id, and one more, in the order of their
    /// ids. Who is to end sessions of several users does so first, lest two wait for each other.
    fn lock_users_of(
        conn: &mut Self::Connection,
        tokens: &[SessionHashes],
        session: Option<SessionId>,
        user: Option<&U::Id>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Locks two users, in the order of their ids.
    fn lock_both_users(
        conn: &mut Self::Connection,
        one: &U::Id,
        other: &U::Id,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Finds the session that each token belongs to, and its user. One query, if all of them are current. A row that
    /// can't be read is the error of its own token.
    fn find_sessions_by_token(
        conn: &mut Self::Connection,
        tokens: &[SessionHashes],
    ) -> impl Future<Output = sqlx::Result<Vec<sqlx::Result<Option<Found<U>>>>>> + Send;

    /// Whether a user's session still exists.
    fn has_session(
        conn: &mut Self::Connection,
        user: &U::Id,
        id: SessionId,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Finds which of these sessions still exist and can be read, and their users.
    fn find_sessions(
        conn: &mut Self::Connection,
        ids: &[SessionId],
    ) -> impl Future<Output = sqlx::Result<Vec<(SessionRow, U)>>> + Send;

    /// The user's sessions that can be read, were opened within a time and are not pending, the last used first: at most
    /// so many.
    fn list_sessions(
        conn: &mut Self::Connection,
        user: &U::Id,
        opened: Window,
        limit: i64,
    ) -> impl Future<Output = sqlx::Result<Vec<SessionRow>>> + Send;

    /// Writes a session. `None` if the user is gone or has another password by now.
    fn insert_session(
        conn: &mut Self::Connection,
        token: SessionHashes,
        new: &NewSession<'_, U>,
    ) -> impl Future<Output = sqlx::Result<Option<SessionRow>>> + Send;

    /// Deletes the session that a presented token belongs to, or belonged to before it was replaced, and the one that
    /// the request was let in under.
    fn delete_presented_session(
        conn: &mut Self::Connection,
        presented: &PresentedToken,
    ) -> impl Future<Output = sqlx::Result<Vec<EndedSession<U::Id>>>> + Send;

    /// Deletes one session of this user.
    fn delete_session_by_id(
        conn: &mut Self::Connection,
        user: &U::Id,
        id: SessionId,
    ) -> impl Future<Output = sqlx::Result<Option<SessionId>>> + Send;

    /// Deletes the user's sessions, all or all but one.
    fn delete_sessions(
        conn: &mut Self::Connection,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> impl Future<Output = sqlx::Result<Vec<SessionId>>> + Send;

    /// Notes that a session is in use.
    fn touch_session(
        conn: &mut Self::Connection,
        id: SessionId,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Issues `next` beside the current token, unless another was issued after `not_since`. Tells
    /// whether it did.
    fn issue_next_token(
        conn: &mut Self::Connection,
        current: TokenHash,
        next: TokenHash,
        now: OffsetDateTime,
        not_since: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Makes the next token the current one; the one before stays good until `previous_until`.
    fn promote_next_token(
        conn: &mut Self::Connection,
        next: TokenHash,
        now: OffsetDateTime,
        previous_until: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Replaces a session's token at once, for one who still holds a good one. Tells whether it did.
    fn replace_token(
        conn: &mut Self::Connection,
        id: SessionId,
        held: TokenHash,
        renewal: &Renewal,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes at most so many sessions that were opened before a time.
    fn purge_sessions(conn: &mut Self::Connection, expired: Expired) -> impl Future<Output = sqlx::Result<u64>> + Send;
}
