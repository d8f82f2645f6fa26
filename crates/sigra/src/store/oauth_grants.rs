//! Programs that users gave access, and their tokens: `oauth_grants` and `oauth_tokens`.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::{read, readable},
    users,
};
use crate::{
    base::token::TokenHash,
    model::{
        database::{Dialect, Reads as _, Time},
        user::{AuthUser, Connection, Row},
        window::{Expired, Window},
    },
};

/// The maximum number of access tokens of a grant. The oldest is deleted first. A program has one, and for a moment one
/// more for each of its processes that refresh at once.
const MAX_TOKENS: i64 = 32;

/// The columns of a grant. Their prefix distinguishes them from the user's columns.
const COLUMNS: &str = "g.id AS sigra_id, g.user_id AS sigra_user_id, g.client_id AS sigra_client_id,
    g.client_name AS sigra_client_name, g.permissions AS sigra_permissions, g.resource AS sigra_resource,
    g.mfa_verified AS sigra_mfa_verified, g.refresh_token AS sigra_refresh_token, g.salt AS sigra_salt,
    g.previous_token AS sigra_previous_token, g.superseded_at AS sigra_superseded_at, g.ip AS sigra_ip,
    g.user_agent AS sigra_user_agent, g.last_used_at AS sigra_last_used_at, g.inserted_at AS sigra_inserted_at";

/// A row of `oauth_grants`.
#[derive(Clone, Debug)]
pub(crate) struct GrantRow<Id> {
    /// The ID of the row.
    pub id: Uuid,
    /// The user.
    pub user: Id,
    /// The ID of the client.
    pub client: String,
    /// The name of the client, as the user read it.
    pub client_name: String,
    /// The names of its permissions, with spaces between them.
    pub permissions: String,
    /// Where its tokens are valid.
    pub resource: String,
    /// Whether the session that gave access had a second factor.
    pub mfa_verified: bool,
    /// The hash of the refresh token.
    pub refresh_token: TokenHash,
    /// What the refresh token was derived with.
    pub salt: Vec<u8>,
    /// The hash of the refresh token before.
    pub previous_token: Option<TokenHash>,
    /// When that one was replaced.
    pub superseded_at: Option<OffsetDateTime>,
    /// The IP address of the program.
    pub ip: Option<String>,
    /// The user agent of the program, or of the browser next to it.
    pub user_agent: Option<String>,
    /// When it was last used.
    pub last_used_at: OffsetDateTime,
    /// When the user gave access.
    pub inserted_at: OffsetDateTime,
}

impl<Id> GrantRow<Id> {
    /// Returns when the user gave access or, later, when the refresh token was replaced.
    pub fn changed_at(&self) -> OffsetDateTime {
        self.superseded_at.map_or(self.inserted_at, |at| at.max(self.inserted_at))
    }
}

/// A grant, what its access token may do, and its user.
#[derive(Clone, Debug)]
pub(crate) struct FoundGrant<U: AuthUser> {
    /// The grant.
    pub grant: GrantRow<U::Id>,
    /// The names of the token's permissions.
    pub permissions: String,
    /// When the access token was issued.
    pub issued_at: OffsetDateTime,
    /// When the access token expires.
    pub expires_at: OffsetDateTime,
    /// The user, as the database has them now.
    pub user: U,
}

/// An access token to insert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewAccessToken<'a> {
    /// The hash of the token.
    pub token: TokenHash,
    /// The names of its permissions, with spaces between them.
    pub permissions: &'a str,
    /// When it expires.
    pub expires_at: OffsetDateTime,
    /// When it is issued.
    pub now: OffsetDateTime,
}

/// The next refresh token of a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation<'a> {
    /// The hash of the one that is replaced.
    pub from: TokenHash,
    /// The hash of the next.
    pub to: TokenHash,
    /// What the next was derived with.
    pub salt: &'a [u8],
    /// When it happens.
    pub now: OffsetDateTime,
}

/// Inserts a grant.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    grant: &GrantRow<U::Id>,
    series: TokenHash,
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO oauth_grants
        (id, user_id, client_id, client_name, permissions, resource, mfa_verified, series, refresh_token, salt, ip,
         user_agent, last_used_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    query::<U::Database>(INSERT)
        .bind(grant.id)
        .bind(grant.user.clone())
        .bind(grant.client.as_str())
        .bind(grant.client_name.as_str())
        .bind(grant.permissions.as_str())
        .bind(grant.resource.as_str())
        .bind(grant.mfa_verified)
        .bind(series.as_bytes())
        .bind(grant.refresh_token.as_bytes())
        .bind(grant.salt.as_slice())
        .bind(grant.ip.as_deref())
        .bind(grant.user_agent.as_deref())
        .bind(Time(grant.last_used_at))
        .bind(Time(grant.inserted_at))
        .execute(conn)
        .await
        .map(drop)
}

