use sqlx::{Encode, FromRow, PgConnection, Postgres, Row, Type, postgres::PgRow};
use time::OffsetDateTime;

use super::{Found, NewSession, SessionId, SessionRow, Standing, Store, sql::impl_store};
use crate::{HashedPassword, User, token::TokenHash};

impl_store! {
    database: Postgres, connection: PgConnection, row: PgRow,
    begin: "BEGIN",
    time: itself, itself, OffsetDateTime,
    ids: to_array, "= ANY($1)",
    // A login waits for a change of its user's password that is under way, and then sees it.
    lock: " FOR SHARE OF u", skip_locked: " FOR UPDATE SKIP LOCKED",
}

fn itself(at: OffsetDateTime) -> OffsetDateTime {
    at
}

fn to_array(ids: &[SessionId]) -> Vec<SessionId> {
    ids.to_vec()
}
