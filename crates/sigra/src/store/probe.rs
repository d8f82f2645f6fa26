//! The write that the health check makes.

use super::query::query;
use crate::model::database::Dialect;

/// The size of a probe's write, in bytes: more than any request writes.
const SIZE: usize = 64 * 1024;

/// Writes more than any request and deletes it again, to check that the database has room and accepts writes.
pub(crate) async fn probe<DB: Dialect>(conn: &mut DB::Connection) -> sqlx::Result<()> {
    // Any process can delete the row, and none depends on it.
    const WRITE: &str = "INSERT INTO write_probes (id, filler) VALUES (1, $1)
        ON CONFLICT (id) DO UPDATE SET filler = excluded.filler";
    query::<DB>(WRITE).bind(vec![0_u8; SIZE]).execute(conn).await?;
    query::<DB>("DELETE FROM write_probes WHERE id = 1").execute(conn).await.map(drop)
}
