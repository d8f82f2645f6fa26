//! Programs that wait until a user enters a code elsewhere: `oauth_device_codes`.

use time::OffsetDateTime;

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

/// A program to insert that waits.
#[derive(Clone, Debug)]
pub(crate) struct NewDeviceCode<'a> {
    /// The hash of the program's code.
    pub code: TokenHash,
    /// The keyed hash of the user's code.
    pub user_code: [u8; 32],
    /// The ID of the client.
    pub client: &'a str,
    /// The names of the permissions, with spaces between them.
    pub permissions: &'a str,
    /// Where the tokens will be valid.
    pub resource: &'a str,
    /// How often the program can ask, in seconds.
    pub poll_interval: i32,
    /// The IP address of the program.
    pub ip: Option<String>,
    /// The user agent of the program.
    pub user_agent: Option<&'a str>,
    /// When it began to wait.
    pub now: OffsetDateTime,
}

/// A row of `oauth_device_codes`.
#[derive(Clone, Debug)]
pub(crate) struct DeviceCodeRow<Id> {
    /// The hash of the program's code.
    pub code: TokenHash,
    /// The ID of the client.
    pub client: String,
    /// The names of the permissions, with spaces between them.
    pub permissions: String,
    /// Where the tokens will be valid.
    pub resource: String,
    /// The user who entered the code.
    pub user: Option<Id>,
    /// The session in which they did.
    pub session: Option<SessionId>,
    /// What they decided: `approved`, `denied`, or nothing yet.
    pub decision: Option<String>,
    /// How often the program can ask, in seconds.
    pub poll_interval: i32,
    /// When it last asked.
    pub polled_at: Option<OffsetDateTime>,
    /// The IP address of the program.
    pub ip: Option<String>,
    /// The user agent of the program.
    pub user_agent: Option<String>,
    /// When it began to wait.
    pub inserted_at: OffsetDateTime,
}

/// Inserts a program that waits. Returns `false` if another one has the same user code.
pub(crate) async fn insert<DB: Dialect>(conn: &mut DB::Connection, new: &NewDeviceCode<'_>) -> sqlx::Result<bool> {
    const INSERT: &str = "INSERT INTO oauth_device_codes
        (code, user_code, client_id, permissions, resource, poll_interval, ip, user_agent, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (user_code) DO NOTHING";
    let inserted = query::<DB>(INSERT)
        .bind(new.code.as_bytes())
        .bind(new.user_code.as_slice())
        .bind(new.client)
        .bind(new.permissions)
        .bind(new.resource)
        .bind(new.poll_interval)
        .bind(new.ip.as_deref())
        .bind(new.user_agent)
        .bind(Time(new.now))
        .execute(conn)
        .await?;
    Ok(inserted == 1)
}

/// Returns the program with a code.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    code: TokenHash,
) -> sqlx::Result<Option<DeviceCodeRow<U::Id>>> {
    let find = query::<U::Database>("SELECT * FROM oauth_device_codes WHERE code = $1").bind(code.as_bytes());
    find.fetch_optional(conn).await?.map(|row| read(&row, device_code_row::<U>)).transpose()
}

/// Notes who entered a user code, and in which session, if nobody has decided yet. Returns the program, if it began to
/// wait within a time.
pub(crate) async fn enter<U: AuthUser>(
    conn: &mut Connection<U>,
    user_code: &[u8; 32],
    user: &U::Id,
    session: SessionId,
    begun: Window,
) -> sqlx::Result<Option<DeviceCodeRow<U::Id>>> {
    const ENTER: &str = "UPDATE oauth_device_codes SET user_id = $2, session_id = $3
        WHERE user_code = $1 AND decision IS NULL AND inserted_at > $4 AND inserted_at <= $5 RETURNING *";
    let enter = query::<U::Database>(ENTER).bind(user_code.as_slice()).bind(user.clone()).bind(session);
    let row = enter.bind_window(begun).fetch_optional(conn).await?;
    row.map(|row| read(&row, device_code_row::<U>)).transpose()
}

/// Notes what a user decided about a program whose code they entered in this session. Returns the program: of several
/// concurrent calls, only one gets it.
pub(crate) async fn decide<U: AuthUser>(
    conn: &mut Connection<U>,
    user_code: &[u8; 32],
    user: &U::Id,
    session: SessionId,
    decision: &str,
    begun: Window,
) -> sqlx::Result<Option<DeviceCodeRow<U::Id>>> {
    const DECIDE: &str = "UPDATE oauth_device_codes SET decision = $4
        WHERE user_code = $1 AND user_id = $2 AND session_id = $3 AND decision IS NULL
          AND inserted_at > $5 AND inserted_at <= $6 RETURNING *";
    let decide = query::<U::Database>(DECIDE).bind(user_code.as_slice()).bind(user.clone()).bind(session);
    let decide = decide.bind(decision).bind_window(begun);
    decide.fetch_optional(conn).await?.map(|row| read(&row, device_code_row::<U>)).transpose()
}

/// Notes that a program asked, and how often it can ask from now on. Returns whether no other request did so since the
/// row was read.
pub(crate) async fn poll<U: AuthUser>(
    conn: &mut Connection<U>,
    row: &DeviceCodeRow<U::Id>,
    poll_interval: i32,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const POLL: &str = "UPDATE oauth_device_codes SET polled_at = $2, poll_interval = $3
        WHERE code = $1 AND polled_at IS NOT DISTINCT FROM $4";
    let poll = query::<U::Database>(POLL).bind(row.code.as_bytes()).bind(Time(now)).bind(poll_interval);
    Ok(poll.bind(row.polled_at.map(Time)).execute(conn).await? == 1)
}

/// Deletes a program that waits. Returns whether it existed: of several concurrent calls, only one returns `true`.
pub(crate) async fn delete<U: AuthUser>(conn: &mut Connection<U>, code: TokenHash) -> sqlx::Result<bool> {
    let delete = query::<U::Database>("DELETE FROM oauth_device_codes WHERE code = $1").bind(code.as_bytes());
    Ok(delete.execute(conn).await? == 1)
}

/// Deletes the programs whose code a user entered.
pub(crate) async fn delete_all<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<()> {
    let delete = query::<U::Database>("DELETE FROM oauth_device_codes WHERE user_id = $1").bind(user.clone());
    delete.execute(conn).await.map(drop)
}

fn device_code_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<DeviceCodeRow<U::Id>> {
    Ok(DeviceCodeRow {
        code: row.hash("code")?,
        client: row.value("client_id")?,
        permissions: row.value("permissions")?,
        resource: row.value("resource")?,
        user: row.value("user_id")?,
        session: row.value("session_id")?,
        decision: row.value("decision")?,
        poll_interval: row.value("poll_interval")?,
        polled_at: row.optional_time("polled_at")?,
        ip: row.value("ip")?,
        user_agent: row.value("user_agent")?,
        inserted_at: row.time("inserted_at")?,
    })
}

/// Deletes a batch of codes that were issued before a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "oauth_device_codes", "code", "inserted_at <= $1", expired).await
}
