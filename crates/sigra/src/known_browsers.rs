use time::OffsetDateTime;

use crate::{
    AuthUser, CookieSession, Error, Sigra,
    session::KNOWN_BROWSER_TTL,
    sigra::Connection,
    store::{Browser, BrowserKind, Browsers, NewBrowser, Seen, Window},
    token::BrowserToken,
};

/// Browsers that users have logged in with, see [limits](crate::limits#known-browsers).
impl<U: AuthUser> Sigra<U> {
    /// Makes the browser known to be a user's, in the host's own transaction: after a reset of the password, say,
    /// which makes [all of them](Self::delete_all_tokens_in) unknown. A log-in does so by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::Random`].
    pub async fn remember_browser_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<(), Error> {
        self.remember_browser_with(conn, session, user, None).await
    }

    /// Forgets the browsers of a user, in the host's own transaction: when they are logged out everywhere, say. What
    /// [deletes all tokens](Self::delete_all_tokens_in) does so by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_known_browsers_in(&self, conn: &mut Connection<U>, user: &U::Id) -> Result<u64, Error> {
        Ok(U::Database::delete_browsers(conn, BrowserKind::Known, user, None).await?)
    }

    /// The same as [`remember_browser_in`](Self::remember_browser_in), and when they showed a second factor in it.
    pub(crate) async fn remember_browser_with(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
        mfa_verified_at: Option<OffsetDateTime>,
    ) -> Result<(), Error> {
        let seen = Seen { mfa_verified_at, now: self.now() };
        if let Some(known) = self.find_known_browser(&mut *conn, session, Some(user)).await? {
            <U::Database as Browsers<U>>::touch_browser(conn, known.id, seen).await?;
            session.keep_known_tokens();
            return Ok(());
        }
        let token = BrowserToken::generate()?;
        let (kind, hash, client) = (BrowserKind::Known, token.hash(), session.client());
        let new = NewBrowser { kind, token: hash, client: &client, seen, verified_by: None, session: None };
        U::Database::insert_browser(conn, user, &new).await?;
        session.keep_new_known_token(token);
        Ok(())
    }

    /// Whether the browser is a user's, if there is such a user. It takes the same work if there is none.
    pub(crate) async fn known_browser(
        &self,
        session: &CookieSession,
        user: Option<&U::Id>,
    ) -> Result<Option<Browser<U::Id>>, Error> {
        if session.known_tokens().hashes().is_empty() {
            return Ok(None);
        }
        self.find_known_browser(&mut *self.pool().acquire().await?, session, user).await
    }

    pub(crate) async fn find_known_browser(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: Option<&U::Id>,
    ) -> Result<Option<Browser<U::Id>>, Error> {
        let tokens = session.known_tokens().hashes();
        if tokens.is_empty() {
            return Ok(None);
        }
        let used = Window::of(KNOWN_BROWSER_TTL, self.now());
        let known = <U::Database as Browsers<U>>::find_browsers(conn, BrowserKind::Known, &tokens, used).await?;
        Ok(known.into_iter().find(|known| Some(&known.user) == user))
    }
}
