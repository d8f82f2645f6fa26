//! The host's table of users.

use sqlx::AssertSqlSafe;

use super::{
    query::{Columns as _, query},
    row::read,
};
use crate::{
    base::{
        error::WrongIsolation,
        token::{SessionHashes, TokenHash},
    },
    model::{
        database::{Dialect, Reads as _},
        session::SessionId,
        user::{AuthUser, Connection, Row},
    },
};

/// Returns the user as they are now.
#[cfg(any(feature = "oauth", feature = "passkeys"))]
pub(crate) async fn find<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<Option<U>> {
    let find = format!("SELECT u.* FROM {} u WHERE u.id = $1", U::TABLE);
    let row = query::<U::Database>(AssertSqlSafe(find)).bind(user.clone()).fetch_optional(conn).await?;
    row.map(|row| read(&row, U::Database::user)).transpose()
}

/// Locks the user's row, and returns the user as they are now. Until the end of the transaction, no other request can
/// log them in, answer a challenge of theirs, end their sessions, or change how they log in. Fails in a transaction
/// with another isolation level than this relies on.
pub(crate) async fn lock<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<Option<U>> {
    let lock = format!(
        "SELECT {isolation} AS sigra_isolation, u.* FROM {users} u WHERE u.id = $1 {lock_users}",
        isolation = U::Database::ISOLATION,
        users = U::TABLE,
        lock_users = U::Database::LOCK_USERS,
    );
    locked::<U>(query::<U::Database>(AssertSqlSafe(lock)).bind(user.clone()).fetch_optional(conn).await?)
}

/// Locks the row of the user whose row in another table has this hash in a column, and returns the user.
#[cfg_attr(not(feature = "oauth-server"), allow(dead_code, reason = "only codes and programs are found by a hash"))]
pub(super) async fn lock_owner<U: AuthUser>(
    conn: &mut Connection<U>,
    table: &str,
    column: &str,
    hash: TokenHash,
) -> sqlx::Result<Option<U>> {
    let lock = format!(
        "SELECT {isolation} AS sigra_isolation, u.* FROM {table} t JOIN {users} u ON u.id = t.user_id
         WHERE t.{column} = $1 {lock_users}",
        isolation = U::Database::ISOLATION,
        users = U::TABLE,
        lock_users = U::Database::LOCK_USERS,
    );
    locked::<U>(query::<U::Database>(AssertSqlSafe(lock)).bind(hash.as_bytes()).fetch_optional(conn).await?)
}

fn locked<U: AuthUser>(row: Option<Row<U>>) -> sqlx::Result<Option<U>> {
    let Some(row) = row else { return Ok(None) };
    check_isolation::<U>(&row)?;
    read(&row, U::Database::user).map(Some)
}

/// The ways to log in that no table shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherWays<'a> {
    /// Whether users can log in with a link that is sent by email.
    pub links: bool,
    /// Whether users can log in with passkeys.
    pub passkeys: bool,
    /// The names of the providers that users can log in with.
    pub providers: &'a [String],
}

impl OtherWays<'_> {
    /// Returns the names of the providers as the condition compares them, each between commas: `,google,,corp,`.
    pub(super) fn provider_list(&self) -> String {
        self.providers.iter().map(|name| format!(",{name},")).collect()
    }
}

/// Returns an SQL condition: whether the user `$2` can log in without the row with the ID `$1`, a passkey or an
/// identity. A passkey that browsers find only with an email address can't log in, and neither can one that is only a
/// second factor. `$3` to `$5` are the fields of [`OtherWays`], the last one as its [list](OtherWays::provider_list).
pub(super) fn has_another_way_in<U: AuthUser>() -> String {
    format!(
        "($3 OR EXISTS (SELECT 1 FROM {users} u WHERE u.id = $2 AND u.hashed_password IS NOT NULL)
          OR ($4 AND EXISTS (
              SELECT 1 FROM users_passkeys p
              WHERE p.user_id = $2 AND p.id <> $1
                AND p.discoverable IS NOT FALSE AND NOT p.second_factor_only))
          OR EXISTS (
              SELECT 1 FROM user_identities i
              WHERE i.user_id = $2 AND i.id <> $1 AND replace($5, ',' || i.provider || ',', '') <> $5))",
        users = U::TABLE,
    )
}

/// Locks, in the order of their IDs, the users of the sessions that the tokens belong or belonged to, of the session
/// `session`, and `user`. Call it before you end sessions of several users, to prevent deadlocks.
pub(crate) async fn lock_owners<U: AuthUser>(
    conn: &mut Connection<U>,
    tokens: &[SessionHashes],
    session: Option<SessionId>,
    user: Option<&U::Id>,
) -> sqlx::Result<()> {
    let series: Vec<TokenHash> = tokens.iter().map(|token| token.series).collect();
    let lock = query::<U::Database>(AssertSqlSafe(lock_owners_statement::<U>())).bind_tokens(&series);
    lock.bind(user.cloned()).bind(session).fetch_all(conn).await.map(drop)
}

/// Only sessions have a series, so there is no condition on the context: SQLite would search all sessions by that.
pub(super) fn lock_owners_statement<U: AuthUser>() -> String {
    format!(
        "SELECT 1 FROM {users} u
         WHERE u.id = $2 OR u.id IN (
             SELECT t.user_id FROM users_tokens t WHERE t.series {in_list}
             UNION ALL SELECT t.user_id FROM users_tokens t WHERE t.id = $3)
         ORDER BY u.id {lock_users}",
        users = U::TABLE,
        in_list = U::Database::IN_LIST,
        lock_users = U::Database::LOCK_USERS,
    )
}

/// Locks two users, in the order of their IDs.
pub(crate) async fn lock_both<U: AuthUser>(conn: &mut Connection<U>, one: &U::Id, other: &U::Id) -> sqlx::Result<()> {
    let lock = format!(
        "SELECT 1 FROM {users} u WHERE u.id = $1 OR u.id = $2 ORDER BY u.id {lock_users}",
        users = U::TABLE,
        lock_users = U::Database::LOCK_USERS,
    );
    let lock = query::<U::Database>(AssertSqlSafe(lock)).bind(one.clone()).bind(other.clone());
    lock.fetch_all(conn).await.map(drop)
}

/// The locks of users rely on this isolation level: a snapshot of the whole transaction would not show the changes that
/// the lock waited for.
pub(super) fn check_isolation<U: AuthUser>(row: &Row<U>) -> sqlx::Result<()> {
    match row.value("sigra_isolation")? {
        // PostgreSQL treats this level as the same.
        None | Some("read committed" | "read uncommitted") => Ok(()),
        Some(level) => Err(WrongIsolation(level.to_owned()).into()),
    }
}
