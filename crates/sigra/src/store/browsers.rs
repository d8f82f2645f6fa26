//! Browsers of a user: those they have logged in with, and those that are trusted without a second factor. Each is a row
//! of `users_tokens`, and the browser holds its token.

use std::{future::Future, net::IpAddr};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Expired, SessionId, Window};
use crate::{
    base::token::TokenHash,
    model::{client::Client, second_factor::FactorKind, user::AuthUser},
};

/// How many browsers of a kind a user has at most. The one that they have not used for longest is forgotten first.
pub(crate) const MOST_BROWSERS: i64 = 16;

/// What a browser is to a user: the context of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserKind {
    /// They have logged in with it. It proves nothing.
    Known,
    /// It needs no second factor.
    Trusted,
}

impl BrowserKind {
    /// The value of the column `context`.
    pub(crate) fn context(self) -> &'static str {
        match self {
            Self::Known => "known_browser",
            Self::Trusted => "mfa_trust",
        }
    }
}

/// A browser of a user.
#[derive(Clone, Debug)]
pub struct Browser<Id> {
    /// The row's id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Id,
    /// The hash of the token that it holds.
    pub token: TokenHash,
    /// The address that it was first used from.
    pub ip: Option<IpAddr>,
    /// Which browser.
    pub user_agent: Option<String>,
    /// Since when.
    pub inserted_at: OffsetDateTime,
    /// Whether its user has shown a second factor in it.
    pub has_shown_second_factor: bool,
    /// Which it was, of a trusted one.
    pub verified_by: Option<FactorKind>,
}

/// A browser to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewBrowser<'a> {
    /// What it is to the user.
    pub kind: BrowserKind,
    /// The hash of the token that it holds.
    pub token: TokenHash,
    /// Which browser, and from where.
    pub client: &'a Client,
    /// When it was used.
    pub seen: Seen,
    /// The second factor that its user has shown.
    pub verified_by: Option<FactorKind>,
    /// The session that it was shown in.
    pub session: Option<SessionId>,
}

/// What is to be noted of a browser that a user has logged in with.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When they showed a second factor in it, if they did.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// When.
    pub now: OffsetDateTime,
}

/// A database that holds them.
pub trait Browsers<U: AuthUser>: sqlx::Database {
    /// The browsers that hold these tokens, were used within a time and can be read, of whichever users. It does the
    /// same work whoever is asked about.
    fn find_browsers(
        conn: &mut Self::Connection,
        kind: BrowserKind,
        tokens: &[TokenHash],
        used: Window,
    ) -> impl Future<Output = sqlx::Result<Vec<Browser<U::Id>>>> + Send;

    /// A user's browsers that were used within a time and can be read, the latest first.
    fn list_browsers(
        conn: &mut Self::Connection,
        kind: BrowserKind,
        user: &U::Id,
        used: Window,
    ) -> impl Future<Output = sqlx::Result<Vec<Browser<U::Id>>>> + Send;

