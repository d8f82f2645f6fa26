use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Client, Error, Session, Sigra, User, audit,
    sigra::Connection,
    store::{SecondFactors, TrustedBrowser},
    token::{TokenHash, TrustToken},
};

/// Browsers that are trusted without a second factor.
impl<U: User> Sigra<U> {
    /// The browsers that a user trusts, the latest first.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list_trusted_browsers(&self, user: &U::Id) -> Result<Vec<TrustedBrowser>, Error> {
        let mut conn = self.pool().acquire().await?;
        let after = self.now() - self.config().mfa_trust_ttl;
        Ok(U::Database::list_trusted_browsers(&mut conn, user, after).await?)
    }

    /// Trusts one of a user's browsers no longer. Tells whether it was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_trusted_browser(&self, user: &U::Id, id: Uuid, client: &Client) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let was_theirs = U::Database::delete_trusted_browsers(&mut tx, user, Some(id)).await? > 0;
        if was_theirs {
            self.record(&mut tx, &audit::own_event(audit::BROWSER_DISTRUSTED, user, client)).await?;
        }
        tx.commit().await?;
        Ok(was_theirs)
    }

    /// Trusts no browser of a user any longer, in the host's own transaction. What ends sessions because of a change
    /// of password or of factors does so by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_trusted_browsers_in(&self, conn: &mut Connection<U>, user: &U::Id) -> Result<u64, Error> {
        Ok(U::Database::delete_trusted_browsers(conn, user, None).await?)
    }

    /// Whether this browser is one of them.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn trusted_browser(&self, session: &Session, user: &U::Id) -> Result<Option<TrustedBrowser>, Error> {
        if session.trust_tokens().iter().next().is_none() {
            return Ok(None);
        }
        let found = self.find_trusted_browser(&mut *self.pool().acquire().await?, session, user).await?;
        Ok(found.map(|(browser, _)| browser))
    }

    /// When the user trusted this browser, which was when they last showed a second factor in it.
    pub(crate) async fn trusted_at(
        &self,
        conn: &mut Connection<U>,
        session: &Session,
        user: &U::Id,
    ) -> Result<Option<OffsetDateTime>, Error> {
        Ok(self.find_trusted_browser(conn, session, user).await?.map(|(browser, _)| browser.inserted_at))
    }

    async fn find_trusted_browser(
        &self,
        conn: &mut Connection<U>,
        session: &Session,
        user: &U::Id,
    ) -> Result<Option<(TrustedBrowser, TokenHash)>, Error> {
        let after = self.now() - self.config().mfa_trust_ttl;
        for token in session.trust_tokens().iter().map(TrustToken::hash) {
            if let Some(found) = U::Database::find_trusted_browser(&mut *conn, user, token, after).await? {
                return Ok(Some((found, token)));
            }
        }
        Ok(None)
    }

    /// Trusts this browser, in place of before. Gives the token, and the one that it takes the place of.
    pub(super) async fn insert_trusted_browser(
        &self,
        conn: &mut Connection<U>,
        session: &Session,
        user: &U,
    ) -> Result<(TrustToken, Option<TokenHash>), Error> {
        let (user, client) = (user.id(), session.client());
        let before = self.find_trusted_browser(&mut *conn, session, &user).await?;
        if let Some((before, _)) = &before {
            U::Database::delete_trusted_browsers(&mut *conn, &user, Some(before.id)).await?;
        }
        let token = TrustToken::generate()?;
        U::Database::insert_trusted_browser(conn, &user, token.hash(), &client, self.now()).await?;
        self.record(conn, &audit::own_event(audit::BROWSER_TRUSTED, &user, &client)).await?;
        Ok((token, before.map(|(_, hash)| hash)))
    }
}
