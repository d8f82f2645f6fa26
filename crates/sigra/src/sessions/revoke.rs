//! Revoking sessions: one, all, or all except one.

use crate::{
    base::{error::Error, telemetry},
    model::{
        scope::Scope,
        session::SessionId,
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sessions::handle::Sessions,
    sigra::{Sigra, transact},
    store::{self, BrowserKind},
};

/// Sessions of a user that were deleted in the host's transaction. Pass them to
/// [`Sessions::announce`](crate::session::Sessions::announce) after the commit, so that they and their live connections
/// end at once.
#[must_use = "call Sessions::announce after the commit, so that live connections end at once"]
#[derive(Debug)]
pub struct Revoked {
    user: String,
    sessions: Vec<SessionId>,
    /// Whether one session was to be deleted, rather than all.
    by_id: bool,
}

impl Revoked {
    /// Returns how many sessions were deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Returns whether no session was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl<U: AuthUser> Sigra<U> {
    /// Deletes all sessions of a user, in every browser, and returns how many there were.
    ///
    /// It deletes nothing else: trusted and known browsers stay. To log a user out everywhere, also call
    /// [`TrustedBrowsers::delete_all_in`](crate::mfa::TrustedBrowsers::delete_all_in) and
    /// [`KnownBrowsers::delete_all_in`](crate::KnownBrowsers::delete_all_in), in one transaction with
    /// [`Sessions::delete_all_in`](crate::session::Sessions::delete_all_in).
    /// [`Sessions::end_all_access_in`](crate::session::Sessions::end_all_access_in) does all of that and also revokes
    /// the tokens in emails.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_all_sessions(&self, user: &U::Id) -> Result<usize, Error> {
        let revoked = transact!(self, conn => self.sessions().delete_all_in(conn, user, None).await)?;
        self.revoked(&revoked);
        Ok(revoked.len())
    }

    /// Logs sessions that were revoked, and ends them in this process. Call it after the commit.
    fn revoked(&self, revoked: &Revoked) {
        let Revoked { user, sessions, by_id } = revoked;
        match sessions.as_slice() {
            [] if *by_id => {}
            [id] if *by_id => {
                tracing::info!(target: "sigra", event = telemetry::SESSION_REVOKED, user_id = %user, session_id = %id);
            }
            several => {
                let sessions = several.len();
                tracing::info!(target: "sigra", event = telemetry::SESSION_REVOKED, user_id = %user, sessions);
            }
        }
        self.end_sessions(sessions);
    }

    pub(crate) fn end_sessions(&self, ids: &[SessionId]) {
        for id in ids {
            self.parts.cache.forget(id);
        }
        #[cfg(feature = "live")]
        self.parts.live.end(ids);
    }
}

impl<U: AuthUser> Sessions<'_, U> {
    /// Deletes one of a user's sessions, as from their list of devices, and the trust in its browser. Returns whether
    /// it was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete(self, user: &U::Id, id: SessionId) -> Result<bool, Error> {
        let revoked = transact!(self.sigra, conn => self.delete_in(conn, user, id).await)?;
        self.sigra.revoked(&revoked);
        Ok(!revoked.is_empty())
    }

    /// Deletes one of a user's sessions in the host's own transaction, if it is theirs, and the trust in its browser.
    /// [`announce`](crate::session::Sessions::announce) the result after the commit. The user's row is locked, so a
    /// concurrent login in that browser happens entirely before or after it.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_in(self, conn: &mut Connection<U>, user: &U::Id, id: SessionId) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        let deleted = store::sessions::delete_by_id::<U>(&mut *conn, user, id).await?;
        if deleted.is_some() {
            store::browsers::delete_that_of_session::<U>(conn, BrowserKind::Trusted, user, id).await?;
        }
        Ok(Revoked { user: user.to_string(), sessions: deleted.into_iter().collect(), by_id: true })
    }

    /// Deletes all sessions of a user except this one, and the trust in all other browsers. Returns how many sessions
    /// there were.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if this session has ended. Then the other sessions stay.
    pub async fn delete_others(self, scope: &Scope<U>) -> Result<usize, Error> {
        let (user, this_one) = (scope.user().id(), scope.session().id);
        let revoked = transact!(self.sigra, conn => {
            let revoked = self.delete_all_in(conn, &user, Some(this_one)).await?;
            store::browsers::delete_all_but_that_of_session::<U>(conn, BrowserKind::Trusted, &user, this_one).await?;
            Ok(revoked)
        })?;
        self.sigra.revoked(&revoked);
        Ok(revoked.len())
    }

    /// Deletes all sessions of a user, or all except one, in the host's own [transaction](crate::Sigra::begin): with a
    /// change of password, for example. [`announce`](crate::session::Sessions::announce) the result after the commit.
    /// The user's row is locked, so a concurrent login happens entirely before or after it.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session to keep has ended. Roll the transaction back then, because its user was
    /// logged out.
    pub async fn delete_all_in(
        self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        if let Some(kept) = except
            && !store::sessions::exists::<U>(&mut *conn, user, kept).await?
        {
            return Err(Error::SessionEnded);
        }
        let sessions = store::sessions::delete::<U>(conn, user, except).await?;
        Ok(Revoked { user: user.to_string(), sessions, by_id: false })
    }

    /// Ends deleted sessions and their live connections in this process at once, and logs it. Other processes learn of
    /// it from the database.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn suspend(sigra: &sigra::Sigra<User>, user: i64) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     sqlx::query("UPDATE users SET suspended = true WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     let revoked = sigra.sessions().end_all_access_in(&mut tx, &user, None).await?;
    ///     tx.commit().await?;
    ///     sigra.sessions().announce(revoked);
    ///     Ok(())
    /// }
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "sessions are announced once")]
    pub fn announce(self, revoked: Revoked) {
        self.sigra.parts.cache.forget(&revoked.user);
        self.sigra.revoked(&revoked);
    }

    /// Like [`announce`](Self::announce), once the transaction is committed, even if the client disconnects before. Use
    /// it in handlers of `GET`: unlike [those of other methods](crate::scope::FetchCurrentScopeLayer), they end when
    /// the client disconnects.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn suspend(sigra: &sigra::Sigra<User>, user: i64) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     sqlx::query("UPDATE users SET suspended = true WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     let revoked = sigra.sessions().end_all_access_in(&mut tx, &user, None).await?;
    ///     sigra.sessions().announce_in(&mut tx, revoked);
    ///     tx.commit().await
    /// }
    /// ```
    pub fn announce_in(self, tx: &mut Transaction<U>, revoked: Revoked) {
        let sigra = self.sigra.clone();
        tx.after_commit(move || sigra.sessions().announce(revoked));
    }

    /// Makes the next request in this process read the user from the database. Call it after a commit that changed or
    /// deleted a user's row, on PostgreSQL: otherwise it takes some milliseconds, as in other processes. On SQLite,
    /// every request sees the change anyway.
    pub fn announce_change(self, user: &U::Id) {
        self.sigra.parts.cache.forget(user);
    }
}
