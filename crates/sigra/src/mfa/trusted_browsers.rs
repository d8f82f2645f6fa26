use time::OffsetDateTime;
use uuid::Uuid;

use super::FactorKind;
use crate::{
    Client, Error, Scope, Session, Sigra, User, audit,
    clock::earlier,
    sigra::Connection,
    store::{NewTrustedBrowser, SecondFactors, TrustedBrowser},
    token::{BrowserToken, TokenHash},
};

/// A second factor that a log-in need not ask for.
#[derive(Clone, Copy)]
pub(crate) struct ShownFactor {
    pub at: OffsetDateTime,
    pub kind: Option<FactorKind>,
    /// The trusted browser that it was shown in.
    pub trusted: Option<Uuid>,
}

/// Browsers that are trusted without a second factor.
impl<U: User> Sigra<U> {
    /// The browsers that a user trusts, the latest first.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list_trusted_browsers(&self, user: &U::Id) -> Result<Vec<TrustedBrowser>, Error> {
        let mut conn = self.pool().acquire().await?;
        let after = earlier(self.now(), self.config().mfa_trust_ttl);
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

    /// Trusts no browser of a user any longer but the one that they act in, in the host's own transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_other_trusted_browsers_in(
        &self,
        conn: &mut Connection<U>,
        scope: &Scope<U>,
    ) -> Result<u64, Error> {
        let (user, kept) = (scope.user().id(), scope.session().id);
        Ok(U::Database::delete_trusted_browsers_but(conn, &user, kept).await?)
    }

    /// The second factor that the user showed when they trusted this browser: the last one that was shown in it.
    pub(crate) async fn shown_before(
        &self,
        conn: &mut Connection<U>,
        session: &Session,
        user: &U::Id,
    ) -> Result<Option<ShownFactor>, Error> {
        let trusted = self.find_trusted_browser(conn, session, user).await?;
        Ok(trusted.map(|(trusted, _)| ShownFactor {
            at: trusted.inserted_at,
            kind: trusted.verified_by,
            trusted: Some(trusted.id),
        }))
    }

    async fn find_trusted_browser(
        &self,
        conn: &mut Connection<U>,
        session: &Session,
        user: &U::Id,
    ) -> Result<Option<(TrustedBrowser, TokenHash)>, Error> {
        let after = earlier(self.now(), self.config().mfa_trust_ttl);
        for token in session.trust_tokens().iter().map(BrowserToken::hash) {
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
        scope: &Scope<U>,
        factor: FactorKind,
    ) -> Result<(BrowserToken, Option<TokenHash>), Error> {
        let (user, client) = (scope.user().id(), session.client());
        let before = self.find_trusted_browser(&mut *conn, session, &user).await?;
        if let Some((before, _)) = &before {
            U::Database::delete_trusted_browsers(&mut *conn, &user, Some(before.id)).await?;
        }
        let token = BrowserToken::generate()?;
        let new = NewTrustedBrowser {
            token: token.hash(),
            client: &client,
            now: self.now(),
            verified_by: Some(factor),
            session: Some(scope.session().id),
        };
        U::Database::insert_trusted_browser(conn, &user, &new).await?;
        self.record(conn, &audit::own_event(audit::BROWSER_TRUSTED, &user, &client)).await?;
        Ok((token, before.map(|(_, hash)| hash)))
    }
}