    /// Writes a browser, in place of the one that was not used for longest if there are as many as there may be.
    fn insert_browser(
        conn: &mut Self::Connection,
        user: &U::Id,
        new: &NewBrowser<'_>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Notes that a user has logged in with a browser once more.
    fn touch_browser(
        conn: &mut Self::Connection,
        id: Uuid,
        seen: Seen,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Notes the session that was opened in a browser.
    fn note_session_of_browser(
        conn: &mut Self::Connection,
        id: Uuid,
        session: SessionId,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Deletes browsers of a user: one, or all. Gives their number.
    fn delete_browsers(
        conn: &mut Self::Connection,
        kind: BrowserKind,
        user: &U::Id,
        id: Option<Uuid>,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Deletes the browser of a session.
    fn delete_browser_of_session(
        conn: &mut Self::Connection,
        kind: BrowserKind,
        user: &U::Id,
        session: SessionId,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Deletes the browsers of a user but for that of a session. Gives their number.
    fn delete_browsers_but_of_session(
        conn: &mut Self::Connection,
        kind: BrowserKind,
        user: &U::Id,
        session: SessionId,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Deletes at most so many that nobody has used since a time.
    fn purge_browsers(
        conn: &mut Self::Connection,
        kind: BrowserKind,
        expired: Expired,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// Implements [`Browsers`].
macro_rules! impl_browsers {
    (
        database: $db:ty, connection: $connection:ty, row: $row:ty,
        time: $to_time:path, $from_time:path, $time:ty,
        tokens: $bind_tokens:path, $among_tokens:literal, skip_locked: $skip_locked:literal $(,)?
    ) => {
        impl<U> crate::store::browsers::Browsers<U> for $db
        where
            U: AuthUser,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            async fn find_browsers(
                conn: &mut $connection,
                kind: crate::store::BrowserKind,
                tokens: &[TokenHash],
                used: crate::store::Window,
            ) -> sqlx::Result<Vec<crate::store::Browser<U::Id>>> {
                const FIND: &str = concat!(
                    "SELECT * FROM users_tokens
                     WHERE context = $2 AND last_used_at > $3 AND last_used_at <= $4 AND token ",
                    $among_tokens
                );
                let find = sqlx::query(FIND).bind($bind_tokens(tokens)).bind(kind.context());
                let rows = find.bind($to_time(used.after)).bind($to_time(used.until)).fetch_all(conn).await?;
                Ok(readable(&rows, "id", browser))
            }

            async fn list_browsers(
                conn: &mut $connection,
                kind: crate::store::BrowserKind,
                user: &U::Id,
                used: crate::store::Window,
            ) -> sqlx::Result<Vec<crate::store::Browser<U::Id>>> {
                const LIST: &str = "SELECT * FROM users_tokens
                    WHERE context = $1 AND user_id = $2 AND last_used_at > $3 AND last_used_at <= $4
                    ORDER BY last_used_at DESC, id DESC LIMIT $5";
                let list = sqlx::query(LIST).bind(kind.context()).bind(user.clone());
                let list = list.bind($to_time(used.after)).bind($to_time(used.until));
                let rows = list.bind(crate::store::browsers::MOST_BROWSERS).fetch_all(conn).await?;
                Ok(readable(&rows, "id", browser))
            }

            async fn insert_browser(
                conn: &mut $connection,
                user: &U::Id,
                new: &crate::store::NewBrowser<'_>,
            ) -> sqlx::Result<()> {
                const INSERT: &str = "INSERT INTO users_tokens
                         (id, user_id, context, token, ip, user_agent, mfa_verified_at, mfa_verified_by, session_id,
                          last_used_at, issued_at, inserted_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10)";
                const FORGET: &str = "DELETE FROM users_tokens
                    WHERE context = $1 AND user_id = $2 AND id NOT IN (
                        SELECT id FROM users_tokens WHERE context = $1 AND user_id = $2
                        ORDER BY last_used_at DESC, id DESC LIMIT $3)";
                sqlx::query(INSERT)
                    .bind(uuid::Uuid::now_v7())
                    .bind(user.clone())
                    .bind(new.kind.context())
                    .bind(new.token.as_bytes())
                    .bind(new.client.ip.map(|ip| ip.to_string()))
                    .bind(new.client.user_agent.as_deref())
                    .bind(new.seen.mfa_verified_at.map($to_time))
                    .bind(new.verified_by.map(crate::model::second_factor::FactorKind::name))
                    .bind(new.session)
                    .bind($to_time(new.seen.now))
                    .execute(&mut *conn)
                    .await?;
                let forget = sqlx::query(FORGET).bind(new.kind.context()).bind(user.clone());
                forget.bind(crate::store::browsers::MOST_BROWSERS).execute(conn).await.map(drop)
            }

            async fn touch_browser(
                conn: &mut $connection,
                id: uuid::Uuid,
                seen: crate::store::Seen,
            ) -> sqlx::Result<()> {
                const TOUCH: &str = "UPDATE users_tokens
                    SET last_used_at = $2, mfa_verified_at = coalesce($3, mfa_verified_at) WHERE id = $1";
                let touch = sqlx::query(TOUCH).bind(id).bind($to_time(seen.now));
                touch.bind(seen.mfa_verified_at.map($to_time)).execute(conn).await.map(drop)
            }

            async fn note_session_of_browser(
                conn: &mut $connection,
                id: uuid::Uuid,
                session: SessionId,
            ) -> sqlx::Result<()> {
                let note = sqlx::query("UPDATE users_tokens SET session_id = $2 WHERE id = $1");
                note.bind(id).bind(session).execute(conn).await.map(drop)
            }

            async fn delete_browsers(
                conn: &mut $connection,
                kind: crate::store::BrowserKind,
                user: &U::Id,
                id: Option<uuid::Uuid>,
            ) -> sqlx::Result<u64> {
                const DELETE: &str =
                    "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND id = coalesce($3, id)";
                let delete = sqlx::query(DELETE).bind(kind.context()).bind(user.clone()).bind(id);
                Ok(delete.execute(conn).await?.rows_affected())
            }

            async fn delete_browser_of_session(
                conn: &mut $connection,
                kind: crate::store::BrowserKind,
                user: &U::Id,
                session: SessionId,
            ) -> sqlx::Result<u64> {
                const DELETE: &str = "DELETE FROM users_tokens WHERE context = $1 AND user_id = $2 AND session_id = $3";
                let delete = sqlx::query(DELETE).bind(kind.context()).bind(user.clone()).bind(session);
                Ok(delete.execute(conn).await?.rows_affected())
            }

            async fn delete_browsers_but_of_session(
                conn: &mut $connection,
                kind: crate::store::BrowserKind,
                user: &U::Id,
                session: SessionId,
            ) -> sqlx::Result<u64> {
                const DELETE: &str = "DELETE FROM users_tokens
                    WHERE context = $1 AND user_id = $2 AND session_id IS DISTINCT FROM $3";
                let delete = sqlx::query(DELETE).bind(kind.context()).bind(user.clone()).bind(session);
                Ok(delete.execute(conn).await?.rows_affected())
            }

            async fn purge_browsers(
                conn: &mut $connection,
                kind: crate::store::BrowserKind,
                expired: crate::store::Expired,
            ) -> sqlx::Result<u64> {
                match kind {
                    crate::store::BrowserKind::Known => crate::store::purge::purge!(
                        conn,
                        expired,
                        $to_time,
                        "users_tokens",
                        "id",
                        "context = 'known_browser' AND inserted_at <= $1 AND last_used_at",
                        $skip_locked
                    ),
                    crate::store::BrowserKind::Trusted => crate::store::purge::purge!(
                        conn,
                        expired,
                        $to_time,
                        "users_tokens",
                        "id",
                        "context = 'mfa_trust' AND inserted_at",
                        $skip_locked
                    ),
                }
            }
        }

        fn browser<Id>(row: &$row) -> sqlx::Result<crate::store::Browser<Id>>
        where
            Id: for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            let token: &[u8] = row.try_get("token")?;
            let token = <[u8; 32]>::try_from(token).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok(crate::store::Browser {
                id: row.try_get("id")?,
                user: row.try_get("user_id")?,
                token: token.into(),
                ip: row.try_get::<Option<&str>, _>("ip")?.and_then(|ip| ip.parse().ok()),
                user_agent: row.try_get("user_agent")?,
                inserted_at: row.try_get::<$time, _>("inserted_at").and_then($from_time)?,
                has_shown_second_factor: row.try_get::<Option<$time>, _>("mfa_verified_at")?.is_some(),
                verified_by: row
                    .try_get::<Option<&str>, _>("mfa_verified_by")?
                    .and_then(crate::model::second_factor::FactorKind::from_name),
            })
        }
    };
}

pub(super) use impl_browsers;
