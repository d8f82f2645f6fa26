use std::net::IpAddr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::{error::Error, token::BrowserToken},
    browser::cookie_session::CookieSession,
    model::{
        audit,
        client::{Client, Device},
        scope::Scope,
        second_factor::FactorKind,
        transaction::Transaction,
        user::{AuthUser, Connection},
    },
    sigra::{Sigra, handle, transact},
    store::{self, Browser, BrowserKind, NewBrowser, Seen},
};

/// A browser that needs no second factor.
///
/// ```
/// # use sigra::mfa::TrustedBrowser;
/// fn describe(browser: &TrustedBrowser) -> String {
///     format!("{} since {}", browser.device(), browser.inserted_at)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustedBrowser {
    /// The row's id.
    pub id: Uuid,
    /// The address that it was trusted from.
    pub ip: Option<IpAddr>,
    /// Which browser.
    pub user_agent: Option<String>,
    /// Since when.
    pub inserted_at: OffsetDateTime,
    /// The second factor that its user showed then.
    pub verified_by: Option<FactorKind>,
}

impl TrustedBrowser {
    /// The browser and system in words: `Firefox on Linux`.
    #[must_use]
    pub fn device(&self) -> String {
        Device::from_user_agent(self.user_agent.as_deref().unwrap_or_default()).to_string()
    }
}

impl<Id> From<Browser<Id>> for TrustedBrowser {
    fn from(browser: Browser<Id>) -> Self {
        let Browser { id, ip, user_agent, inserted_at, verified_by, .. } = browser;
        Self { id, ip, user_agent, inserted_at, verified_by }
    }
}

handle! {
    /// Browsers that skip the second factor. From [`Sigra::trusted_browsers`].
    TrustedBrowsers,
    /// Browsers that [skip the second factor](crate::mfa#trusted-browsers).
    trusted_browsers
}

/// Browsers that are trusted without a second factor.
impl<U: AuthUser> TrustedBrowsers<'_, U> {
    /// The browsers that a user trusts, the latest first. There are at most 16: who trusts another is asked again in the
    /// one that they have trusted for longest.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(self, user: &U::Id) -> Result<Vec<TrustedBrowser>, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        let listed =
            store::browsers::list::<U>(&mut conn, BrowserKind::Trusted, user, self.sigra.trusted_within()).await?;
        Ok(listed.into_iter().map(TrustedBrowser::from).collect())
    }

    /// Trusts one of a user's browsers no longer. Tells whether it was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete(self, user: &U::Id, id: Uuid, client: &Client) -> Result<bool, Error> {
        transact!(self.sigra, conn => {
            let was_theirs = store::browsers::delete::<U>(conn, BrowserKind::Trusted, user, Some(id)).await? > 0;
            if was_theirs {
                self.sigra.audit().record(conn, &audit::own_event(audit::BROWSER_DISTRUSTED, user, client)).await?;
            }
            Ok(was_theirs)
        })
    }

    /// Trusts no browser of a user any longer, in the host's own transaction. What ends sessions because of a change
    /// of password or of factors does so by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_all_in(self, conn: &mut Connection<U>, user: &U::Id) -> Result<u64, Error> {
        Ok(store::browsers::delete::<U>(conn, BrowserKind::Trusted, user, None).await?)
    }

    /// Trusts no browser of a user any longer but the one that they act in, in the host's own transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_others_in(self, conn: &mut Connection<U>, scope: &Scope<U>) -> Result<u64, Error> {
        let (user, kept) = (scope.user().id(), scope.session().id);
        Ok(store::browsers::delete_all_but_that_of_session::<U>(conn, BrowserKind::Trusted, &user, kept).await?)
    }

    /// Whether this browser is one of them.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn current(self, session: &CookieSession, user: &U::Id) -> Result<Option<TrustedBrowser>, Error> {
        if session.trust_tokens().iter().next().is_none() {
            return Ok(None);
        }
        let found = self.sigra.find_trusted_browser(&mut *self.sigra.pool().acquire().await?, session, user).await?;
        Ok(found.map(TrustedBrowser::from))
    }

    /// Trusts this browser, which gets a token once that is committed, in place of one from before.
    pub(super) async fn trust_in(
        self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        factor: FactorKind,
    ) -> Result<(), Error> {
        let (user, client, kind) = (scope.user().id(), session.client(), BrowserKind::Trusted);
        let before = self.sigra.find_trusted_browser(tx, session, &user).await?;
        if let Some(before) = &before {
            store::browsers::delete::<U>(tx, kind, &user, Some(before.id)).await?;
        }
        let token = BrowserToken::generate()?;
        let new = NewBrowser {
            kind,
            token: token.hash(),
            client: &client,
            seen: Seen { mfa_verified_at: Some(self.sigra.now()), now: self.sigra.now() },
            verified_by: Some(factor),
            session: Some(scope.session().id),
        };
        store::browsers::insert::<U>(tx, &user, &new).await?;
        self.sigra.audit().record(tx, &audit::own_event(audit::BROWSER_TRUSTED, &user, &client)).await?;
        let session = session.clone();
        tx.after_commit(move || session.keep_trust_token(token, before.map(|before| before.token)));
        Ok(())
    }
}
