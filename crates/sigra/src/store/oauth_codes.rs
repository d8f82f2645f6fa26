//! Authorization codes: `oauth_codes`.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::read,
    users,
};
use crate::{
    base::token::TokenHash,
    model::{
        database::{Dialect, Time},
        session::SessionId,
        user::{AuthUser, Connection, Row},
        window::Expired,
    },
};

/// The maximum number of codes of a user. The oldest is deleted first.
const MAX: i64 = 32;

/// A row of `oauth_codes`.
#[derive(Clone, Debug)]
pub(crate) struct CodeRow<Id> {
    /// The user who gave access.
    pub user: Id,
    /// The session in which they did.
    pub session: SessionId,
    /// The ID of the client.
    pub client: String,
    /// The URI that the code was sent to.
    pub redirect_uri: String,
    /// The challenge of PKCE.
    pub challenge: String,
    /// The names of the permissions, with spaces between them.
    pub permissions: String,
    /// Where the tokens are valid.
    pub resource: String,
    /// The user agent of the browser.
    pub user_agent: Option<String>,
    /// What it was exchanged for.
    pub grant: Option<Uuid>,
    /// When it was exchanged.
    pub consumed_at: Option<OffsetDateTime>,
    /// When it was issued.
    pub inserted_at: OffsetDateTime,
}

/// Inserts a code, and deletes the user's oldest beyond the maximum.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    code: TokenHash,
    row: &CodeRow<U::Id>,
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO oauth_codes
        (code, user_id, session_id, client_id, redirect_uri, challenge, permissions, resource, user_agent, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let forget = format!(
        "DELETE FROM oauth_codes WHERE user_id = $1 AND code NOT IN (
             SELECT code FROM oauth_codes WHERE user_id = $1 ORDER BY inserted_at DESC, code LIMIT {MAX})"
    );
    query::<U::Database>(INSERT)
        .bind(code.as_bytes())
        .bind(row.user.clone())
        .bind(row.session)
        .bind(row.client.as_str())
        .bind(row.redirect_uri.as_str())
        .bind(row.challenge.as_str())
        .bind(row.permissions.as_str())
        .bind(row.resource.as_str())
        .bind(row.user_agent.as_deref())
        .bind(Time(row.inserted_at))
        .execute(&mut *conn)
        .await?;
    query::<U::Database>(AssertSqlSafe(forget)).bind(row.user.clone()).execute(conn).await.map(drop)
}

/// Locks the row of the user of a code, and returns the user. Then [`find`] sees what the lock waited for.
pub(crate) async fn lock_owner<U: AuthUser>(conn: &mut Connection<U>, code: TokenHash) -> sqlx::Result<Option<U>> {
    users::lock_owner::<U>(conn, "oauth_codes", "code", code).await
}

/// Returns a code, used or not.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    code: TokenHash,
) -> sqlx::Result<Option<CodeRow<U::Id>>> {
    let find = query::<U::Database>("SELECT * FROM oauth_codes WHERE code = $1").bind(code.as_bytes());
    find.fetch_optional(conn).await?.map(|row| read(&row, code_row::<U>)).transpose()
}

fn code_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<CodeRow<U::Id>> {
    Ok(CodeRow {
        user: row.value("user_id")?,
        session: row.value("session_id")?,
        client: row.value("client_id")?,
        redirect_uri: row.value("redirect_uri")?,
        challenge: row.value("challenge")?,
        permissions: row.value("permissions")?,
        resource: row.value("resource")?,
        user_agent: row.value("user_agent")?,
        grant: row.value("grant_id")?,
        consumed_at: row.optional_time("consumed_at")?,
        inserted_at: row.time("inserted_at")?,
    })
}

/// Uses a code up, for a grant or for none. Returns whether it was unused: of several concurrent calls, only one
/// returns `true`.
pub(crate) async fn consume<U: AuthUser>(
    conn: &mut Connection<U>,
    code: TokenHash,
    grant: Option<Uuid>,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const CONSUME: &str =
        "UPDATE oauth_codes SET consumed_at = $2, grant_id = $3 WHERE code = $1 AND consumed_at IS NULL";
    let consume = query::<U::Database>(CONSUME).bind(code.as_bytes()).bind(Time(now)).bind(grant);
    Ok(consume.execute(conn).await? == 1)
}

/// Deletes the codes of a user.
pub(crate) async fn delete_all<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<()> {
    let delete = query::<U::Database>("DELETE FROM oauth_codes WHERE user_id = $1").bind(user.clone());
    delete.execute(conn).await.map(drop)
}

/// Deletes a batch of codes that were issued before a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "oauth_codes", "code", "inserted_at <= $1", expired).await
}
