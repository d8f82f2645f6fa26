//! Tokens that are sent by mail, and work once.

use std::future::Future;

use time::OffsetDateTime;

use super::{Expired, Window};
use crate::{base::token::TokenHash, model::user::AuthUser};

/// A token to be sent.
#[derive(Clone, Debug)]
pub struct NewEmailToken<'a, U: AuthUser> {
    /// Its hash.
    pub token: TokenHash,
    /// What it is for.
    pub context: &'a str,
    /// Whose it is.
    pub user: &'a U::Id,
    /// The address that it is sent to.
    pub sent_to: &'a str,
    /// When.
    pub now: OffsetDateTime,
}

/// A token that came back, and whose it is.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String }
/// # impl sigra::AuthUser for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
/// # }
/// # use sigra::store::Sent;
/// /// A mail that was sent to an address proves nothing about another.
/// fn is_still_theirs(sent: &Sent<User>) -> bool {
///     sent.user.email == sent.to
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sent<U> {
    /// Its user, as the database has them now.
    pub user: U,
    /// The address that it was sent to.
    pub to: String,
    /// When.
    pub at: OffsetDateTime,
}

/// A database that holds them, in `users_tokens`.
pub trait EmailTokens<U: AuthUser>: sqlx::Database {
    /// Writes a token.
    fn insert_email_token(
        conn: &mut Self::Connection,
        new: &NewEmailToken<'_, U>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Finds a token that was sent within a time.
    fn find_email_token(
        conn: &mut Self::Connection,
        token: TokenHash,
        context: &str,
        sent: Window,
    ) -> impl Future<Output = sqlx::Result<Option<Sent<U>>>> + Send;

    /// Finds a token, and locks its user's row: whoever takes another token of theirs, or changes their password,
    /// waits, and holds nothing that this one is going to need.
    fn lock_email_token(
        conn: &mut Self::Connection,
        token: TokenHash,
        context: &str,
        sent: Window,
    ) -> impl Future<Output = sqlx::Result<Option<Sent<U>>>> + Send;

    /// Deletes a token. Tells whether it was there: of several that delete it at once, one is told so.
    fn delete_email_token(
        conn: &mut Self::Connection,
        token: TokenHash,
        context: &str,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes the tokens of a user, all or those of one context, but for those of another. Sessions stay, and so do
    /// [recovery](crate::token::Context::Recovery) links: whoever is inside must not void them.
    fn delete_email_tokens(
        conn: &mut Self::Connection,
        user: &U::Id,
        context: Option<&str>,
        kept: Option<&str>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// When the newest recovery link of a user was sent, of those that were sent within a time.
    fn newest_recovery_token(
        conn: &mut Self::Connection,
        user: &U::Id,
        sent: Window,
    ) -> impl Future<Output = sqlx::Result<Option<OffsetDateTime>>> + Send;

    /// Deletes the recovery links of a user that were sent after a time.
    fn delete_recovery_tokens_after(
        conn: &mut Self::Connection,
        user: &U::Id,
        after: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Deletes at most so many tokens that were sent before a time. Recovery links stay.
    fn purge_email_tokens(
        conn: &mut Self::Connection,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Deletes at most so many recovery links that were sent before a time.
    fn purge_recovery_tokens(
        conn: &mut Self::Connection,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// The query for a token and its user, with a lock or without.
macro_rules! find {
    ($isolation:literal, $lock:literal) => {
        statement!(
            "SELECT t.sent_to AS sigra_sent_to, t.inserted_at AS sigra_sent_at, ",
            $isolation,
            " AS sigra_isolation, u.*
             FROM users_tokens t JOIN ",
            U::TABLE,
            " u ON u.id = t.user_id
             WHERE t.context = $1 AND t.token = $2 AND t.inserted_at > $3 AND t.inserted_at <= $4
               AND t.sent_to IS NOT NULL",
            $lock
        )
    };
}

pub(super) use find;

/// Implements [`EmailTokens`].
macro_rules! impl_email_tokens {
    (
        database: $db:ty, connection: $connection:ty, row: $row:ty,
        time: $to_time:path, $from_time:path, $time:ty,
        lock_user: $lock_user:literal, check_isolation: $check_isolation:path, isolation: $isolation:literal,
        skip_locked: $skip_locked:literal $(,)?
    ) => {
        impl<U> crate::store::email_tokens::EmailTokens<U> for $db
        where
            U: AuthUser + for<'r> FromRow<'r, $row>,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            async fn insert_email_token(
                conn: &mut $connection,
                new: &crate::store::NewEmailToken<'_, U>,
            ) -> sqlx::Result<()> {
                const INSERT: &str =
                    "INSERT INTO users_tokens (id, user_id, context, token, sent_to, issued_at, inserted_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $6)";
                sqlx::query(INSERT)
                    .bind(uuid::Uuid::now_v7())
                    .bind(new.user.clone())
                    .bind(new.context)
                    .bind(new.token.as_bytes())
                    .bind(new.sent_to)
                    .bind($to_time(new.now))
                    .execute(conn)
                    .await
                    .map(drop)
            }

            async fn find_email_token(
                conn: &mut $connection,
                token: TokenHash,
                context: &str,
                sent: crate::store::Window,
            ) -> sqlx::Result<Option<crate::store::Sent<U>>> {
                let found = sqlx::query(crate::store::email_tokens::find!("NULL", ""))
                    .bind(context)
                    .bind(token.as_bytes())
                    .bind($to_time(sent.after))
                    .bind($to_time(sent.until));
                found.fetch_optional(conn).await?.as_ref().map(sent_token).transpose()
            }

            async fn lock_email_token(
                conn: &mut $connection,
                token: TokenHash,
                context: &str,
                sent: crate::store::Window,
            ) -> sqlx::Result<Option<crate::store::Sent<U>>> {
                let found = sqlx::query(crate::store::email_tokens::find!($isolation, $lock_user))
                    .bind(context)
                    .bind(token.as_bytes())
                    .bind($to_time(sent.after))
                    .bind($to_time(sent.until));
                let Some(row) = found.fetch_optional(conn).await? else { return Ok(None) };
                $check_isolation(&row)?;
                sent_token(&row).map(Some)
            }

            async fn delete_email_token(conn: &mut $connection, token: TokenHash, context: &str) -> sqlx::Result<bool> {
                const DELETE: &str = "DELETE FROM users_tokens WHERE context = $1 AND token = $2";
                let deleted = sqlx::query(DELETE).bind(context).bind(token.as_bytes()).execute(conn).await?;
                Ok(deleted.rows_affected() == 1)
            }

            async fn delete_email_tokens(
                conn: &mut $connection,
                user: &U::Id,
                context: Option<&str>,
                kept: Option<&str>,
            ) -> sqlx::Result<()> {
                const DELETE: &str = "DELETE FROM users_tokens
                    WHERE user_id = $1 AND context NOT IN ('session', 'recovery') AND context = coalesce($2, context)
                      AND context <> coalesce($3, '')";
                sqlx::query(DELETE).bind(user.clone()).bind(context).bind(kept).execute(conn).await.map(drop)
            }

            async fn newest_recovery_token(
                conn: &mut $connection,
                user: &U::Id,
                sent: crate::store::Window,
            ) -> sqlx::Result<Option<OffsetDateTime>> {
                const NEWEST: &str = "SELECT max(inserted_at) AS newest FROM users_tokens
                    WHERE user_id = $1 AND context = 'recovery' AND inserted_at > $2 AND inserted_at <= $3";
                let newest = sqlx::query(NEWEST).bind(user.clone()).bind($to_time(sent.after));
                let row = newest.bind($to_time(sent.until)).fetch_one(conn).await?;
                let newest: Option<$time> = read(&row, |row| row.try_get("newest"))?;
                newest.map($from_time).transpose()
            }

            async fn delete_recovery_tokens_after(
                conn: &mut $connection,
                user: &U::Id,
                after: OffsetDateTime,
            ) -> sqlx::Result<()> {
                const DELETE: &str =
                    "DELETE FROM users_tokens WHERE user_id = $1 AND context = 'recovery' AND inserted_at > $2";
                sqlx::query(DELETE).bind(user.clone()).bind($to_time(after)).execute(conn).await.map(drop)
            }

            async fn purge_email_tokens(conn: &mut $connection, expired: crate::store::Expired) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "users_tokens",
                    "id",
                    "context NOT IN ('session', 'mfa_trust', 'known_browser', 'recovery') AND inserted_at",
                    $skip_locked
                )
            }

            async fn purge_recovery_tokens(
                conn: &mut $connection,
                expired: crate::store::Expired,
            ) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "users_tokens",
                    "id",
                    "context = 'recovery' AND inserted_at",
                    $skip_locked
                )
            }
        }

        fn sent_token<U: for<'r> FromRow<'r, $row>>(row: &$row) -> sqlx::Result<crate::store::Sent<U>> {
            read(row, |row| {
                Ok(crate::store::Sent {
                    user: U::from_row(row)?,
                    to: row.try_get("sigra_sent_to")?,
                    at: row.try_get::<$time, _>("sigra_sent_at").and_then($from_time)?,
                })
            })
        }
    };
}

pub(super) use impl_email_tokens;
