//! Mails that are not sent yet, encrypted, where the next process finds them.

use std::{future::Future, time::Duration};

use uuid::Uuid;

/// A mail as it is kept.
#[derive(Debug)]
pub struct KeptMail {
    /// The row's id.
    pub id: Uuid,
    /// What [`put_mail`](OutgoingMails::put_mail) was given.
    pub sealed: Vec<u8>,
    /// How long it has been there.
    pub age: Duration,
}

/// A database that keeps mails, in `outgoing_mails`. Whoever has put or taken one holds it: nobody else takes it until
/// the time is over, by the database's clock.
pub trait OutgoingMails: sqlx::Database {
    /// Keeps a mail, and holds it.
    fn put_mail(
        conn: &mut Self::Connection,
        id: Uuid,
        sealed: &[u8],
        hold: Duration,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Holds a mail for longer; for no time, to let it go.
    fn hold_mail(
        conn: &mut Self::Connection,
        id: Uuid,
        hold: Duration,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Takes at most so many mails that nobody holds, the oldest first.
    fn take_mails(
        conn: &mut Self::Connection,
        hold: Duration,
        limit: i64,
    ) -> impl Future<Output = sqlx::Result<Vec<KeptMail>>> + Send;

    /// Forgets a mail.
    fn delete_mail(conn: &mut Self::Connection, id: Uuid) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// Implements [`OutgoingMails`]. `clock` is the time now in milliseconds, `skip_locked` leaves rows alone that somebody
/// else is taking.
macro_rules! impl_outgoing_mails {
    (database: $db:ty, connection: $connection:ty, clock: $clock:literal, skip_locked: $skip_locked:literal $(,)?) => {
        impl crate::store::outgoing_mails::OutgoingMails for $db {
            async fn put_mail(
                conn: &mut $connection,
                id: uuid::Uuid,
                sealed: &[u8],
                hold: std::time::Duration,
            ) -> sqlx::Result<()> {
                const PUT: &str = concat!(
                    "INSERT INTO outgoing_mails (id, sealed, held_until, inserted_at) VALUES ($1, $2, ",
                    $clock,
                    " + $3, ",
                    $clock,
                    ")"
                );
                let put = sqlx::query(PUT).bind(id).bind(sealed).bind(crate::store::outgoing_mails::millis(hold));
                put.execute(conn).await.map(drop)
            }

            async fn hold_mail(conn: &mut $connection, id: uuid::Uuid, hold: std::time::Duration) -> sqlx::Result<()> {
                const HOLD: &str = concat!("UPDATE outgoing_mails SET held_until = ", $clock, " + $2 WHERE id = $1");
                let hold = sqlx::query(HOLD).bind(id).bind(crate::store::outgoing_mails::millis(hold));
                hold.execute(conn).await.map(drop)
            }

            async fn take_mails(
                conn: &mut $connection,
                hold: std::time::Duration,
                limit: i64,
            ) -> sqlx::Result<Vec<crate::store::outgoing_mails::KeptMail>> {
                // A look first: what writes is not done for nothing.
                const IS_ANY: &str = concat!("SELECT count(*) FROM outgoing_mails WHERE held_until <= ", $clock);
                const TAKE: &str = concat!(
                    "UPDATE outgoing_mails SET held_until = ",
                    $clock,
                    " + $1 WHERE id IN (SELECT id FROM outgoing_mails WHERE held_until <= ",
                    $clock,
                    " ORDER BY id LIMIT $2",
                    $skip_locked,
                    ") RETURNING id, sealed, ",
                    $clock,
                    " - inserted_at AS age"
                );
                if sqlx::query_scalar::<_, i64>(IS_ANY).fetch_one(&mut *conn).await? == 0 {
                    return Ok(Vec::new());
                }
                let take = sqlx::query(TAKE).bind(crate::store::outgoing_mails::millis(hold)).bind(limit);
                let kept = |row: &<$db as sqlx::Database>::Row| {
                    let age = u64::try_from(row.try_get::<i64, _>("age")?).unwrap_or_default();
                    Ok(crate::store::outgoing_mails::KeptMail {
                        id: row.try_get("id")?,
                        sealed: row.try_get("sealed")?,
                        age: std::time::Duration::from_millis(age),
                    })
                };
                take.fetch_all(conn).await?.iter().map(kept).collect()
            }

            async fn delete_mail(conn: &mut $connection, id: uuid::Uuid) -> sqlx::Result<()> {
                sqlx::query("DELETE FROM outgoing_mails WHERE id = $1").bind(id).execute(conn).await.map(drop)
            }
        }
    };
}

pub(super) use impl_outgoing_mails;

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
