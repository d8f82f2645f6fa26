//! Authenticator apps: `users_totp`.

use time::OffsetDateTime;

use super::{
    query::{Columns as _, query},
    row::read,
};
use crate::model::{
    database::Time,
    user::{AuthUser, Connection, Row},
};

/// A row of `users_totp`.
#[derive(Clone, Debug)]
pub(crate) struct TotpRow {
    /// The secret, encrypted.
    pub secret: Vec<u8>,
    /// When its last code was used.
    pub last_used_at: OffsetDateTime,
    /// When it was set up.
    pub inserted_at: OffsetDateTime,
}

/// A user and their secret, or why the row can't be read.
pub(crate) type SealedTotp<Id> = sqlx::Result<(Id, Vec<u8>)>;

/// Returns the user's authenticator app.
pub(crate) async fn find<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<Option<TotpRow>> {
    const FIND: &str = "SELECT secret, last_used_at, inserted_at FROM users_totp WHERE user_id = $1";
    let row = query::<U::Database>(FIND).bind(user.clone()).fetch_optional(conn).await?;
    let totp = |row: &Row<U>| {
        Ok(TotpRow {
            secret: row.value("secret")?,
            last_used_at: row.time("last_used_at")?,
            inserted_at: row.time("inserted_at")?,
        })
    };
    row.map(|row| read(&row, totp)).transpose()
}

/// Inserts an authenticator app whose code of this step was used. Returns `false` if the user has one.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    secret: &[u8],
    step: i64,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const INSERT: &str = "INSERT INTO users_totp (user_id, secret, last_step, last_used_at, inserted_at)
        VALUES ($1, $2, $3, $4, $4) ON CONFLICT (user_id) DO NOTHING";
    let insert = query::<U::Database>(INSERT).bind(user.clone()).bind(secret).bind(step).bind(Time(now));
    Ok(insert.execute(conn).await? == 1)
}

/// Records that the code of a step was used. Returns whether the step is later than all before.
pub(crate) async fn use_step<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    step: i64,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const USE: &str = "UPDATE users_totp SET last_step = $2, last_used_at = $3 WHERE user_id = $1 AND last_step < $2";
    let used = query::<U::Database>(USE).bind(user.clone()).bind(step).bind(Time(now)).execute(conn).await?;
    Ok(used == 1)
}

/// Records the same if the step that was used last is after `latest`, which no correct clock reaches. Returns whether
/// it did.
pub(crate) async fn use_step_after_a_wrong_clock<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    step: i64,
    latest: i64,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const USE: &str = "UPDATE users_totp SET last_step = $2, last_used_at = $3 WHERE user_id = $1 AND last_step > $4";
    let used = query::<U::Database>(USE).bind(user.clone()).bind(step).bind(Time(now)).bind(latest);
    Ok(used.execute(conn).await? == 1)
}

/// Deletes an authenticator app. Returns whether there was one.
pub(crate) async fn delete<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<bool> {
    let delete = query::<U::Database>("DELETE FROM users_totp WHERE user_id = $1").bind(user.clone());
    Ok(delete.execute(conn).await? == 1)
}

/// Deletes an authenticator app that was set up at this time or later. Returns whether there was one.
pub(crate) async fn delete_since<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    since: OffsetDateTime,
) -> sqlx::Result<bool> {
    let delete = query::<U::Database>("DELETE FROM users_totp WHERE user_id = $1 AND inserted_at >= $2");
    Ok(delete.bind(user.clone()).bind(Time(since)).execute(conn).await? == 1)
}

/// Returns up to `limit` users and secrets whose secret doesn't start with `unlike`, ordered by user: those that follow
/// `after`, without the first `skip` of them. A row that can't be read is an error only for itself.
pub(crate) async fn find_secrets<U: AuthUser>(
    conn: &mut Connection<U>,
    unlike: &[u8],
    after: Option<&U::Id>,
    skip: i64,
    limit: i64,
) -> sqlx::Result<Vec<SealedTotp<U::Id>>> {
    const FIND: &str = "SELECT user_id, secret FROM users_totp
        WHERE substr(secret, 1, length($1)) <> $1 AND ($3 IS NULL OR user_id > $3)
        ORDER BY user_id LIMIT $2 OFFSET $4";
    let find = query::<U::Database>(FIND).bind(unlike).bind(limit).bind(after.cloned()).bind(skip);
    let rows = find.fetch_all(conn).await?;
    let secret = |row: &Row<U>| Ok((row.value("user_id")?, row.value("secret")?));
    Ok(rows.iter().map(|row| read(row, secret)).collect())
}

/// Replaces a secret with another.
pub(crate) async fn replace_secret<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    old: &[u8],
    new: &[u8],
) -> sqlx::Result<()> {
    let replace = query::<U::Database>("UPDATE users_totp SET secret = $3 WHERE user_id = $1 AND secret = $2");
    replace.bind(user.clone()).bind(old).bind(new).execute(conn).await.map(drop)
}
