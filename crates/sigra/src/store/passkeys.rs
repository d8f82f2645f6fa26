//! Passkeys, and the challenges that browsers sign with them.

use std::future::Future;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Expired, Window};
use crate::model::user::AuthUser;

/// A row of `users_passkeys`.
#[derive(Clone, Debug)]
pub struct PasskeyRow<Id> {
    /// The row's id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Id,
    /// What authenticators know it by.
    pub credential_id: Vec<u8>,
    /// What authenticators know its user by.
    pub user_handle: Uuid,
    /// The public key and its counter, as JSON.
    pub credential: String,
    /// What its user calls it.
    pub name: String,
    /// When it was last used.
    pub last_used_at: OffsetDateTime,
    /// When it was added.
    pub inserted_at: OffsetDateTime,
}

/// A database that holds them.
pub trait Passkeys<U: AuthUser>: sqlx::Database {
    /// Writes a passkey. Tells whether there was none with this credential id.
    fn insert_passkey(
        conn: &mut Self::Connection,
        passkey: &PasskeyRow<U::Id>,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// The passkeys of a user that can be read, the first added first.
    fn list_passkeys(
        conn: &mut Self::Connection,
        user: &U::Id,
    ) -> impl Future<Output = sqlx::Result<Vec<PasskeyRow<U::Id>>>> + Send;

    /// The passkey with a credential id.
    fn find_passkey(
        conn: &mut Self::Connection,
        credential_id: &[u8],
    ) -> impl Future<Output = sqlx::Result<Option<PasskeyRow<U::Id>>>> + Send;

    /// Notes that a passkey was used, and what its counter is now. Tells whether it is still there.
    fn use_passkey(
        conn: &mut Self::Connection,
        id: Uuid,
        credential: &str,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Gives a user's passkey another name. Tells whether it is theirs.
    fn rename_passkey(
        conn: &mut Self::Connection,
        user: &U::Id,
        id: Uuid,
        name: &str,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes a user's passkey. Tells whether it was theirs.
    fn delete_passkey(
        conn: &mut Self::Connection,
        user: &U::Id,
        id: Uuid,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes the passkeys of a user that were added at this time or after it. Gives their number.
    fn delete_passkeys_since(
        conn: &mut Self::Connection,
        user: &U::Id,
        since: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Writes a challenge.
    fn insert_ceremony(
        conn: &mut Self::Connection,
        id: Uuid,
        state: &str,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Takes a challenge out that was made within a time. Of several who try at once, one is given it.
    fn take_ceremony(
        conn: &mut Self::Connection,
        id: Uuid,
        made: Window,
    ) -> impl Future<Output = sqlx::Result<Option<String>>> + Send;

    /// Deletes at most so many challenges that were made before a time.
    fn purge_ceremonies(
        conn: &mut Self::Connection,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// Implements [`Passkeys`].
macro_rules! impl_passkeys {
    (
        database: $db:ty, connection: $connection:ty, row: $row:ty,
        time: $to_time:path, $from_time:path, $time:ty, skip_locked: $skip_locked:literal $(,)?
    ) => {
        impl<U> crate::store::passkeys::Passkeys<U> for $db
        where
            U: AuthUser,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            async fn insert_passkey(
                conn: &mut $connection,
                passkey: &crate::store::PasskeyRow<U::Id>,
            ) -> sqlx::Result<bool> {
                const INSERT: &str = "INSERT INTO users_passkeys
                    (id, user_id, credential_id, user_handle, credential, name, last_used_at, inserted_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (credential_id) DO NOTHING";
                let inserted = sqlx::query(INSERT)
                    .bind(passkey.id)
                    .bind(passkey.user.clone())
                    .bind(passkey.credential_id.as_slice())
                    .bind(passkey.user_handle)
                    .bind(passkey.credential.as_str())
                    .bind(passkey.name.as_str())
                    .bind($to_time(passkey.last_used_at))
                    .bind($to_time(passkey.inserted_at))
                    .execute(conn)
                    .await?;
                Ok(inserted.rows_affected() == 1)
            }

            async fn list_passkeys(
                conn: &mut $connection,
                user: &U::Id,
            ) -> sqlx::Result<Vec<crate::store::PasskeyRow<U::Id>>> {
                let rows = sqlx::query("SELECT * FROM users_passkeys WHERE user_id = $1 ORDER BY inserted_at, id");
                Ok(readable(&rows.bind(user.clone()).fetch_all(conn).await?, "id", passkey_row))
            }

            async fn find_passkey(
                conn: &mut $connection,
                credential_id: &[u8],
            ) -> sqlx::Result<Option<crate::store::PasskeyRow<U::Id>>> {
                let found = sqlx::query("SELECT * FROM users_passkeys WHERE credential_id = $1").bind(credential_id);
                found.fetch_optional(conn).await?.map(|row| read(&row, passkey_row)).transpose()
            }

            async fn use_passkey(
                conn: &mut $connection,
                id: uuid::Uuid,
                credential: &str,
                now: OffsetDateTime,
            ) -> sqlx::Result<bool> {
                const USE: &str = "UPDATE users_passkeys SET credential = $2, last_used_at = $3 WHERE id = $1";
                let used = sqlx::query(USE).bind(id).bind(credential).bind($to_time(now)).execute(conn).await?;
                Ok(used.rows_affected() == 1)
            }

            async fn rename_passkey(
                conn: &mut $connection,
                user: &U::Id,
                id: uuid::Uuid,
                name: &str,
            ) -> sqlx::Result<bool> {
                let rename = sqlx::query("UPDATE users_passkeys SET name = $3 WHERE user_id = $1 AND id = $2");
                Ok(rename.bind(user.clone()).bind(id).bind(name).execute(conn).await?.rows_affected() == 1)
            }

            async fn delete_passkey(conn: &mut $connection, user: &U::Id, id: uuid::Uuid) -> sqlx::Result<bool> {
                let delete = sqlx::query("DELETE FROM users_passkeys WHERE user_id = $1 AND id = $2");
                Ok(delete.bind(user.clone()).bind(id).execute(conn).await?.rows_affected() == 1)
            }

            async fn delete_passkeys_since(
                conn: &mut $connection,
                user: &U::Id,
                since: OffsetDateTime,
            ) -> sqlx::Result<u64> {
                let delete = sqlx::query("DELETE FROM users_passkeys WHERE user_id = $1 AND inserted_at >= $2");
                Ok(delete.bind(user.clone()).bind($to_time(since)).execute(conn).await?.rows_affected())
            }

            async fn insert_ceremony(
                conn: &mut $connection,
                id: uuid::Uuid,
                state: &str,
                now: OffsetDateTime,
            ) -> sqlx::Result<()> {
                let insert = sqlx::query("INSERT INTO passkey_ceremonies (id, state, inserted_at) VALUES ($1, $2, $3)");
                insert.bind(id).bind(state).bind($to_time(now)).execute(conn).await.map(drop)
            }

            async fn take_ceremony(
                conn: &mut $connection,
                id: uuid::Uuid,
                made: crate::store::Window,
            ) -> sqlx::Result<Option<String>> {
                const TAKE: &str = "DELETE FROM passkey_ceremonies
                    WHERE id = $1 AND inserted_at > $2 AND inserted_at <= $3 RETURNING state";
                let take = sqlx::query_scalar(TAKE).bind(id).bind($to_time(made.after)).bind($to_time(made.until));
                take.fetch_optional(conn).await
            }

            async fn purge_ceremonies(conn: &mut $connection, expired: crate::store::Expired) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "passkey_ceremonies",
                    "id",
                    "inserted_at",
                    $skip_locked
                )
            }
        }

        fn passkey_row<Id>(row: &$row) -> sqlx::Result<crate::store::PasskeyRow<Id>>
        where
            Id: for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            Ok(crate::store::PasskeyRow {
                id: row.try_get("id")?,
                user: row.try_get("user_id")?,
                credential_id: row.try_get("credential_id")?,
                user_handle: row.try_get("user_handle")?,
                credential: row.try_get("credential")?,
                name: row.try_get("name")?,
                last_used_at: row.try_get::<$time, _>("last_used_at").and_then($from_time)?,
                inserted_at: row.try_get::<$time, _>("inserted_at").and_then($from_time)?,
            })
        }
    };
}

pub(super) use impl_passkeys;
