//! A new token for a session whose user has proved something, or whose privileges have changed.

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
    /// Gives the browser a new session token and a new cookie session, as every change of privilege must
    /// (OWASP ASVS 7.2.4). The old token is dead at once; the session, and its live connections, go on.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session is gone by now, or another request has renewed it: who began
    /// before a renewal does not come by the new token.
    pub async fn renew_session(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        transact!(self, if true, tx => self.renew_session_in(tx, session, scope).await)
    }

    /// The same in the host's own transaction, with the change that it goes with: both are done, or neither is. The
    /// browser gets the new token once it is committed.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
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
    /// [`Error::SessionEnded`], as above. Roll the transaction back then.
    pub async fn renew_session_in(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
    ) -> Result<(), Error> {
        self.renew_session_with(tx, session, scope, None).await
    }

    /// The same, and notes what the user has proved.
    pub(crate) async fn renew_session_with(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        proof: Option<Proof>,
    ) -> Result<(), Error> {
        let token = self.replace_token_in(tx, session, scope, proof).await?;
        let (sigra, session, scope) = (self.clone(), session.clone(), scope.clone());
        tx.after_commit(move || sigra.renewed(&session, &scope, token));
        Ok(())
    }

    /// Notes that the user proved who they are once more, by their password, and [renews](Self::renew_session) the
    /// session. Who has a second factor proves it
    /// [by that](crate::mfa::Mfa::reauthenticate).
    ///
    /// # Errors
    ///
    /// [`Error::SecondFactorRequired`] for such a user, [`Error::SessionEnded`] if the session is gone by now.
    pub async fn reauthenticate(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        let user = scope.user().id();
        transact!(self, if true, tx => {
            self.lock_scope(tx, scope).await?;
            if store::second_factors::exist::<U>(tx, &user).await? {
                return Err(Error::SecondFactorRequired);
            }
            self.audit().record(tx, &own_event(telemetry::REAUTHENTICATION_SUCCESS, &user, &session.client())).await?;
            self.renew_session_with(tx, session, scope, Some(Proof::Password)).await
        })?;
        tracing::info!(
            target: "sigra", event = telemetry::REAUTHENTICATION_SUCCESS,
            user_id = %user, session_id = %scope.session().id,
        );
        Ok(())
    }

    /// Gives the session another token, for whoever still holds a good one.
    async fn replace_token_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        proof: Option<Proof>,
    ) -> Result<SessionToken, Error> {
        for held in session.held() {
            let token = held.successor()?;
            let renewal = Renewal { token: token.hash(), now: self.now(), proof };
            if store::sessions::replace_token::<U>(&mut *conn, scope.session().id, held.hash(), &renewal).await? {
                return Ok(token);
            }
        }
        Err(Error::SessionEnded)
    }

    /// Gives the browser the token that its session has now.
    fn renewed(&self, session: &CookieSession, scope: &Scope<U>, token: SessionToken) {
        // A second factor that was pending has come.
        let row = SessionRow { mfa_pending: false, ..scope.session().clone() };
        self.parts.cache.forget(&row.id);
        session.renew(token, self.remember_for(&row), &self.parts.config.survives_renewal);
        tracing::info!(target: "sigra", event = telemetry::SESSION_RENEWED, session_id = %row.id);
    }

    /// How long a remembered session's cookie lives: as long as the session, to the next whole second. There is none
    /// while the second factor is pending.
    pub(crate) fn remember_for(&self, session: &SessionRow) -> Option<Duration> {
        let left = later(session.inserted_at, self.parts.config.sessions.ttl) - self.now();
        let seconds = u64::try_from(left.whole_milliseconds()).unwrap_or_default().div_ceil(1000);
        (session.remembered && !session.mfa_pending).then(|| Duration::from_secs(seconds))
    }
}
