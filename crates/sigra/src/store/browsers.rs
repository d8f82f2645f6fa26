//! Known and trusted browsers. Each is a row of `users_tokens`, and the browser holds its token.

use std::net::IpAddr;

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::readable,
};
use crate::{
    base::token::TokenHash,
    model::{
        client::Client,
        database::{Dialect, Time},
        second_factor::FactorKind,
        session::SessionId,
        user::{AuthUser, Connection, Row},
        window::{Expired, Window},
    },
};

/// The maximum number of browsers of a kind for each user. The one that they have not used for longest is deleted
/// first.
const MAX_BROWSERS: i64 = 16;

/// The columns of a [`Browser`], by name, so that the database prepares the statements once.
const COLUMNS: &str = "id, user_id, token, ip, user_agent, inserted_at, mfa_verified_at, mfa_verified_by";

/// The kind of a browser: the context of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrowserKind {
    /// A browser that the user has logged in with. It proves nothing.
    Known,
    /// A browser that skips the second factor.
    Trusted,
}

impl BrowserKind {
    /// The value of the column `context`.
    fn context(self) -> &'static str {
        match self {
            Self::Known => "known_browser",
            Self::Trusted => "mfa_trust",
        }
    }
}

/// A browser of a user.
#[derive(Clone, Debug)]
pub(crate) struct Browser<Id> {
    /// The ID of the row.
    pub id: Uuid,
    /// The user.
    pub user: Id,
    /// The hash of the token that the browser holds.
    pub token: TokenHash,
    /// The IP address that it was first used from.
    pub ip: Option<IpAddr>,
    /// The browser's `User-Agent` header.
    pub user_agent: Option<String>,
    /// When the row was written.
    pub inserted_at: OffsetDateTime,
    /// Whether the user has presented a second factor in it.
    pub has_shown_second_factor: bool,
    /// The second factor, for a trusted browser.
    pub verified_by: Option<FactorKind>,
}

/// A browser to insert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewBrowser<'a> {
    /// The kind.
    pub kind: BrowserKind,
    /// The hash of the token that the browser holds.
    pub token: TokenHash,
    /// The client, with its IP address and `User-Agent` header.
    pub client: &'a Client,
    /// When it was used.
    pub seen: Seen,
    /// The second factor that the user presented.
    pub verified_by: Option<FactorKind>,
    /// The session in which they presented it.
    pub session: Option<SessionId>,
}

/// What a login updates in a browser's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When the user presented a second factor in it, if they did.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// When the browser was used.
    pub now: OffsetDateTime,
}

/// Returns the readable browsers, of any user, that hold these tokens and were used within a time. The work doesn't
/// depend on the user.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    tokens: &[TokenHash],
    used: Window,
) -> sqlx::Result<Vec<Browser<U::Id>>> {
    let find = format!(
        "SELECT {COLUMNS} FROM users_tokens
         WHERE context = $2 AND last_used_at > $3 AND last_used_at <= $4 AND token {}",
        U::Database::IN_LIST
    );
    let find = query::<U::Database>(AssertSqlSafe(find)).bind_tokens(tokens).bind(kind.context());
    let rows = find.bind_window(used).fetch_all(conn).await?;
    Ok(readable(&rows, "id", browser::<U>))
}

/// Returns a user's readable browsers that were used within a time, the latest first.
pub(crate) async fn list<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    used: Window,
) -> sqlx::Result<Vec<Browser<U::Id>>> {
    let list = format!(
        "SELECT {COLUMNS} FROM users_tokens
         WHERE context = $1 AND user_id = $2 AND last_used_at > $3 AND last_used_at <= $4
         ORDER BY last_used_at DESC, id DESC LIMIT {MAX_BROWSERS}"
    );
    let list = query::<U::Database>(AssertSqlSafe(list)).bind(kind.context()).bind(user.clone());
    Ok(readable(&list.bind_window(used).fetch_all(conn).await?, "id", browser::<U>))
}

fn browser<U: AuthUser>(row: &Row<U>) -> sqlx::Result<Browser<U::Id>> {
    Ok(Browser {
        id: row.value("id")?,
        user: row.value("user_id")?,
        token: row.hash("token")?,
        ip: row.value::<Option<&str>>("ip")?.and_then(|ip| ip.parse().ok()),
        user_agent: row.value("user_agent")?,
        inserted_at: row.time("inserted_at")?,
        has_shown_second_factor: row.value::<Option<Time>>("mfa_verified_at")?.is_some(),
        verified_by: row.value::<Option<&str>>("mfa_verified_by")?.and_then(FactorKind::from_name),
    })
}

