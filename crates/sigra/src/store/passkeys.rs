//! Passkeys, and the challenges that browsers sign with them: `users_passkeys` and `passkey_ceremonies`.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    purge::purge_rows,
    query::{Columns as _, query},
    row::{read, readable},
    users::{OtherWays, has_another_way_in},
};
use crate::model::{
    database::{Dialect, Time},
    user::{AuthUser, Connection, Row},
    window::{Expired, Window},
};

/// A row of `users_passkeys`.
#[derive(Clone, Debug)]
pub(crate) struct PasskeyRow<Id> {
    /// The ID of the row.
    pub id: Uuid,
    /// The user.
    pub user: Id,
    /// The ID by which authenticators know the passkey.
    pub credential_id: Vec<u8>,
    /// The handle by which authenticators know the user.
    pub user_handle: Uuid,
    /// The public key and its counter, as JSON.
    pub credential: String,
    /// Whether browsers find it without the user's email address, so that it can log in. `None` if the browser that
    /// created it didn't say.
    pub is_discoverable: Option<bool>,
    /// Whether it can't log in, because the account was recovered and it wasn't used as a second factor since.
    pub is_second_factor_only: bool,
    /// The name that the user gave it.
    pub name: String,
    /// When it was last used.
    pub last_used_at: OffsetDateTime,
    /// When it was added.
    pub inserted_at: OffsetDateTime,
}

/// Inserts a passkey. Returns `false` if one with this credential ID exists.
pub(crate) async fn insert<U: AuthUser>(conn: &mut Connection<U>, passkey: &PasskeyRow<U::Id>) -> sqlx::Result<bool> {
    const INSERT: &str = "INSERT INTO users_passkeys
        (id, user_id, credential_id, user_handle, credential, discoverable, name, last_used_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (credential_id) DO NOTHING";
    let inserted = query::<U::Database>(INSERT)
        .bind(passkey.id)
        .bind(passkey.user.clone())
        .bind(passkey.credential_id.as_slice())
        .bind(passkey.user_handle)
        .bind(passkey.credential.as_str())
        .bind(passkey.is_discoverable)
        .bind(passkey.name.as_str())
        .bind(Time(passkey.last_used_at))
        .bind(Time(passkey.inserted_at))
        .execute(conn)
        .await?;
    Ok(inserted == 1)
}

/// Returns the readable passkeys of a user, the oldest first.
pub(crate) async fn list<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<Vec<PasskeyRow<U::Id>>> {
    let list = query::<U::Database>("SELECT * FROM users_passkeys WHERE user_id = $1 ORDER BY inserted_at, id");
    Ok(readable(&list.bind(user.clone()).fetch_all(conn).await?, "id", passkey_row::<U>))
}

/// Returns the passkey with a credential ID.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    credential_id: &[u8],
) -> sqlx::Result<Option<PasskeyRow<U::Id>>> {
    let find = query::<U::Database>("SELECT * FROM users_passkeys WHERE credential_id = $1").bind(credential_id);
    find.fetch_optional(conn).await?.map(|row| read(&row, passkey_row::<U>)).transpose()
}

fn passkey_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<PasskeyRow<U::Id>> {
    Ok(PasskeyRow {
        id: row.value("id")?,
        user: row.value("user_id")?,
        credential_id: row.value("credential_id")?,
        user_handle: row.value("user_handle")?,
        credential: row.value("credential")?,
        is_discoverable: row.value("discoverable")?,
        is_second_factor_only: row.value("second_factor_only")?,
        name: row.value("name")?,
        last_used_at: row.time("last_used_at")?,
        inserted_at: row.time("inserted_at")?,
    })
}

