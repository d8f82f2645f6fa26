//! Clients that registered themselves: `oauth_clients`.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::read,
};
use crate::model::{
    database::{Dialect, Time},
    window::{Expired, Window},
};

/// How long after its last use a client makes no room: its user is about to give it access.
const IN_USE: Duration = Duration::from_secs(15 * 60);

/// How many clients the access that a user gave keeps from making room: those that were used last. Otherwise, a few
/// accounts could keep all others from registering.
const KEPT_PER_USER: i64 = 2;

/// A row of `oauth_clients`.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredClientRow {
    /// Its name, which proves nothing.
    pub name: String,
    /// Its redirect URIs, with spaces between them.
    pub redirect_uris: String,
    /// When it registered, or a user gave it access.
    pub last_used_at: OffsetDateTime,
    /// When it first registered.
    pub inserted_at: OffsetDateTime,
}

/// Inserts a client, unless another process has already inserted it, if there are fewer than `max`, or others can make
/// room. Returns whether it is there.
pub(crate) async fn insert<DB: Dialect>(
    conn: &mut DB::Connection,
    id: &str,
    client: &RegisteredClientRow,
    max: i64,
) -> sqlx::Result<bool> {
    const INSERT: &str = "INSERT INTO oauth_clients (id, name, redirect_uris, last_used_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
    let count = query::<DB>("SELECT count(*) AS clients FROM oauth_clients").fetch_one(&mut *conn).await?;
    let too_many = count.value::<i64>("clients")? - max + 1;
    if too_many > 0 && make_room::<DB>(&mut *conn, too_many, client.inserted_at).await? < too_many.unsigned_abs() {
        return Ok(false);
    }
    let insert = query::<DB>(INSERT).bind(id).bind(client.name.as_str()).bind(client.redirect_uris.as_str());
    insert.bind(Time(client.last_used_at)).bind(Time(client.inserted_at)).execute(conn).await?;
    Ok(true)
}

/// Deletes clients that aren't in use, and returns how many: first those that no user gave access. Those that another
/// process deletes are left to it.
async fn make_room<DB: Dialect>(conn: &mut DB::Connection, needed: i64, now: OffsetDateTime) -> sqlx::Result<u64> {
    let make_room = format!(
        "DELETE FROM oauth_clients WHERE id IN (
            SELECT c.id FROM oauth_clients c
            WHERE NOT (c.last_used_at > $1 AND c.last_used_at <= $2)
              AND NOT EXISTS (
                SELECT 1 FROM oauth_grants g WHERE g.client_id = c.id AND $3 > (
                  SELECT count(DISTINCT later.client_id) FROM oauth_grants later
                  JOIN oauth_clients other ON other.id = later.client_id
                  WHERE later.user_id = g.user_id AND later.client_id <> g.client_id
                    AND (later.last_used_at, later.id) > (g.last_used_at, g.id)))
            ORDER BY EXISTS (SELECT 1 FROM oauth_grants g WHERE g.client_id = c.id), c.last_used_at, c.id
            LIMIT $4 {skip_locked})",
        skip_locked = DB::SKIP_LOCKED
    );
    let make_room = query::<DB>(AssertSqlSafe(make_room)).bind_window(Window::of(IN_USE, now));
    make_room.bind(KEPT_PER_USER).bind(needed).execute(conn).await
}

/// Returns a client.
pub(crate) async fn find<DB: Dialect>(
    conn: &mut DB::Connection,
    id: &str,
) -> sqlx::Result<Option<RegisteredClientRow>> {
    let row = query::<DB>("SELECT * FROM oauth_clients WHERE id = $1").bind(id).fetch_optional(conn).await?;
    let client = |row: &DB::Row| {
        Ok(RegisteredClientRow {
            name: row.value("name")?,
            redirect_uris: row.value("redirect_uris")?,
            last_used_at: row.time("last_used_at")?,
            inserted_at: row.time("inserted_at")?,
        })
    };
    row.map(|row| read(&row, client)).transpose()
}

/// Records that a client is in use.
pub(crate) async fn touch<DB: Dialect>(conn: &mut DB::Connection, id: &str, now: OffsetDateTime) -> sqlx::Result<()> {
    const TOUCH: &str = "UPDATE oauth_clients SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2";
    query::<DB>(TOUCH).bind(id).bind(Time(now)).execute(conn).await.map(drop)
}

/// Deletes a batch of clients that nobody has used since a time, and that no user gave access.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    const UNUSED: &str =
        "last_used_at <= $1 AND NOT EXISTS (SELECT 1 FROM oauth_grants g WHERE g.client_id = oauth_clients.id)";
    purge_rows::<DB>(conn, "oauth_clients", "id", UNUSED, expired).await
}
