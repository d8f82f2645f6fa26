//! Browsers that a user has logged in with: rows of `users_tokens` whose context is `known_browser`.

use std::future::Future;

use time::OffsetDateTime;
use uuid::Uuid;

use super::Expired;
use crate::{Client, User, token::TokenHash};

/// A browser that a user has logged in with. It proves nothing.
#[derive(Clone, Debug)]
pub struct KnownBrowser<Id> {
    /// The row's id.
    pub id: Uuid,
    /// Who has logged in with it.
    pub user: Id,
    /// Whether they have shown a second factor in it.
    pub has_shown_second_factor: bool,
}

/// What is to be noted of a browser that a user has logged in with.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When they showed a second factor in it, if they did.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// When.
    pub now: OffsetDateTime,
}

/// A database that knows browsers.
pub trait KnownBrowsers<U: User>: sqlx::Database {
    /// The browsers that hold these tokens and were used after a time, of whichever users. It does the same work
    /// whoever is asked about.
    fn find_known_browsers(
        conn: &mut Self::Connection,
        tokens: &[TokenHash],
        after: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<Vec<KnownBrowser<U::Id>>>> + Send;

    /// Writes a browser.
    fn insert_known_browser(
        conn: &mut Self::Connection,
        user: &U::Id,
        token: TokenHash,
        client: &Client,
        seen: Seen,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Notes that a user has logged in with a browser once more.
    fn touch_known_browser(
        conn: &mut Self::Connection,
        id: Uuid,
        seen: Seen,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Deletes the browsers of a user, but for so many that were used last.
    fn delete_known_browsers(
        conn: &mut Self::Connection,
        user: &U::Id,
        but_latest: i64,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Deletes at most so many that nobody has logged in with since a time.
    fn purge_known_browsers(
        conn: &mut Self::Connection,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// Implements [`KnownBrowsers`].
macro_rules! impl_known_browsers {
    (
        database: $db:ty, connection: $connection:ty, time: $to_time:path,
        tokens: $bind_tokens:path, $among_tokens:literal, skip_locked: $skip_locked:literal $(,)?
    ) => {
        impl<U> crate::store::known_browsers::KnownBrowsers<U> for $db
        where
            U: User,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            async fn find_known_browsers(
                conn: &mut $connection,
                tokens: &[TokenHash],
                after: OffsetDateTime,
            ) -> sqlx::Result<Vec<crate::store::KnownBrowser<U::Id>>> {
                const FIND: &str = concat!(
                    "SELECT id, user_id, mfa_verified_at IS NOT NULL AS has_shown_second_factor FROM users_tokens
                     WHERE context = 'known_browser' AND last_used_at > $2 AND token ",
                    $among_tokens
                );
                let rows = sqlx::query(FIND).bind($bind_tokens(tokens)).bind($to_time(after)).fetch_all(conn).await?;
                let known = rows.iter().map(|row| {
                    Ok(crate::store::KnownBrowser {
                        id: row.try_get("id")?,
                        user: row.try_get("user_id")?,
                        has_shown_second_factor: row.try_get("has_shown_second_factor")?,
                    })
                });
                known.collect()
            }

            async fn insert_known_browser(
                conn: &mut $connection,
                user: &U::Id,
                token: TokenHash,
                client: &crate::Client,
                seen: crate::store::Seen,
            ) -> sqlx::Result<()> {
                const INSERT: &str = "INSERT INTO users_tokens
                         (id, user_id, context, token, ip, user_agent, mfa_verified_at,
                          last_used_at, issued_at, inserted_at)
                     VALUES ($1, $2, 'known_browser', $3, $4, $5, $6, $7, $7, $7)";
                sqlx::query(INSERT)
                    .bind(uuid::Uuid::now_v7())
                    .bind(user.clone())
                    .bind(token.as_bytes())
                    .bind(client.ip.map(|ip| ip.to_string()))
                    .bind(client.user_agent.as_deref())
                    .bind(seen.mfa_verified_at.map($to_time))
                    .bind($to_time(seen.now))
                    .execute(conn)
                    .await
                    .map(drop)
            }

            async fn touch_known_browser(
                conn: &mut $connection,
                id: uuid::Uuid,
                seen: crate::store::Seen,
            ) -> sqlx::Result<()> {
                const TOUCH: &str = "UPDATE users_tokens
                    SET last_used_at = $2, mfa_verified_at = coalesce($3, mfa_verified_at) WHERE id = $1";
                let touch = sqlx::query(TOUCH).bind(id).bind($to_time(seen.now));
                touch.bind(seen.mfa_verified_at.map($to_time)).execute(conn).await.map(drop)
            }

            async fn delete_known_browsers(conn: &mut $connection, user: &U::Id, but_latest: i64) -> sqlx::Result<u64> {
                const DELETE: &str = "DELETE FROM users_tokens
                    WHERE context = 'known_browser' AND user_id = $1 AND id NOT IN (
                        SELECT id FROM users_tokens WHERE context = 'known_browser' AND user_id = $1
                        ORDER BY last_used_at DESC, id DESC LIMIT $2)";
                Ok(sqlx::query(DELETE).bind(user.clone()).bind(but_latest).execute(conn).await?.rows_affected())
            }

            async fn purge_known_browsers(conn: &mut $connection, expired: crate::store::Expired) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "users_tokens",
                    "id",
                    "context = 'known_browser' AND inserted_at <= $1 AND last_used_at",
                    $skip_locked
                )
            }
        }
    };
}

pub(super) use impl_known_browsers;
