//! Authenticator apps and backup codes.

use std::future::Future;

use time::OffsetDateTime;

use super::{Expired, SessionId};
use crate::{base::token::TokenHash, model::user::AuthUser};

/// A row of `users_totp`.
#[derive(Clone, Debug)]
pub struct TotpRow {
    /// The secret, encrypted.
    pub secret: Vec<u8>,
    /// When its last code was used.
    pub last_used_at: OffsetDateTime,
    /// When it was set up.
    pub inserted_at: OffsetDateTime,
}

/// Whose secret it is, and the secret; or why the row can't be read.
pub type SealedTotp<Id> = sqlx::Result<(Id, Vec<u8>)>;

/// A database that holds them. Whoever changes a user's factors locks the user's row first.
pub trait SecondFactors<U: AuthUser>: sqlx::Database {
    /// Whether the user has an authenticator app or a passkey.
    fn has_second_factor(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// The user's authenticator app.
    fn find_totp(
        conn: &mut Self::Connection,
        user: &U::Id,
    ) -> impl Future<Output = sqlx::Result<Option<TotpRow>>> + Send;

    /// Writes an authenticator app whose code of this step was used. Tells whether there was none.
    fn insert_totp(
        conn: &mut Self::Connection,
        user: &U::Id,
        secret: &[u8],
        step: i64,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Notes that the code of a step was used. Tells whether that is later than all before.
    fn use_totp_step(
        conn: &mut Self::Connection,
        user: &U::Id,
        step: i64,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Notes the same if the step used last is later than any that a right clock can show by now. Tells whether it is.
    fn use_totp_step_after_a_wrong_clock(
        conn: &mut Self::Connection,
        user: &U::Id,
        step: i64,
        latest: i64,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes an authenticator app. Tells whether there was one.
    fn delete_totp(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes an authenticator app that was set up at this time or after it. Tells whether there was one.
    fn delete_totp_since(
        conn: &mut Self::Connection,
        user: &U::Id,
        since: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// At most so many secrets that do not begin like this, and whose they are: in the order of users, those after one.
    /// A row that can't be read is an error of its own.
    fn find_totp_secrets(
        conn: &mut Self::Connection,
        unlike: &[u8],
        after: Option<&U::Id>,
        limit: i64,
    ) -> impl Future<Output = sqlx::Result<Vec<SealedTotp<U::Id>>>> + Send;

    /// Writes a secret in place of another.
    fn replace_totp_secret(
        conn: &mut Self::Connection,
        user: &U::Id,
        old: &[u8],
        new: &[u8],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Writes a backup code.
    fn insert_backup_code(
        conn: &mut Self::Connection,
        user: &U::Id,
        code: TokenHash,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Uses a backup code up. Tells whether it was there.
    fn take_backup_code(
        conn: &mut Self::Connection,
        user: &U::Id,
        code: TokenHash,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// How many are left.
    fn count_backup_codes(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<u32>> + Send;

    /// Deletes all of a user.
    fn delete_backup_codes(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Deletes the sessions of a user whose second factor is pending.
    fn delete_pending_sessions(
        conn: &mut Self::Connection,
        user: &U::Id,
    ) -> impl Future<Output = sqlx::Result<Vec<SessionId>>> + Send;

    /// Deletes at most so many that were opened before a time.
    fn purge_pending_sessions(
        conn: &mut Self::Connection,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Forgets that sessions of a user were verified by a second factor: they have none any more.
    fn forget_second_factor(conn: &mut Self::Connection, user: &U::Id)
    -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// Whether a user has an authenticator app or a passkey, as a condition.
macro_rules! has_second_factor {
    ($user:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM users_totp f WHERE f.user_id = ",
            $user,
            ") OR EXISTS (SELECT 1 FROM users_passkeys f WHERE f.user_id = ",
            $user,
            "))"
        )
    };
}

pub(super) use has_second_factor;

/// Implements [`SecondFactors`].
macro_rules! impl_second_factors {
    (
        database: $db:ty, connection: $connection:ty, row: $row:ty,
        time: $to_time:path, $from_time:path, $time:ty,
        skip_locked: $skip_locked:literal $(,)?
    ) => {
        impl<U> crate::store::second_factors::SecondFactors<U> for $db
        where
            U: AuthUser + for<'r> FromRow<'r, $row>,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            async fn has_second_factor(conn: &mut $connection, user: &U::Id) -> sqlx::Result<bool> {
                const HAS: &str = concat!("SELECT ", crate::store::second_factors::has_second_factor!("$1"));
                sqlx::query_scalar(HAS).bind(user.clone()).fetch_one(conn).await
            }

            async fn find_totp(conn: &mut $connection, user: &U::Id) -> sqlx::Result<Option<crate::store::TotpRow>> {
                const FIND: &str = "SELECT secret, last_used_at, inserted_at FROM users_totp WHERE user_id = $1";
                let row = sqlx::query(FIND).bind(user.clone()).fetch_optional(conn).await?;
                let totp = |row: &$row| {
                    Ok(crate::store::TotpRow {
                        secret: row.try_get("secret")?,
                        last_used_at: row.try_get::<$time, _>("last_used_at").and_then($from_time)?,
                        inserted_at: row.try_get::<$time, _>("inserted_at").and_then($from_time)?,
                    })
                };
                row.map(|row| read(&row, totp)).transpose()
            }

            async fn insert_totp(
                conn: &mut $connection,
                user: &U::Id,
                secret: &[u8],
                step: i64,
                now: OffsetDateTime,
            ) -> sqlx::Result<bool> {
                const INSERT: &str = "INSERT INTO users_totp (user_id, secret, last_step, last_used_at, inserted_at)
                    VALUES ($1, $2, $3, $4, $4) ON CONFLICT (user_id) DO NOTHING";
                let insert = sqlx::query(INSERT).bind(user.clone()).bind(secret).bind(step).bind($to_time(now));
                Ok(insert.execute(conn).await?.rows_affected() == 1)
            }

            async fn use_totp_step(
                conn: &mut $connection,
                user: &U::Id,
                step: i64,
                now: OffsetDateTime,
            ) -> sqlx::Result<bool> {
                const USE: &str =
                    "UPDATE users_totp SET last_step = $2, last_used_at = $3 WHERE user_id = $1 AND last_step < $2";
                let used = sqlx::query(USE).bind(user.clone()).bind(step).bind($to_time(now)).execute(conn).await?;
                Ok(used.rows_affected() == 1)
            }

            async fn use_totp_step_after_a_wrong_clock(
                conn: &mut $connection,
                user: &U::Id,
                step: i64,
                latest: i64,
                now: OffsetDateTime,
            ) -> sqlx::Result<bool> {
                const USE: &str =
                    "UPDATE users_totp SET last_step = $2, last_used_at = $3 WHERE user_id = $1 AND last_step > $4";
                let used = sqlx::query(USE).bind(user.clone()).bind(step).bind($to_time(now)).bind(latest);
                Ok(used.execute(conn).await?.rows_affected() == 1)
            }

            async fn delete_totp(conn: &mut $connection, user: &U::Id) -> sqlx::Result<bool> {
                let delete = sqlx::query("DELETE FROM users_totp WHERE user_id = $1").bind(user.clone());
                Ok(delete.execute(conn).await?.rows_affected() == 1)
            }

            async fn delete_totp_since(
                conn: &mut $connection,
                user: &U::Id,
                since: OffsetDateTime,
            ) -> sqlx::Result<bool> {
                let delete = sqlx::query("DELETE FROM users_totp WHERE user_id = $1 AND inserted_at >= $2");
                Ok(delete.bind(user.clone()).bind($to_time(since)).execute(conn).await?.rows_affected() == 1)
            }

            async fn find_totp_secrets(
                conn: &mut $connection,
                unlike: &[u8],
                after: Option<&U::Id>,
                limit: i64,
            ) -> sqlx::Result<Vec<$crate::store::SealedTotp<U::Id>>> {
                const FIND: &str = "SELECT user_id, secret FROM users_totp
                    WHERE substr(secret, 1, length($1)) <> $1 AND ($3 IS NULL OR user_id > $3)
                    ORDER BY user_id LIMIT $2";
                let rows = sqlx::query(FIND).bind(unlike).bind(limit).bind(after.cloned()).fetch_all(conn).await?;
                let secret = |row: &$row| Ok((row.try_get("user_id")?, row.try_get("secret")?));
                Ok(rows.iter().map(|row| read(row, secret)).collect())
            }

            async fn replace_totp_secret(
                conn: &mut $connection,
                user: &U::Id,
                old: &[u8],
                new: &[u8],
            ) -> sqlx::Result<()> {
                const REPLACE: &str = "UPDATE users_totp SET secret = $3 WHERE user_id = $1 AND secret = $2";
                sqlx::query(REPLACE).bind(user.clone()).bind(old).bind(new).execute(conn).await.map(drop)
            }

            async fn insert_backup_code(conn: &mut $connection, user: &U::Id, code: TokenHash) -> sqlx::Result<()> {
                let insert = sqlx::query("INSERT INTO users_backup_codes (user_id, code) VALUES ($1, $2)");
                insert.bind(user.clone()).bind(code.as_bytes()).execute(conn).await.map(drop)
            }

            async fn take_backup_code(conn: &mut $connection, user: &U::Id, code: TokenHash) -> sqlx::Result<bool> {
                let delete = sqlx::query("DELETE FROM users_backup_codes WHERE user_id = $1 AND code = $2");
                let taken = delete.bind(user.clone()).bind(code.as_bytes()).execute(conn).await?;
                Ok(taken.rows_affected() == 1)
            }

            async fn count_backup_codes(conn: &mut $connection, user: &U::Id) -> sqlx::Result<u32> {
                let count = sqlx::query_scalar("SELECT count(*) FROM users_backup_codes WHERE user_id = $1");
                let count: i64 = count.bind(user.clone()).fetch_one(conn).await?;
                Ok(u32::try_from(count).unwrap_or(u32::MAX))
            }

            async fn delete_backup_codes(conn: &mut $connection, user: &U::Id) -> sqlx::Result<()> {
                let delete = sqlx::query("DELETE FROM users_backup_codes WHERE user_id = $1").bind(user.clone());
                delete.execute(conn).await.map(drop)
            }

            async fn delete_pending_sessions(conn: &mut $connection, user: &U::Id) -> sqlx::Result<Vec<SessionId>> {
                const DELETE: &str = "DELETE FROM users_tokens
                    WHERE context = 'session' AND user_id = $1 AND mfa_pending RETURNING id";
                sqlx::query_scalar(DELETE).bind(user.clone()).fetch_all(conn).await
            }

            async fn purge_pending_sessions(
                conn: &mut $connection,
                expired: crate::store::Expired,
            ) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "users_tokens",
                    "id",
                    "mfa_pending AND inserted_at",
                    $skip_locked
                )
            }

            async fn forget_second_factor(conn: &mut $connection, user: &U::Id) -> sqlx::Result<()> {
                const FORGET: &str = "UPDATE users_tokens SET mfa_verified_at = NULL, mfa_verified_by = NULL
                    WHERE context = 'session' AND user_id = $1 AND mfa_verified_at IS NOT NULL";
                sqlx::query(FORGET).bind(user.clone()).execute(conn).await.map(drop)
            }
        }
    };
}

pub(super) use impl_second_factors;