/// Locks the row of the user whose grant has this series, and returns the user. Then [`find_by_series`] sees what the
/// lock waited for.
pub(crate) async fn lock_owner<U: AuthUser>(conn: &mut Connection<U>, series: TokenHash) -> sqlx::Result<Option<U>> {
    users::lock_owner::<U>(conn, "oauth_grants", "series", series).await
}

/// Returns the grant with this series.
pub(crate) async fn find_by_series<U: AuthUser>(
    conn: &mut Connection<U>,
    series: TokenHash,
) -> sqlx::Result<Option<GrantRow<U::Id>>> {
    let find = format!("SELECT {COLUMNS} FROM oauth_grants g WHERE g.series = $1");
    let row = query::<U::Database>(AssertSqlSafe(find)).bind(series.as_bytes()).fetch_optional(conn).await?;
    row.map(|row| read(&row, grant_row::<U>)).transpose()
}

/// Returns the grant and the user of an access token, which may have expired.
pub(crate) async fn find_by_token<U: AuthUser>(
    conn: &mut Connection<U>,
    token: TokenHash,
) -> sqlx::Result<Option<FoundGrant<U>>> {
    let find = format!(
        "SELECT {COLUMNS}, t.permissions AS sigra_token_permissions, t.inserted_at AS sigra_token_inserted_at,
             t.expires_at AS sigra_token_expires_at, u.*
         FROM oauth_tokens t JOIN oauth_grants g ON g.id = t.grant_id JOIN {users} u ON u.id = g.user_id
         WHERE t.token = $1",
        users = U::TABLE,
    );
    let row = query::<U::Database>(AssertSqlSafe(find)).bind(token.as_bytes()).fetch_optional(conn).await?;
    let found = |row: &Row<U>| {
        Ok(FoundGrant {
            grant: grant_row::<U>(row)?,
            permissions: row.value("sigra_token_permissions")?,
            issued_at: row.time("sigra_token_inserted_at")?,
            expires_at: row.time("sigra_token_expires_at")?,
            user: U::Database::user(row)?,
        })
    };
    row.map(|row| read(&row, found)).transpose()
}

/// Returns the readable grants of a user that were given within a time, the most recently used first.
pub(crate) async fn list<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    given: Window,
) -> sqlx::Result<Vec<GrantRow<U::Id>>> {
    let list = format!(
        "SELECT {COLUMNS} FROM oauth_grants g WHERE g.user_id = $1 AND g.inserted_at > $2 AND g.inserted_at <= $3
         ORDER BY g.last_used_at DESC, g.id DESC"
    );
    let list = query::<U::Database>(AssertSqlSafe(list)).bind(user.clone());
    let rows = list.bind_window(given).fetch_all(conn).await?;
    Ok(readable(&rows, "sigra_id", grant_row::<U>))
}

/// Returns how many grants a user has given after a time. The user's row must be locked, or another one could be
/// inserted at the same moment.
pub(crate) async fn count<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, after: Time) -> sqlx::Result<i64> {
    const COUNT: &str = "SELECT count(*) AS given FROM oauth_grants WHERE user_id = $1 AND inserted_at > $2";
    query::<U::Database>(COUNT).bind(user.clone()).bind(after).fetch_one(conn).await?.value("given")
}

fn grant_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<GrantRow<U::Id>> {
    Ok(GrantRow {
        id: row.value("sigra_id")?,
        user: row.value("sigra_user_id")?,
        client: row.value("sigra_client_id")?,
        client_name: row.value("sigra_client_name")?,
        permissions: row.value("sigra_permissions")?,
        resource: row.value("sigra_resource")?,
        mfa_verified: row.value("sigra_mfa_verified")?,
        refresh_token: row.hash("sigra_refresh_token")?,
        salt: row.value("sigra_salt")?,
        previous_token: row.optional_hash("sigra_previous_token")?,
        superseded_at: row.optional_time("sigra_superseded_at")?,
        ip: row.value("sigra_ip")?,
        user_agent: row.value("sigra_user_agent")?,
        last_used_at: row.time("sigra_last_used_at")?,
        inserted_at: row.time("sigra_inserted_at")?,
    })
}

