//! Ending all access to an account: sessions, tokens, browsers and programs.

use crate::{
    base::{error::Error, token::Context},
    model::{
        audit::{self, Audit},
        session::SessionId,
        user::{AuthUser, Connection},
    },
    sessions::{handle::Sessions, revoke::Revoked},
    store,
};

impl<U: AuthUser> Sessions<'_, U> {
    /// Ends all access to an account: all sessions or all except one, the tokens that were sent to the user, their
    /// known and trusted browsers, their personal access tokens, and the access of programs by OAuth. Call it in the
    /// transaction of a change of password, and [`announce`](crate::session::Sessions::announce) the result after the
    /// commit. Links to [take the account back](crate::Recovery::recover_in) stay, because a thief may be changing the
    /// password.
    ///
    /// The user's row is locked, so that concurrent calls run one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session to keep has ended. Roll the transaction back then: a request from before
    /// a password reset must not change the password after it.
    pub async fn end_all_access_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        // With them go the known and the trusted browsers.
        store::email_tokens::delete_all::<U>(conn, user, None, None).await?;
        self.end_all_but_links_in(conn, user, except).await
    }

    /// Deletes what must end when a logged-in user changes their password, in its transaction: their other sessions,
    /// their known and trusted browsers, the access of programs by OAuth, and the tokens that were sent to them, except
    /// links to reset the password. With those, an owner whose session was stolen can get the account back, so a thief
    /// must not be able to revoke them by changing the password repeatedly. Their personal access tokens stay.
    /// [`announce`](crate::session::Sessions::announce) the result after the commit.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session to keep has ended. Roll the transaction back then.
    pub async fn end_other_access_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        kept: SessionId,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let resets = Context::ResetPassword.name();
        store::email_tokens::delete_all::<U>(conn, user, None, Some(&resets)).await?;
        self.end_programs_in(conn, user, Audit::new(audit::PROGRAM_REVOKED).of(user.clone())).await?;
        self.delete_all_in(conn, user, Some(kept)).await
    }

    /// Deletes what lets somebody into an account that is going to be deleted, in the transaction that schedules it:
    /// all sessions or all except one, known and trusted browsers, personal access tokens, the access of programs by
    /// OAuth, and links to change the email address. Links that were sent to the user's email address stay: a thief who
    /// schedules the deletion repeatedly must not keep the owner from resetting the password.
    /// [`announce`](crate::session::Sessions::announce) the result after the commit.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn schedule_deletion(sigra: &sigra::Sigra<User>, user: i64) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     sqlx::query("UPDATE users SET is_deleted = true WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     let revoked = sigra.sessions().end_access_before_deletion_in(&mut tx, &user, None).await?;
    ///     tx.commit().await?;
    ///     sigra.sessions().announce(revoked);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session to keep has ended. Roll the transaction back then.
    pub async fn end_access_before_deletion_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        store::email_tokens::delete_all_but_links::<U>(conn, user).await?;
        self.end_all_but_links_in(conn, user, except).await
    }

    /// Revokes access tokens, and ends the access of programs and all sessions, or all except one.
    async fn end_all_but_links_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        // A user who forgot the password, or lost the account to somebody, doesn't know who created the tokens.
        self.revoke_api_tokens_in(conn, user, Audit::new(audit::API_TOKEN_REVOKED).of(user.clone())).await?;
        self.end_programs_in(conn, user, Audit::new(audit::PROGRAM_REVOKED).of(user.clone())).await?;
        self.delete_all_in(conn, user, except).await
    }

    /// Revokes all personal access tokens of a user, whose row must be locked, and records it. Returns how many there
    /// were.
    pub(crate) async fn revoke_api_tokens_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        event: Audit<U::Id>,
    ) -> Result<u64, Error> {
        let revoked = store::api_tokens::delete_all::<U>(&mut *conn, user).await?;
        if revoked > 0 {
            self.sigra.audit().record_in(conn, &event.with(serde_json::json!({ "tokens": revoked }))).await?;
        }
        Ok(revoked)
    }

    /// Ends the access of all programs of a user, whose row must be locked, and records it. Returns how many there
    /// were. A program is like another browser of the user: with a new password or a first second factor, it must ask
    /// again.
    pub(crate) async fn end_programs_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        event: Audit<U::Id>,
    ) -> Result<u64, Error> {
        store::oauth_codes::delete_all::<U>(&mut *conn, user).await?;
        store::oauth_device_codes::delete_all::<U>(&mut *conn, user).await?;
        let ended = store::oauth_grants::delete_all::<U>(&mut *conn, user).await?;
        if ended > 0 {
            self.sigra.audit().record_in(conn, &event.with(serde_json::json!({ "programs": ended }))).await?;
        }
        Ok(ended)
    }
}
