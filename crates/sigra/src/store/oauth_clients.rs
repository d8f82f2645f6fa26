//! Clients that registered themselves: `oauth_clients`.

use time::OffsetDateTime;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::read,
};
use crate::model::{
    database::{Dialect, Time},
    window::Expired,
};

/// A row of `oauth_clients`.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredClientRow {
    /// Its name, which proves nothing.
    pub name: String,
    /// Its redirect URIs, with spaces between them.
    pub redirect_uris: String,
}

/// Inserts a client, if there are fewer than `most`, or an unused one can make room. Returns whether it did.
pub(crate) async fn insert<DB: Dialect>(
    conn: &mut DB::Connection,
    id: &str,
    client: &RegisteredClientRow,
    max: i64,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const MAKE_ROOM: &str = "DELETE FROM oauth_clients WHERE id IN (
        SELECT c.id FROM oauth_clients c
        WHERE NOT EXISTS (SELECT 1 FROM oauth_grants g WHERE g.client_id = c.id)
          AND (SELECT count(*) FROM oauth_clients) >= $1
        ORDER BY c.last_used_at, c.id LIMIT 1)";
    const INSERT: &str = "INSERT INTO oauth_clients (id, name, redirect_uris, last_used_at, inserted_at)
        SELECT $1, $2, $3, $4, $4 WHERE (SELECT count(*) FROM oauth_clients) < $5";
    query::<DB>(MAKE_ROOM).bind(max).execute(&mut *conn).await?;
    let insert = query::<DB>(INSERT).bind(id).bind(client.name.as_str()).bind(client.redirect_uris.as_str());
    Ok(insert.bind(Time(now)).bind(max).execute(conn).await? == 1)
}

/// Returns a client.
pub(crate) async fn find<DB: Dialect>(
    conn: &mut DB::Connection,
    id: &str,
) -> sqlx::Result<Option<RegisteredClientRow>> {
    let row = query::<DB>("SELECT * FROM oauth_clients WHERE id = $1").bind(id).fetch_optional(conn).await?;
    let client = |row: &DB::Row| {
        Ok(RegisteredClientRow { name: row.value("name")?, redirect_uris: row.value("redirect_uris")? })
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
