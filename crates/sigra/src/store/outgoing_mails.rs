//! Unsent emails, encrypted, for the next process to find: `outgoing_mails`. A process that puts or takes an email
//! holds it: no other process takes it until the hold expires, by the database's clock.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{
    query::{Columns as _, query},
    row::readable,
};
use crate::{base::clock::millis, model::database::Dialect};

/// A stored email.
#[derive(Debug)]
pub(crate) struct KeptMail {
    /// The ID of the row.
    pub id: Uuid,
    /// The content that [`put`] stored.
    pub sealed: Vec<u8>,
    /// How long ago it was stored.
    pub age: Duration,
}

/// Stores an email, and holds it.
pub(crate) async fn put<DB: Dialect>(
    conn: &mut DB::Connection,
    id: Uuid,
    sealed: &[u8],
    hold: Duration,
) -> sqlx::Result<()> {
    let put = format!(
        "INSERT INTO outgoing_mails (id, sealed, held_until, inserted_at) VALUES ($1, $2, {now} + $3, {now})",
        now = DB::NOW_MS
    );
    query::<DB>(AssertSqlSafe(put)).bind(id).bind(sealed).bind(millis(hold)).execute(conn).await.map(drop)
}

/// Extends the hold of emails. Never shortens it.
pub(crate) async fn hold<DB: Dialect>(conn: &mut DB::Connection, ids: &[Uuid], hold: Duration) -> sqlx::Result<()> {
    let update = format!(
        "UPDATE outgoing_mails SET held_until = {now} + $2 WHERE id {in_list} AND held_until < {now} + $2",
        now = DB::NOW_MS,
        in_list = DB::IN_LIST,
    );
    query::<DB>(AssertSqlSafe(update)).bind_ids(ids).bind(millis(hold)).execute(conn).await.map(drop)
}

/// Ends the hold of emails.
pub(crate) async fn release<DB: Dialect>(conn: &mut DB::Connection, ids: &[Uuid]) -> sqlx::Result<()> {
    let update = format!("UPDATE outgoing_mails SET held_until = {} WHERE id {}", DB::NOW_MS, DB::IN_LIST);
    query::<DB>(AssertSqlSafe(update)).bind_ids(ids).execute(conn).await.map(drop)
}

/// Ends every hold that lasts longer than a duration.
pub(crate) async fn release_those_held_for_longer_than<DB: Dialect>(
    conn: &mut DB::Connection,
    hold: Duration,
) -> sqlx::Result<()> {
    let update =
        format!("UPDATE outgoing_mails SET held_until = {now} WHERE held_until > {now} + $1", now = DB::NOW_MS);
    query::<DB>(AssertSqlSafe(update)).bind(millis(hold)).execute(conn).await.map(drop)
}

/// Takes up to `limit` emails that nobody holds, the oldest first, and returns the readable ones.
pub(crate) async fn take<DB: Dialect>(
    conn: &mut DB::Connection,
    hold: Duration,
    limit: i64,
) -> sqlx::Result<Vec<KeptMail>> {
    // Read first, to avoid a write that finds nothing.
    if count_free::<DB>(conn).await? == 0 {
        return Ok(Vec::new());
    }
    let take = format!(
        "UPDATE outgoing_mails SET held_until = {now} + $1
         WHERE id IN (SELECT id FROM outgoing_mails WHERE held_until <= {now} ORDER BY id LIMIT $2 {skip_locked})
         RETURNING id, sealed, inserted_at, {now} AS now",
        now = DB::NOW_MS,
        skip_locked = DB::SKIP_LOCKED,
    );
    let rows = query::<DB>(AssertSqlSafe(take)).bind(millis(hold)).bind(limit).fetch_all(conn).await?;
    Ok(readable(&rows, "id", kept::<DB>))
}

fn kept<DB: Dialect>(row: &DB::Row) -> sqlx::Result<KeptMail> {
    // Not subtracted by the database, where one row could overflow and fail all.
    let age = row.value::<i64>("now")?.saturating_sub(row.value("inserted_at")?);
    let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
    Ok(KeptMail { id: row.value("id")?, sealed: row.value("sealed")?, age })
}

async fn count_free<DB: Dialect>(conn: &mut DB::Connection) -> sqlx::Result<i64> {
    let count = format!("SELECT count(*) AS free FROM outgoing_mails WHERE held_until <= {}", DB::NOW_MS);
    query::<DB>(AssertSqlSafe(count)).fetch_one(conn).await?.value("free")
}

/// Deletes an email.
pub(crate) async fn delete<DB: Dialect>(conn: &mut DB::Connection, id: Uuid) -> sqlx::Result<()> {
    query::<DB>("DELETE FROM outgoing_mails WHERE id = $1").bind(id).execute(conn).await.map(drop)
}
