//! Personal access tokens: `api_tokens`.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::readable,
};
use crate::{
    base::token::TokenHash,
    model::{
        api_token::ApiToken,
        database::{Dialect, Time},
        permission::PermissionList,
        user::{AuthUser, Connection, Row},
        window::Expired,
    },
};

/// The maximum number of expired tokens of a user.
const MAX_EXPIRED: i64 = 50;

/// Inserts a token.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    hash: TokenHash,
    token: &ApiToken,
    mfa_verified: bool,
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO api_tokens
        (id, user_id, token, hint, name, permissions, mfa_verified, expires_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    query::<U::Database>(INSERT)
        .bind(token.id)
        .bind(user.clone())
        .bind(hash.as_bytes())
        .bind(token.hint.as_str())
        .bind(token.name.as_str())
        .bind(token.permissions.to_string())
        .bind(mfa_verified)
        .bind(token.expires_at.map(Time))
        .bind(Time(token.inserted_at))
        .execute(conn)
        .await
        .map(drop)
}

/// Returns the readable tokens of a user: first those that have not expired, the newest first.
pub(crate) async fn list<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    now: Time,
    registered: &PermissionList,
) -> sqlx::Result<Vec<ApiToken>> {
    const LIST: &str = "SELECT id, hint, name, permissions, expires_at, last_used_at, last_used_ip, inserted_at
        FROM api_tokens WHERE user_id = $1
        ORDER BY (expires_at IS NOT NULL AND expires_at <= $2), id DESC";
    let rows = query::<U::Database>(LIST).bind(user.clone()).bind(now).fetch_all(conn).await?;
    Ok(readable(&rows, "id", |row| token::<U>(row, registered)))
}

fn token<U: AuthUser>(row: &Row<U>, registered: &PermissionList) -> sqlx::Result<ApiToken> {
    Ok(ApiToken {
        id: row.value("id")?,
        hint: row.value("hint")?,
        name: row.value("name")?,
        permissions: registered.known_in(row.value("permissions")?),
        expires_at: row.optional_time("expires_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        last_used_ip: row.value::<Option<&str>>("last_used_ip")?.and_then(|ip| ip.parse().ok()),
        inserted_at: row.time("inserted_at")?,
    })
}

/// Returns how many tokens of a user have not expired. The user's row must be locked, or another one could be inserted
/// at the same moment.
pub(crate) async fn count<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, now: Time) -> sqlx::Result<i64> {
    const COUNT: &str = "SELECT count(*) AS tokens FROM api_tokens
        WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > $2)";
    query::<U::Database>(COUNT).bind(user.clone()).bind(now).fetch_one(conn).await?.value("tokens")
}

/// Deletes the expired tokens of a user beyond the maximum: those that expired first.
pub(crate) async fn forget_expired<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, now: Time) -> sqlx::Result<()> {
    let forget = format!(
        "DELETE FROM api_tokens WHERE user_id = $1 AND expires_at <= $2 AND id NOT IN (
             SELECT id FROM api_tokens WHERE user_id = $1 AND expires_at <= $2
             ORDER BY expires_at DESC, id DESC LIMIT {MAX_EXPIRED})"
    );
    query::<U::Database>(AssertSqlSafe(forget)).bind(user.clone()).bind(now).execute(conn).await.map(drop)
}

/// Deletes a token, if it is this user's. Returns its name.
pub(crate) async fn delete<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
) -> sqlx::Result<Option<String>> {
    const DELETE: &str = "DELETE FROM api_tokens WHERE id = $1 AND user_id = $2 RETURNING name";
    let deleted = query::<U::Database>(DELETE).bind(id).bind(user.clone()).fetch_optional(conn).await?;
    deleted.map(|row| row.value("name")).transpose()
}

/// Deletes all tokens of a user. Returns how many there were.
pub(crate) async fn delete_all<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<u64> {
    query::<U::Database>("DELETE FROM api_tokens WHERE user_id = $1").bind(user.clone()).execute(conn).await
}

/// Records the use of a token, unless another process has since `not_since`.
pub(crate) async fn touch<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    now: Time,
    ip: Option<&str>,
    not_since: Time,
) -> sqlx::Result<()> {
    const TOUCH: &str = "UPDATE api_tokens SET last_used_at = $2, last_used_ip = $3
        WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $4)";
    query::<U::Database>(TOUCH).bind(id).bind(now).bind(ip).bind(not_since).execute(conn).await.map(drop)
}

/// Deletes a batch of tokens that expired before a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "api_tokens", "id", "expires_at <= $1", expired).await
}
