//! One-time tokens, which are sent by email: rows of `users_tokens`, each with its context.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::read,
    users::check_isolation,
};
use crate::{
    base::token::{SentToken, TokenHash},
    model::{
        database::{Dialect, Reads as _, Time},
        user::{AuthUser, Connection, Row},
        window::{Expired, Window},
    },
};

/// A token to insert.
#[derive(Clone, Debug)]
pub(crate) struct NewEmailToken<'a, U: AuthUser> {
    /// The hash of the token.
    pub token: TokenHash,
    /// The purpose of the token.
    pub context: &'a str,
    /// The user.
    pub user: &'a U::Id,
    /// The email address that the token is sent to.
    pub sent_to: &'a str,
    /// When it is sent.
    pub now: OffsetDateTime,
}

/// Writes a token.
pub(crate) async fn insert<U: AuthUser>(conn: &mut Connection<U>, new: &NewEmailToken<'_, U>) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO users_tokens (id, user_id, context, token, sent_to, issued_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)";
    query::<U::Database>(INSERT)
        .bind(Uuid::now_v7())
        .bind(new.user.clone())
        .bind(new.context)
        .bind(new.token.as_bytes())
        .bind(new.sent_to)
        .bind(Time(new.now))
        .execute(conn)
        .await
        .map(drop)
}

/// Finds a token that was sent within a time.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    token: TokenHash,
    context: &str,
    sent: Window,
) -> sqlx::Result<Option<SentToken<U>>> {
    let row = find_row::<U>(conn, token, context, sent, "").await?;
    row.as_ref().map(sent_token).transpose()
}

/// Finds a token, and locks its user's row. A request that takes another token of the user, or changes their password,
/// waits, and holds no lock that this one needs.
pub(crate) async fn lock<U: AuthUser>(
    conn: &mut Connection<U>,
    token: TokenHash,
    context: &str,
    sent: Window,
) -> sqlx::Result<Option<SentToken<U>>> {
    let Some(row) = find_row::<U>(conn, token, context, sent, U::Database::LOCK_USERS).await? else { return Ok(None) };
    check_isolation::<U>(&row)?;
    sent_token(&row).map(Some)
}

async fn find_row<U: AuthUser>(
    conn: &mut Connection<U>,
    token: TokenHash,
    context: &str,
    sent: Window,
    lock_users: &'static str,
) -> sqlx::Result<Option<Row<U>>> {
    let find = format!(
        "SELECT t.sent_to AS sigra_sent_to, t.inserted_at AS sigra_sent_at, {isolation} AS sigra_isolation, u.*
         FROM users_tokens t JOIN {users} u ON u.id = t.user_id
         WHERE t.context = $1 AND t.token = $2 AND t.inserted_at > $3 AND t.inserted_at <= $4
           AND t.sent_to IS NOT NULL {lock_users}",
        isolation = U::Database::ISOLATION,
        users = U::TABLE,
    );
    let find = query::<U::Database>(AssertSqlSafe(find)).bind(context).bind(token.as_bytes());
    find.bind_window(sent).fetch_optional(conn).await
}

fn sent_token<U: AuthUser>(row: &Row<U>) -> sqlx::Result<SentToken<U>> {
    read(row, |row| {
        Ok(SentToken { user: U::Database::user(row)?, to: row.value("sigra_sent_to")?, at: row.time("sigra_sent_at")? })
    })
}

/// Deletes a token. Returns whether it existed: of several concurrent calls, only one returns `true`.
pub(crate) async fn delete<U: AuthUser>(
    conn: &mut Connection<U>,
    token: TokenHash,
    context: &str,
) -> sqlx::Result<bool> {
    let delete = query::<U::Database>("DELETE FROM users_tokens WHERE context = $1 AND token = $2");
    Ok(delete.bind(context).bind(token.as_bytes()).execute(conn).await? == 1)
}

/// Deletes the trusted and known browsers of a user, and the links to change their email address. Links that were sent
/// to that address stay, and so do sessions.
pub(crate) async fn delete_all_but_links<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<()> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE user_id = $1 AND context NOT IN ('session', 'recovery', 'confirm', 'reset_password', 'login')";
    query::<U::Database>(DELETE).bind(user.clone()).execute(conn).await.map(drop)
}

/// Deletes the tokens of a user, all or those of one context, except those of another. Sessions stay. So do
/// [recovery](crate::token::Context::Recovery) links, unless they are that context: a thief in the account must not be
/// able to revoke them.
pub(crate) async fn delete_all<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    context: Option<&str>,
    kept: Option<&str>,
) -> sqlx::Result<()> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE user_id = $1 AND context <> 'session' AND context = coalesce($2, context)
          AND context <> coalesce($3, '') AND context <> CASE WHEN $2 = 'recovery' THEN '' ELSE 'recovery' END";
    query::<U::Database>(DELETE).bind(user.clone()).bind(context).bind(kept).execute(conn).await.map(drop)
}

/// Returns when the user's newest recovery link was sent, of those that were sent within a time.
pub(crate) async fn newest_recovery_token<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    sent: Window,
) -> sqlx::Result<Option<OffsetDateTime>> {
    const NEWEST: &str = "SELECT max(inserted_at) AS newest FROM users_tokens
        WHERE user_id = $1 AND context = 'recovery' AND inserted_at > $2 AND inserted_at <= $3";
    let newest = query::<U::Database>(NEWEST).bind(user.clone()).bind_window(sent);
    let row = newest.fetch_one(conn).await?;
    read(&row, |row| row.optional_time("newest"))
}

/// Returns when the oldest of a user's recovery links to an email address was sent, of those that were sent within a
/// time.
pub(crate) async fn oldest_recovery_token_to<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    sent_to: &str,
    sent: Window,
) -> sqlx::Result<Option<OffsetDateTime>> {
    const OLDEST: &str = "SELECT min(inserted_at) AS oldest FROM users_tokens
        WHERE user_id = $1 AND context = 'recovery' AND sent_to = $2 AND inserted_at > $3 AND inserted_at <= $4";
    let oldest = query::<U::Database>(OLDEST).bind(user.clone()).bind(sent_to).bind_window(sent);
    let row = oldest.fetch_one(conn).await?;
    read(&row, |row| row.optional_time("oldest"))
}

/// Deletes the recovery links of a user that were sent after a time, and all to an email address.
pub(crate) async fn delete_recovery_tokens<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    after: OffsetDateTime,
    sent_to: &str,
) -> sqlx::Result<()> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE user_id = $1 AND context = 'recovery' AND (inserted_at > $2 OR sent_to = $3)";
    query::<U::Database>(DELETE).bind(user.clone()).bind(Time(after)).bind(sent_to).execute(conn).await.map(drop)
}

/// Deletes a batch of tokens that were sent before a time. Recovery links stay.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    const SENT: &str = "context NOT IN ('session', 'mfa_trust', 'known_browser', 'recovery') AND inserted_at <= $1";
    purge_rows::<DB>(conn, "users_tokens", "id", SENT, expired).await
}

/// Deletes a batch of recovery links that were sent before a time.
pub(crate) async fn purge_recovery_tokens<DB: Dialect>(
    conn: &mut DB::Connection,
    expired: Expired,
) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "users_tokens", "id", "context = 'recovery' AND inserted_at <= $1", expired).await
}