/// Inserts a browser. At the maximum, it replaces the one that was not used for longest.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    new: &NewBrowser<'_>,
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO users_tokens
        (id, user_id, context, token, ip, user_agent, mfa_verified_at, mfa_verified_by, session_id,
         last_used_at, issued_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10)";
    let forget = format!(
        "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND id NOT IN (
             SELECT id FROM users_tokens WHERE context = $1 AND user_id = $2
             ORDER BY last_used_at DESC, id DESC LIMIT {MAX_BROWSERS})"
    );
    query::<U::Database>(INSERT)
        .bind(Uuid::now_v7())
        .bind(user.clone())
        .bind(new.kind.context())
        .bind(new.token.as_bytes())
        .bind(new.client.ip.map(|ip| ip.to_string()))
        .bind(new.client.user_agent.as_deref())
        .bind(new.seen.mfa_verified_at.map(Time))
        .bind(new.verified_by.map(FactorKind::name))
        .bind(new.session)
        .bind(Time(new.seen.now))
        .execute(conn)
        .await?;
    let forget = query::<U::Database>(AssertSqlSafe(forget)).bind(new.kind.context()).bind(user.clone());
    forget.execute(conn).await.map(drop)
}

/// Records that a user has logged in again with the browser that holds one of these tokens and was used within a time.
/// Returns the ID of its row, or `None` if there is none.
pub(crate) async fn touch<U: AuthUser>(
    conn: &mut Connection<U>,
    (kind, user): (BrowserKind, &U::Id),
    tokens: &[TokenHash],
    used: Window,
    seen: Seen,
) -> sqlx::Result<Option<Uuid>> {
    let touch = format!(
        "UPDATE users_tokens SET last_used_at = $6, mfa_verified_at = coalesce($7, mfa_verified_at)
         WHERE context = $2 AND last_used_at > $3 AND last_used_at <= $4 AND user_id = $5 AND token {}
         RETURNING id",
        U::Database::IN_LIST
    );
    let touch = query::<U::Database>(AssertSqlSafe(touch)).bind_tokens(tokens).bind(kind.context()).bind_window(used);
    let touch = touch.bind(user.clone()).bind(Time(seen.now)).bind(seen.mfa_verified_at.map(Time));
    let touched = touch.fetch_all(conn).await?;
    Ok(readable(&touched, "id", |row| row.value("id")).into_iter().next())
}

/// Records the session that was opened in a browser.
pub(crate) async fn note_session<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    session: SessionId,
) -> sqlx::Result<()> {
    let note = query::<U::Database>("UPDATE users_tokens SET session_id = $2 WHERE id = $1");
    note.bind(id).bind(session).execute(conn).await.map(drop)
}

/// Deletes one browser of a user, or all. Returns how many there were.
pub(crate) async fn delete<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    id: Option<Uuid>,
) -> sqlx::Result<u64> {
    const DELETE: &str = "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND id = coalesce($3, id)";
    query::<U::Database>(DELETE).bind(kind.context()).bind(user.clone()).bind(id).execute(conn).await
}

/// Deletes the browsers of a session. Returns how many there were.
pub(crate) async fn delete_that_of_session<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    session: SessionId,
) -> sqlx::Result<u64> {
    const DELETE: &str = "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND session_id = $3";
    query::<U::Database>(DELETE).bind(kind.context()).bind(user.clone()).bind(session).execute(conn).await
}

/// Deletes the browsers of a user except those of a session. Returns how many there were.
pub(crate) async fn delete_all_but_that_of_session<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    session: SessionId,
) -> sqlx::Result<u64> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE context = $1 AND user_id = $2 AND session_id IS DISTINCT FROM $3";
    query::<U::Database>(DELETE).bind(kind.context()).bind(user.clone()).bind(session).execute(conn).await
}

/// Deletes a batch of known browsers that nobody has used since a time.
pub(crate) async fn purge_known<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(
        conn,
        "users_tokens",
        "id",
        "context = 'known_browser' AND inserted_at <= $1 AND last_used_at <= $1",
        expired,
    )
    .await
}

/// Deletes a batch of trusted browsers that were trusted before a time.
pub(crate) async fn purge_trusted<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "users_tokens", "id", "context = 'mfa_trust' AND inserted_at <= $1", expired).await
}
