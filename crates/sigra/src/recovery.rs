use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    base::{
        error::Error,
        token::{Context, EmailToken},
    },
    model::{
        audit::{self, own_event},
        client::Client,
        user::{AuthUser, Connection},
    },
    sessions::revoke::Revoked,
    sigra::{Sigra, handle},
    store::{self, Sent},
};

/// Clocks of several servers may differ by so much: a factor that seems to be so much older than the link may have been
/// added after it.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10 * 60);

/// An account that was taken back by whoever has its mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered<U> {
    /// The user, and the address that the link was sent to, which is the account's from now on.
    pub sent: Sent<U>,
    /// Their sessions, to be [announced](crate::session::Sessions::announce) after the commit.
    pub revoked: Revoked,
}

handle! {
    /// Takes accounts back. From [`Sigra::recovery`].
    Recovery,
    /// Takes an account back for its owner.
    recovery
}

/// Taking an account over from whoever may be in it.
impl<U: AuthUser> Recovery<'_, U> {
    /// Takes from an account all that could let somebody in: sessions, whatever was sent by mail, second factors,
    /// backup codes and trusted browsers. For whoever proves for the first time that its address is theirs, and did
    /// not register it. In the host's own [transaction](crate::Sigra::begin), which also sets or drops the password;
    /// [`announce`](crate::session::Sessions::announce) what it returns after the commit.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// async fn take_over(sigra: &sigra::Sigra<User>, user: i64, client: &sigra::Client) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     let revoked = sigra.recovery().take_over_in(&mut tx, &user, client).await?;
    ///     sqlx::query("UPDATE users SET hashed_password = NULL WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     tx.commit().await?;
    ///     sigra.sessions().announce(revoked);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn take_over_in(self, conn: &mut Connection<U>, user: &U::Id, client: &Client) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        self.sigra.mfa().delete_since(conn, user, OffsetDateTime::UNIX_EPOCH, client).await?;
        self.sigra.email_tokens().delete_all_in(conn, user, None).await
    }

    /// Uses a [recovery](Context::Recovery) link up, which was sent with the news of a first second factor, or of
    /// another address, to who may not have done it. Whoever opens it has the mailbox that was enough to get in
    /// before, so what came after it is undone: second factors that were added since are removed, and backup codes,
    /// sessions, trusted browsers and whatever else was sent by mail are good no longer, recovery links that were sent
    /// later included. Earlier ones stay: a thief who has moved the account to an address of theirs has later ones
    /// alone.
    ///
    /// In the host's own [transaction](crate::Sigra::begin), which also gives the account back the address
    /// [that the link was sent to](Sent::to) and sets another password; [`announce`](crate::session::Sessions::announce) what it returns
    /// after the commit. `None` if the link is not good.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn recover_in(
        self,
        conn: &mut Connection<U>,
        token: &EmailToken,
        client: &Client,
    ) -> Result<Option<Recovered<U>>, Error> {
        let Some(sent) = self.sigra.email_tokens().take(conn, token, Context::Recovery).await? else { return Ok(None) };
        let user = sent.user.id();
        self.sigra.mfa().delete_since(conn, &user, sent.at - CLOCKS_DIFFER, client).await?;
        store::email_tokens::delete_recovery_tokens_after::<U>(conn, &user, sent.at).await?;
        let revoked = self.sigra.email_tokens().delete_all_in(conn, &user, None).await?;
        self.sigra.audit().record(conn, &own_event(audit::RECOVERED, &user, client)).await?;
        Ok(Some(Recovered { sent, revoked }))
    }
}
