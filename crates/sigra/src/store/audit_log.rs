//! The audit trail: `audit_events`.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::{read, readable},
};
use crate::model::{
    audit::{Audit, AuditEvent},
    client::Client,
    database::{Dialect, Time},
    log_in::LoginMethod,
    user::{AuthUser, Connection, Row},
    window::{Expired, Window},
};

/// Writes an event.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    audit: &Audit<U::Id>,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    const INSERT: &str =
        "INSERT INTO audit_events (id, action, user_id, actor_id, ip, user_agent, metadata, method, inserted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    query::<U::Database>(INSERT)
        .bind(Uuid::now_v7())
        .bind(audit.action.as_ref())
        .bind(audit.user.clone())
        .bind(audit.actor.clone())
        .bind(audit.client.ip.map(|ip| ip.to_string()))
        .bind(audit.client.user_agent.as_deref())
        .bind(audit.metadata.to_string())
        .bind(audit.method.map(LoginMethod::name))
        .bind(Time(now))
        .execute(conn)
        .await
        .map(drop)
}

/// Returns one of the latest readable events of the same account, action and IP address in a window.
pub(crate) async fn find_like<U: AuthUser>(
    conn: &mut Connection<U>,
    audit: &Audit<U::Id>,
    window: Window,
) -> sqlx::Result<Option<AuditEvent<U::Id>>> {
    // PostgreSQL finds no row by an index with IS NOT DISTINCT FROM.
    let of_user = if audit.user.is_some() { "user_id = $5" } else { "user_id IS NULL" };
    // Searches only the latest events, so that a long history takes no longer. Those of a clock that was ahead aren't
    // among them: they would hide all others until then.
    let find = format!(
        "SELECT * FROM (
            SELECT * FROM audit_events WHERE {of_user} AND inserted_at <= $4 ORDER BY id DESC LIMIT 20
        ) latest
        WHERE action = $1 AND ip IS NOT DISTINCT FROM $2 AND inserted_at > $3"
    );
    let mut find = query::<U::Database>(AssertSqlSafe(find))
        .bind(audit.action.as_ref())
        .bind(audit.client.ip.map(|ip| ip.to_string()))
        .bind(Time(window.after))
        .bind(Time(window.until));
    if let Some(user) = &audit.user {
        find = find.bind(user.clone());
    }
    let rows = find.fetch_all(conn).await?;
    Ok(readable(&rows, "id", audit_event::<U>).into_iter().next())
}

/// Writes the metadata of an event.
pub(crate) async fn update_metadata<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    metadata: &Value,
) -> sqlx::Result<()> {
    let update = query::<U::Database>("UPDATE audit_events SET metadata = $2 WHERE id = $1");
    update.bind(id).bind(metadata.to_string()).execute(conn).await.map(drop)
}

/// Returns the readable events of a user's account, the newest first, from before the event `before`.
pub(crate) async fn list<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<AuditEvent<U::Id>>> {
    const LIST: &str = "SELECT * FROM audit_events WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    let mut before = before.unwrap_or(Uuid::max());
    let mut events = Vec::new();
    // An event that can't be read is replaced with the one before it.
    loop {
        let wanted = limit - i64::try_from(events.len()).unwrap_or(limit);
        let list = query::<U::Database>(LIST).bind(user.clone()).bind(before).bind(wanted);
        let rows = list.fetch_all(conn).await?;
        events.extend(readable(&rows, "id", audit_event::<U>));
        let was_all = rows.len() < usize::try_from(wanted).unwrap_or_default();
        match rows.last().map(|last| last.value::<Uuid>("id")) {
            Some(Ok(last)) if !was_all && events.len() < usize::try_from(limit).unwrap_or_default() => before = last,
            _ => return Ok(events),
        }
    }
}

/// Returns when a user last logged in with a method.
pub(crate) async fn last_login<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    method: LoginMethod,
) -> sqlx::Result<Option<OffsetDateTime>> {
    const LAST: &str =
        "SELECT inserted_at FROM audit_events WHERE user_id = $1 AND method = $2 ORDER BY id DESC LIMIT 1";
    let last = query::<U::Database>(LAST).bind(user.clone()).bind(method.name());
    let row = last.fetch_optional(conn).await?;
    row.map(|row| read(&row, |row| row.time("inserted_at"))).transpose()
}

fn audit_event<U: AuthUser>(row: &Row<U>) -> sqlx::Result<AuditEvent<U::Id>> {
    Ok(AuditEvent {
        id: row.value("id")?,
        action: row.value("action")?,
        user: row.value("user_id")?,
        actor: row.value("actor_id")?,
        client: Client {
            ip: row.value::<Option<&str>>("ip")?.and_then(|ip| ip.parse().ok()),
            user_agent: row.value("user_agent")?,
        },
        metadata: serde_json::from_str(row.value("metadata")?).unwrap_or_default(),
        inserted_at: row.time("inserted_at")?,
    })
}

/// Deletes a batch of events from before a time, the oldest first: a user's logins must not go before their registration.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "audit_events", "id", "inserted_at <= $1 ORDER BY inserted_at", expired).await
}
