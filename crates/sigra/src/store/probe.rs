use super::query::query;
use crate::model::database::Dialect;

/// Bytes that are written to see whether there is room: more than any request writes.
const SIZE: usize = 64 * 1024;

/// Writes as much as a request may, and deletes it again: whether there is room, and the database takes it.
pub(crate) async fn probe<DB: Dialect>(conn: &mut DB::Connection) -> sqlx::Result<()> {
    // Whoever is first deletes it: no process depends on it.
    const WRITE: &str = "INSERT INTO write_probes (id, filler) VALUES (1, $1)
        ON CONFLICT (id) DO UPDATE SET filler = excluded.filler";
    query::<DB>(WRITE).bind(vec![0_u8; SIZE]).execute(conn).await?;
    query::<DB>("DELETE FROM write_probes WHERE id = 1").execute(conn).await.map(drop)
}