/// Replaces the refresh token of a grant. Returns whether it was still the current one.
pub(crate) async fn rotate<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    rotation: Rotation<'_>,
) -> sqlx::Result<bool> {
    const ROTATE: &str = "UPDATE oauth_grants
        SET refresh_token = $3, salt = $4, previous_token = refresh_token, superseded_at = $5, last_used_at = $5
        WHERE id = $1 AND refresh_token = $2";
    let rotate = query::<U::Database>(ROTATE).bind(id).bind(rotation.from.as_bytes()).bind(rotation.to.as_bytes());
    Ok(rotate.bind(rotation.salt).bind(Time(rotation.now)).execute(conn).await? == 1)
}

/// Inserts an access token of a grant, and deletes the grant's oldest beyond the maximum.
pub(crate) async fn insert_token<U: AuthUser>(
    conn: &mut Connection<U>,
    grant: Uuid,
    new: &NewAccessToken<'_>,
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO oauth_tokens (token, grant_id, permissions, expires_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5)";
    let forget = format!(
        "DELETE FROM oauth_tokens WHERE grant_id = $1 AND token NOT IN (
             SELECT token FROM oauth_tokens WHERE grant_id = $1 ORDER BY inserted_at DESC, token LIMIT {MAX_TOKENS})"
    );
    let insert = query::<U::Database>(INSERT).bind(new.token.as_bytes()).bind(grant).bind(new.permissions);
    insert.bind(Time(new.expires_at)).bind(Time(new.now)).execute(&mut *conn).await?;
    query::<U::Database>(AssertSqlSafe(forget)).bind(grant).execute(conn).await.map(drop)
}

/// Records that a grant is in use, and from where, unless another process has since `not_since`.
pub(crate) async fn touch<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    now: Time,
    ip: Option<&str>,
    not_since: Time,
) -> sqlx::Result<()> {
    const TOUCH: &str = "UPDATE oauth_grants SET last_used_at = $2, ip = coalesce($3, ip)
        WHERE id = $1 AND last_used_at <= $4";
    query::<U::Database>(TOUCH).bind(id).bind(now).bind(ip).bind(not_since).execute(conn).await.map(drop)
}

/// Deletes a grant with its tokens. Returns whether it existed.
pub(crate) async fn delete<U: AuthUser>(conn: &mut Connection<U>, id: Uuid) -> sqlx::Result<bool> {
    let delete = query::<U::Database>("DELETE FROM oauth_grants WHERE id = $1");
    Ok(delete.bind(id).execute(conn).await? == 1)
}

/// Deletes a grant of this user, with its tokens. Returns the name of its client, if there was one.
pub(crate) async fn delete_of_user<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
) -> sqlx::Result<Option<String>> {
    const DELETE: &str = "DELETE FROM oauth_grants WHERE id = $1 AND user_id = $2 RETURNING client_name";
    let row = query::<U::Database>(DELETE).bind(id).bind(user.clone()).fetch_optional(conn).await?;
    row.map(|row| row.value("client_name")).transpose()
}

/// Deletes the grant of a user and a client that was not used for the longest time, with its tokens. Returns its ID.
pub(crate) async fn delete_least_recently_used<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    client: &str,
) -> sqlx::Result<Option<Uuid>> {
    const DELETE: &str = "DELETE FROM oauth_grants WHERE id = (
        SELECT id FROM oauth_grants WHERE user_id = $1 AND client_id = $2 ORDER BY last_used_at, id LIMIT 1)
        RETURNING id";
    let row = query::<U::Database>(DELETE).bind(user.clone()).bind(client).fetch_optional(conn).await?;
    row.map(|row| row.value("id")).transpose()
}

/// Deletes the grants of a user with their tokens. Returns how many there were.
pub(crate) async fn delete_all<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<u64> {
    query::<U::Database>("DELETE FROM oauth_grants WHERE user_id = $1").bind(user.clone()).execute(conn).await
}

/// Deletes an access token.
pub(crate) async fn delete_token<U: AuthUser>(conn: &mut Connection<U>, token: TokenHash) -> sqlx::Result<()> {
    let delete = query::<U::Database>("DELETE FROM oauth_tokens WHERE token = $1").bind(token.as_bytes());
    delete.execute(conn).await.map(drop)
}

/// Deletes a batch of grants that were given before a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "oauth_grants", "id", "inserted_at <= $1", expired).await
}

/// Deletes a batch of access tokens that expired before a time.
pub(crate) async fn purge_tokens<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "oauth_tokens", "token", "expires_at <= $1", expired).await
}
