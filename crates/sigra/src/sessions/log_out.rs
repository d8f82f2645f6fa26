//! Logging out: ends all sessions that the browser presents.

use crate::{
    base::{clock::earlier, error::Error, telemetry, token::SessionToken},
    browser::cookie_session::CookieSession,
    model::{
        audit::{Audit, own_event},
        client::Client,
        session::{EndedSession, PresentedToken, SessionId},
        user::{AuthUser, Connection},
    },
    sigra::{Sigra, transact},
    store,
};

impl<U: AuthUser> Sigra<U> {
    /// Logs the browser out: deletes its session, expires its cookies and ends its live connections. Does nothing
    /// harmful in a browser that isn't logged in.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    #[tracing::instrument(level = "debug", name = "sigra.log_out", skip_all)]
    pub async fn log_out(&self, session: &CookieSession) -> Result<(), Error> {
        if !session.presented().is_empty() {
            let ended = transact!(self, conn => {
                self.lock_users_of(conn, &session.presented(), session.authenticated_session(), None).await?;
                let ended = self.end_presented_in(conn, session).await?;
                for ended in &ended {
                    self.audit().record_in(conn, &own_event(telemetry::LOGOUT, &ended.user, &session.client())).await?;
                }
                Ok(ended)
            })?;
            self.logged_out(&ended);
        }
        session.end();
        Ok(())
    }

    /// Deletes the session of a token. It is not an error if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_session(&self, token: &SessionToken) -> Result<(), Error> {
        let (token, client) = (std::slice::from_ref(token), Client::default());
        let ended = transact!(self, conn => {
            self.lock_users_of(conn, token, None, None).await?;
            self.end_tokens_in(conn, token, None, &client).await
        })?;
        self.logged_out(&ended);
        Ok(())
    }

    /// Ends every session, of any user, that the browser presents a current or earlier token of, and the session that
    /// authenticated this request: another tab may be renewing it at this moment. The rows of their users must be
    /// [locked](Self::lock_presented).
    pub(crate) async fn end_presented_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
    ) -> Result<Vec<EndedSession<U::Id>>, Error> {
        self.end_tokens_in(conn, &session.presented(), session.authenticated_session(), &session.client()).await
    }

    async fn end_tokens_in(
        &self,
        conn: &mut Connection<U>,
        tokens: &[SessionToken],
        authenticated: Option<SessionId>,
        client: &Client,
    ) -> Result<Vec<EndedSession<U::Id>>, Error> {
        let replaced_after = earlier(self.now(), self.parts.config.sessions.reissue_grace);
        let mut sessions = Vec::new();
        for token in tokens {
            let presented = PresentedToken { token: token.hashes(), authenticated, replaced_after };
            let ended = store::sessions::delete_presented::<U>(&mut *conn, &presented).await?;
            for ended in ended.iter().filter(|ended| ended.is_reuse) {
                let event = Audit::new(telemetry::TOKEN_REUSED).of(ended.user.clone()).from(client);
                self.audit().record_in(&mut *conn, &event).await?;
            }
            sessions.extend(ended);
        }
        Ok(sessions)
    }

    fn logged_out(&self, sessions: &[EndedSession<U::Id>]) {
        for ended in sessions {
            tracing::info!(target: "sigra", event = telemetry::LOGOUT, session_id = %ended.id);
        }
        self.ended(sessions);
    }

    pub(crate) fn ended(&self, sessions: &[EndedSession<U::Id>]) {
        for ended in sessions.iter().filter(|ended| ended.is_reuse) {
            let (user_id, session_id) = (&ended.user, ended.id);
            tracing::warn!(target: "sigra", event = telemetry::TOKEN_REUSED, %user_id, %session_id);
        }
        let ids: Vec<SessionId> = sessions.iter().map(|ended| ended.id).collect();
        self.end_sessions(&ids);
    }
}
