//! Visits of browsers to providers, and identities that wait for a browser's next step: `oauth_flows`.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::read,
};
use crate::{
    base::token::TokenHash,
    model::{
        database::{Dialect, Time},
        session::SessionId,
        user::{AuthUser, Connection, Row},
        window::{Expired, Window},
    },
};

/// The maximum number of flows of a browser. The oldest is deleted first.
const MAX: i64 = 8;

/// The purpose of an identity that waits.
pub(crate) const PENDING: &str = "pending";

/// A flow to insert.
#[derive(Clone, Debug)]
pub(crate) struct NewFlow<'a, Id> {
    /// The hash of the state.
    pub state: TokenHash,
    /// The hash of the browser's cookie.
    pub browser: TokenHash,
    /// The name of the provider.
    pub provider: &'a str,
    /// What the flow is for.
    pub purpose: &'a str,
    /// The user, and the session in which they began.
    pub acting: Option<(Id, SessionId)>,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// Its secrets, encrypted.
    pub sealed: &'a [u8],
    /// When it began.
    pub now: OffsetDateTime,
}

/// A flow that was taken out.
#[derive(Clone, Debug)]
pub(crate) struct FlowRow<Id> {
    /// The hash of the state.
    pub state: TokenHash,
    /// What the flow is for.
    pub purpose: String,
    /// The user who began it.
    pub user: Option<Id>,
    /// The session in which they began.
    pub session: Option<Uuid>,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// Its secrets, encrypted.
    pub sealed: Vec<u8>,
    /// When it began.
    pub inserted_at: OffsetDateTime,
}

/// Inserts a flow, and deletes the browser's oldest beyond the maximum.
pub(crate) async fn insert<U: AuthUser>(conn: &mut Connection<U>, new: &NewFlow<'_, U::Id>) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO oauth_flows
        (state, browser, provider, purpose, user_id, session_id, remembered, sealed, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let forget = format!(
        "DELETE FROM oauth_flows WHERE browser = $1 AND state NOT IN (
             SELECT state FROM oauth_flows WHERE browser = $1 ORDER BY inserted_at DESC, state LIMIT {MAX})"
    );
    query::<U::Database>(INSERT)
        .bind(new.state.as_bytes())
        .bind(new.browser.as_bytes())
        .bind(new.provider)
        .bind(new.purpose)
        .bind(new.acting.as_ref().map(|(user, _)| user.clone()))
        .bind(new.acting.as_ref().map(|(_, session)| *session))
        .bind(new.remembered)
        .bind(new.sealed)
        .bind(Time(new.now))
        .execute(&mut *conn)
        .await?;
    query::<U::Database>(AssertSqlSafe(forget)).bind(new.browser.as_bytes()).execute(conn).await.map(drop)
}

/// Takes out a flow of this browser and this provider that began within a time. Of several concurrent calls, only one
/// gets it. A call with anything else leaves it.
pub(crate) async fn take<U: AuthUser>(
    conn: &mut Connection<U>,
    state: TokenHash,
    browser: TokenHash,
    provider: &str,
    begun: Window,
) -> sqlx::Result<Option<FlowRow<U::Id>>> {
    const TAKE: &str = "DELETE FROM oauth_flows
        WHERE state = $1 AND browser = $2 AND provider = $3 AND purpose <> $4
          AND inserted_at > $5 AND inserted_at <= $6 RETURNING *";
    let take = query::<U::Database>(TAKE).bind(state.as_bytes()).bind(browser.as_bytes()).bind(provider);
    let row = take.bind(PENDING).bind_window(begun).fetch_optional(conn).await?;
    row.map(|row| read(&row, flow_row::<U>)).transpose()
}

/// Returns the identity that waits for a browser since a time, encrypted.
pub(crate) async fn find_pending<U: AuthUser>(
    conn: &mut Connection<U>,
    browser: TokenHash,
    since: Window,
) -> sqlx::Result<Option<FlowRow<U::Id>>> {
    const FIND: &str = "SELECT * FROM oauth_flows
        WHERE browser = $1 AND purpose = $2 AND inserted_at > $3 AND inserted_at <= $4
        ORDER BY inserted_at DESC, state LIMIT 1";
    let find = query::<U::Database>(FIND).bind(browser.as_bytes()).bind(PENDING);
    let row = find.bind_window(since).fetch_optional(conn).await?;
    row.map(|row| read(&row, flow_row::<U>)).transpose()
}

/// Deletes the identities that wait for a browser, all or the one with this state. Returns how many there were.
pub(crate) async fn delete_pending<U: AuthUser>(
    conn: &mut Connection<U>,
    browser: TokenHash,
    state: Option<TokenHash>,
) -> sqlx::Result<u64> {
    const DELETE: &str = "DELETE FROM oauth_flows WHERE browser = $1 AND purpose = $2 AND state = coalesce($3, state)";
    let delete = query::<U::Database>(DELETE).bind(browser.as_bytes()).bind(PENDING);
    delete.bind(state.as_ref().map(TokenHash::as_bytes)).execute(conn).await
}

fn flow_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<FlowRow<U::Id>> {
    Ok(FlowRow {
        state: row.hash("state")?,
        purpose: row.value("purpose")?,
        user: row.value("user_id")?,
        session: row.value("session_id")?,
        remembered: row.value("remembered")?,
        sealed: row.value("sealed")?,
        inserted_at: row.time("inserted_at")?,
    })
}

/// Deletes a batch of flows that began before a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "oauth_flows", "state", "inserted_at <= $1", expired).await
}
