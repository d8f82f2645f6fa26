//! Browsers of a user: those they have logged in with, and those that are trusted without a second factor. Each is a row
//! of `users_tokens`, and the browser holds its token.

use std::net::IpAddr;

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
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

/// How many browsers of a kind a user has at most. The one that they have not used for longest is forgotten first.
const MOST_BROWSERS: i64 = 16;

/// What a browser is to a user: the context of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrowserKind {
    /// They have logged in with it. It proves nothing.
    Known,
    /// It needs no second factor.
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
    /// The row's id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Id,
    /// The hash of the token that it holds.
    pub token: TokenHash,
    /// The address that it was first used from.
    pub ip: Option<IpAddr>,
    /// Which browser.
    pub user_agent: Option<String>,
    /// Since when.
    pub inserted_at: OffsetDateTime,
    /// Whether its user has shown a second factor in it.
    pub has_shown_second_factor: bool,
    /// Which it was, of a trusted one.
    pub verified_by: Option<FactorKind>,
}

/// A browser to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewBrowser<'a> {
    /// What it is to the user.
    pub kind: BrowserKind,
    /// The hash of the token that it holds.
    pub token: TokenHash,
    /// Which browser, and from where.
    pub client: &'a Client,
    /// When it was used.
    pub seen: Seen,
    /// The second factor that its user has shown.
    pub verified_by: Option<FactorKind>,
    /// The session that it was shown in.
    pub session: Option<SessionId>,
}

/// What is to be noted of a browser that a user has logged in with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When they showed a second factor in it, if they did.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// When.
    pub now: OffsetDateTime,
}

/// The browsers that hold these tokens, were used within a time and can be read, of whichever users. It does the
/// same work whoever is asked about.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    tokens: &[TokenHash],
    used: Window,
) -> sqlx::Result<Vec<Browser<U::Id>>> {
    let find = format!(
        "SELECT * FROM users_tokens
         WHERE context = $2 AND last_used_at > $3 AND last_used_at <= $4 AND token {}",
        U::Database::IN_LIST
    );
    let find = query::<U::Database>(AssertSqlSafe(find)).bind_tokens(tokens).bind(kind.context());
    let rows = find.bind(Time(used.after)).bind(Time(used.until)).fetch_all(conn).await?;
    Ok(readable(&rows, "id", browser::<U>))
}

/// A user's browsers that were used within a time and can be read, the latest first.
pub(crate) async fn list<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    used: Window,
) -> sqlx::Result<Vec<Browser<U::Id>>> {
    const LIST: &str = "SELECT * FROM users_tokens
        WHERE context = $1 AND user_id = $2 AND last_used_at > $3 AND last_used_at <= $4
        ORDER BY last_used_at DESC, id DESC LIMIT $5";
    let list = query::<U::Database>(LIST).bind(kind.context()).bind(user.clone());
    let list = list.bind(Time(used.after)).bind(Time(used.until)).bind(MOST_BROWSERS);
    Ok(readable(&list.fetch_all(conn).await?, "id", browser::<U>))
}

fn browser<U: AuthUser>(row: &Row<U>) -> sqlx::Result<Browser<U::Id>> {
    let token = <[u8; 32]>::try_from(row.value::<&[u8]>("token")?);
    Ok(Browser {
        id: row.value("id")?,
        user: row.value("user_id")?,
        token: token.map_err(|error| sqlx::Error::Decode(error.into()))?.into(),
        ip: row.value::<Option<&str>>("ip")?.and_then(|ip| ip.parse().ok()),
        user_agent: row.value("user_agent")?,
        inserted_at: row.time("inserted_at")?,
        has_shown_second_factor: row.value::<Option<Time>>("mfa_verified_at")?.is_some(),
        verified_by: row.value::<Option<&str>>("mfa_verified_by")?.and_then(FactorKind::from_name),
    })
}

/// Writes a browser, in place of the one that was not used for longest if there are as many as there may be.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    new: &NewBrowser<'_>,
) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO users_tokens
        (id, user_id, context, token, ip, user_agent, mfa_verified_at, mfa_verified_by, session_id,
         last_used_at, issued_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10)";
    const FORGET: &str = "DELETE FROM users_tokens
        WHERE context = $1 AND user_id = $2 AND id NOT IN (
            SELECT id FROM users_tokens WHERE context = $1 AND user_id = $2
            ORDER BY last_used_at DESC, id DESC LIMIT $3)";
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
    let forget = query::<U::Database>(FORGET).bind(new.kind.context()).bind(user.clone()).bind(MOST_BROWSERS);
    forget.execute(conn).await.map(drop)
}

/// Notes that a user has logged in with a browser once more.
pub(crate) async fn touch<U: AuthUser>(conn: &mut Connection<U>, id: Uuid, seen: Seen) -> sqlx::Result<()> {
    const TOUCH: &str = "UPDATE users_tokens
        SET last_used_at = $2, mfa_verified_at = coalesce($3, mfa_verified_at) WHERE id = $1";
    let touch = query::<U::Database>(TOUCH).bind(id).bind(Time(seen.now)).bind(seen.mfa_verified_at.map(Time));
    touch.execute(conn).await.map(drop)
}

/// Notes the session that was opened in a browser.
pub(crate) async fn note_session<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    session: SessionId,
) -> sqlx::Result<()> {
    let note = query::<U::Database>("UPDATE users_tokens SET session_id = $2 WHERE id = $1");
    note.bind(id).bind(session).execute(conn).await.map(drop)
}

/// Deletes browsers of a user: one, or all. Gives their number.
pub(crate) async fn delete<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    id: Option<Uuid>,
) -> sqlx::Result<u64> {
    const DELETE: &str = "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND id = coalesce($3, id)";
    query::<U::Database>(DELETE).bind(kind.context()).bind(user.clone()).bind(id).execute(conn).await
}

/// Deletes the browser of a session. Gives their number.
pub(crate) async fn delete_that_of_session<U: AuthUser>(
    conn: &mut Connection<U>,
    kind: BrowserKind,
    user: &U::Id,
    session: SessionId,
) -> sqlx::Result<u64> {
    const DELETE: &str = "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND session_id = $3";
    query::<U::Database>(DELETE).bind(kind.context()).bind(user.clone()).bind(session).execute(conn).await
}

/// Deletes the browsers of a user but for that of a session. Gives their number.
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

/// Deletes at most so many known browsers that nobody has used since a time.
pub(crate) async fn purge_known<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    let purge = format!(
        "DELETE FROM users_tokens WHERE id IN (
             SELECT id FROM users_tokens
             WHERE context = 'known_browser' AND inserted_at <= $1 AND last_used_at <= $1
             LIMIT $2 {})",
        DB::SKIP_LOCKED
    );
    query::<DB>(AssertSqlSafe(purge)).bind(Time(expired.before)).bind(expired.limit).execute(conn).await
}

/// Deletes at most so many trusted browsers that were trusted before a time.
pub(crate) async fn purge_trusted<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    let purge = format!(
        "DELETE FROM users_tokens WHERE id IN (
             SELECT id FROM users_tokens WHERE context = 'mfa_trust' AND inserted_at <= $1 LIMIT $2 {})",
        DB::SKIP_LOCKED
    );
    query::<DB>(AssertSqlSafe(purge)).bind(Time(expired.before)).bind(expired.limit).execute(conn).await
}
