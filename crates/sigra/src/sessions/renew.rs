//! Renewing a session: a new token after its user reauthenticated or their privileges changed.

use std::time::Duration;

use crate::{
    base::{clock::later, error::Error, telemetry, token::SessionToken},
    browser::cookie_session::CookieSession,
    model::{
        audit::own_event,
        scope::Scope,
        session::{Proof, Renewal, SessionRow},
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::{Sigra, transact},
    store,
};

impl<U: AuthUser> Sigra<U> {
    /// Gives the browser a new session token and a new cookie session, as every change of privileges must (OWASP ASVS
    /// 7.2.4). The old token is invalid at once. The session and its live connections continue.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session has ended, or another request has renewed it: a request that began before
    /// a renewal doesn't get the new token.
    pub async fn renew_session(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        transact!(self, if true, tx => self.renew_session_in(tx, session, scope).await)
    }

    /// Like [`renew_session`](Self::renew_session), but in the host's own transaction, so that the renewal is committed
    /// with the change that causes it, or not at all. The browser gets the new token after the commit.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{Scope, CookieSession, Sigra};
    ///
    /// async fn become_admin(sigra: &Sigra<User>, session: &CookieSession, scope: &Scope<User>) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     let promote = sqlx::query("UPDATE users SET role = 'admin' WHERE id = $1").bind(scope.user().id);
    ///     promote.execute(&mut *tx).await?;
    ///     sigra.renew_session_in(&mut tx, session, scope).await?;
    ///     tx.commit().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`], as in [`renew_session`](Self::renew_session). Roll the transaction back then.
    pub async fn renew_session_in(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
    ) -> Result<(), Error> {
        self.renew_session_with(tx, session, scope, None).await.map(drop)
    }

    /// Like [`renew_session_in`](Self::renew_session_in), and records what the user proved. Returns the renewed session.
    pub(crate) async fn renew_session_with(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        proof: Option<Proof>,
    ) -> Result<SessionRow, Error> {
        let (token, row) = self.replace_token_in(tx, session, scope, proof).await?;
        let (sigra, session, renewed) = (self.clone(), session.clone(), row.clone());
        tx.after_commit(move || {
            sigra.renewed(&session, &renewed, token);
            // A thief who only has the cookies could cause other renewals.
            #[cfg(feature = "device-bound")]
            if proof.is_some() {
                sigra.offer_binding(&session, &renewed);
            }
        });
        Ok(row)
    }

    /// Records that you verified the user's password again, and [renews](Self::renew_session) the session. A user who
    /// has a second factor reauthenticates [with that](crate::mfa::Mfa::reauthenticate).
    ///
    /// # Errors
    ///
    /// [`Error::SecondFactorRequired`] if the user has a second factor, and [`Error::SessionEnded`] if the session has
    /// ended.
    pub async fn reauthenticate(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        let user = scope.user().id();
        transact!(self, if true, tx => {
            self.lock_scope(tx, scope).await?;
            if store::second_factors::exist::<U>(tx, &user).await? {
                return Err(Error::SecondFactorRequired);
            }
            self.audit().record_in(tx, &own_event(telemetry::REAUTHENTICATION_SUCCESS, &user, &session.client())).await?;
            self.renew_session_with(tx, session, scope, Some(Proof::Password)).await.map(drop)
        })?;
        tracing::info!(
            target: "sigra", event = telemetry::REAUTHENTICATION_SUCCESS,
            user_id = %user, session_id = %scope.session().id,
        );
        Ok(())
    }

    /// Replaces the session's token, if the browser still holds a valid one. Returns the new token and the row.
    async fn replace_token_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        proof: Option<Proof>,
    ) -> Result<(SessionToken, SessionRow), Error> {
        for held in session.held() {
            let token = held.successor()?;
            let renewal = Renewal { token: token.hash(), now: self.now(), proof };
            if store::sessions::replace_token::<U>(&mut *conn, scope.session().id, held.hash(), &renewal).await? {
                return Ok((token, renewal.of(scope.session())));
            }
        }
        Err(Error::SessionEnded)
    }

    /// Gives the browser the new token of its session.
    fn renewed(&self, session: &CookieSession, row: &SessionRow, token: SessionToken) {
        self.parts.cache.forget(&row.id);
        session.renew(token, self.remember_for(row), &self.parts.config.cookies.survives_renewal);
        tracing::info!(target: "sigra", event = telemetry::SESSION_RENEWED, session_id = %row.id);
    }

    /// Returns how long the cookie of a remembered session lives: as long as the session, rounded up to a second.
    /// `None` if the session isn't remembered, or its second factor is pending.
    pub(crate) fn remember_for(&self, session: &SessionRow) -> Option<Duration> {
        let left = later(session.inserted_at, self.parts.config.sessions.ttl) - self.now();
        let seconds = u64::try_from(left.whole_milliseconds()).unwrap_or_default().div_ceil(1000);
        (session.remembered && !session.mfa_pending).then(|| Duration::from_secs(seconds))
    }
}