/// Records the use of a passkey, with its new counter. A use as a second factor lets it log in again after a recovery.
/// A login also records that browsers find the passkey. Returns whether it still exists, and can log in if it did.
pub(crate) async fn note_use<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    credential: &str,
    logs_in: bool,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const NOTE: &str = "UPDATE users_passkeys
        SET credential = $2, last_used_at = $3, discoverable = CASE WHEN $4 THEN true ELSE discoverable END,
            second_factor_only = false
        WHERE id = $1 AND NOT ($4 AND second_factor_only)";
    let used = query::<U::Database>(NOTE).bind(id).bind(credential).bind(Time(now)).bind(logs_in);
    Ok(used.execute(conn).await? == 1)
}

/// Renames a user's passkey. Returns whether it is theirs.
pub(crate) async fn rename<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
    name: &str,
) -> sqlx::Result<bool> {
    let rename = query::<U::Database>("UPDATE users_passkeys SET name = $3 WHERE user_id = $1 AND id = $2");
    Ok(rename.bind(user.clone()).bind(id).bind(name).execute(conn).await? == 1)
}

/// Deletes a passkey of a user who has [another way to log in](has_another_way_in). Returns whether it was deleted. The
/// user's row must be locked, or another way could be removed at the same moment.
pub(crate) async fn delete_unless_last<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
    ways: OtherWays<'_>,
) -> sqlx::Result<bool> {
    let delete = format!("DELETE FROM users_passkeys WHERE id = $1 AND user_id = $2 AND {}", has_another_way_in::<U>());
    let delete = query::<U::Database>(AssertSqlSafe(delete)).bind(id).bind(user.clone());
    Ok(delete.bind(ways.links).bind(ways.passkeys).bind(ways.provider_list()).execute(conn).await? == 1)
}

/// Returns whether a passkey is the user's.
pub(crate) async fn is_of<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, id: Uuid) -> sqlx::Result<bool> {
    let find = query::<U::Database>("SELECT 1 FROM users_passkeys WHERE id = $1 AND user_id = $2");
    Ok(find.bind(id).bind(user.clone()).fetch_optional(conn).await?.is_some())
}

/// Deletes the passkeys of a user that were added at this time or later. Returns how many there were.
pub(crate) async fn delete_since<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    since: OffsetDateTime,
) -> sqlx::Result<u64> {
    let delete = query::<U::Database>("DELETE FROM users_passkeys WHERE user_id = $1 AND inserted_at >= $2");
    delete.bind(user.clone()).bind(Time(since)).execute(conn).await
}

/// Keeps a user's passkeys from logging in, until they are used as second factors. The user's row must be locked.
pub(crate) async fn restrict_to_second_factor<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<()> {
    let restrict = query::<U::Database>("UPDATE users_passkeys SET second_factor_only = true WHERE user_id = $1");
    restrict.bind(user.clone()).execute(conn).await.map(drop)
}

/// Inserts a challenge.
pub(crate) async fn insert_ceremony<DB: Dialect>(
    conn: &mut DB::Connection,
    id: Uuid,
    state: &str,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let insert = query::<DB>("INSERT INTO passkey_ceremonies (id, state, inserted_at) VALUES ($1, $2, $3)");
    insert.bind(id).bind(state).bind(Time(now)).execute(conn).await.map(drop)
}

/// Takes out a challenge that was created within a time. Of several concurrent calls, only one gets it.
pub(crate) async fn take_ceremony<DB: Dialect>(
    conn: &mut DB::Connection,
    id: Uuid,
    made: Window,
) -> sqlx::Result<Option<String>> {
    const TAKE: &str = "DELETE FROM passkey_ceremonies
        WHERE id = $1 AND inserted_at > $2 AND inserted_at <= $3 RETURNING state";
    let take = query::<DB>(TAKE).bind(id).bind_window(made);
    take.fetch_optional(conn).await?.map(|row| row.value("state")).transpose()
}

/// Deletes a batch of challenges that were created before a time.
pub(crate) async fn purge_ceremonies<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "passkey_ceremonies", "id", "inserted_at <= $1", expired).await
}
