use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    base::{
        error::Error,
        token::{Context, EmailToken, SentToken},
    },
    model::{
        audit::{self, own_event},
        checked::Checked,
        client::Client,
        user::{AuthUser, Connection},
    },
    sessions::revoke::Revoked,
    sigra::{Sigra, handle},
    store,
};

/// How much the clocks of several servers may differ. A factor that seems this much older than the link may have been
/// added after it.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10 * 60);

/// An account that was taken back by a user who has its mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered<U> {
    /// The user, and the email address that the link was sent to. The host makes it the account's email address again.
    pub sent: SentToken<U>,
    /// The user's sessions, to be [announced](crate::session::Sessions::announce) after the commit.
    pub revoked: Revoked,
}

handle! {
    /// Takes accounts over for their owners. Returned by [`Sigra::recovery`].
    Recovery,
    /// Returns the handle that takes an account over, or back, for its owner.
    recovery
}

/// Taking an account over.
impl<U: AuthUser> Recovery<'_, U> {
    /// Removes everything that could let somebody into an account: sessions, tokens that were sent by email, linked
    /// accounts at providers, second factors, backup codes, known and trusted browsers, personal access tokens, and the
    /// access of programs by OAuth. Call it when a user who didn't register the account proves for the first time that
    /// its email address is theirs, in the host's own [transaction](crate::Sigra::begin), which also sets or removes
    /// the password. [`announce`](crate::session::Sessions::announce) the result after the commit.
    ///
    /// ```
    /// # use sigra::doctest::User;
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
        self.unlink_all(conn, user, client).await?;
        self.sigra.sessions().end_all_access_in(conn, user, None).await
    }

    /// Uses a [recovery](Context::Recovery) link up, and undoes what happened after it was sent. The link is in the
    /// email that reports a first second factor or a new email address, in case somebody else made that change. A user
    /// who opens it has the mailbox that was enough to log in before. So second factors that were added since are
    /// removed, and backup codes, sessions, known and trusted browsers, personal access tokens, the access of programs
    /// by OAuth and tokens in other emails are revoked, including later recovery links, and all to the same email
    /// address. If an earlier one of those is valid, what happened after that one is undone too. Earlier recovery links
    /// to other addresses stay: a thief who changed the email address to one of theirs has only later ones.
    ///
    /// Older identities and passkeys may be a thief's too, who would be back at once, and could do it again. So all
    /// identities are unlinked, and a passkey that stays can't log in until it has been used as a second factor. It
    /// isn't removed, because then a mailbox would be enough to get around the second factor of a user who stopped
    /// using it.
    ///
    /// Call it in the host's own [transaction](crate::Sigra::begin), which also restores the email address [that the
    /// link was sent to](crate::token::SentToken::to) and sets another password.
    /// [`announce`](crate::session::Sessions::announce) the sessions after the commit.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn recover_in(
        self,
        conn: &mut Connection<U>,
        token: &EmailToken,
        client: &Client,
    ) -> Result<Checked<Recovered<U>>, Error> {
        let sent = self.sigra.email_tokens().take_in(conn, token, Context::Recovery).await?;
        let Checked::Valid(sent) = sent else { return Ok(Checked::Invalid) };
        let user = sent.user.id();
        let since = self.sigra.email_tokens().earliest_recovery_in(conn, &sent).await?;
        self.sigra.mfa().delete_since(conn, &user, since - CLOCKS_DIFFER, client).await?;
        store::passkeys::restrict_to_second_factor::<U>(conn, &user).await?;
        self.unlink_all(conn, &user, client).await?;
        store::email_tokens::delete_recovery_tokens::<U>(conn, &user, since, &sent.to).await?;
        let revoked = self.sigra.sessions().end_all_access_in(conn, &user, None).await?;
        self.sigra.audit().record_in(conn, &own_event(audit::ACCOUNT_RECOVERED, &user, client)).await?;
        Ok(Checked::Valid(Recovered { sent, revoked }))
    }

    async fn unlink_all(self, conn: &mut Connection<U>, user: &U::Id, client: &Client) -> Result<(), Error> {
        if store::identities::delete_all::<U>(&mut *conn, user).await? > 0 {
            self.sigra.audit().record_in(conn, &own_event(audit::IDENTITY_UNLINKED, user, client)).await?;
        }
        Ok(())
    }
}
