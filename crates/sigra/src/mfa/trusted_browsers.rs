//! Browsers that skip the second factor for a while.

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

/// A browser in which a user logs in without a second factor.
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
    /// The ID of the row.
    pub id: Uuid,
    /// The IP address that it was trusted from.
    pub ip: Option<IpAddr>,
    /// The browser's `User-Agent` header.
    pub user_agent: Option<String>,
    /// When the user trusted it.
    pub inserted_at: OffsetDateTime,
    /// The second factor that the user presented then.
    pub verified_by: Option<FactorKind>,
}

impl TrustedBrowser {
    /// Returns the browser and the operating system in words, such as `Firefox on Linux`.
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
    /// Lists trusted browsers and ends the trust in them. Returned by [`Sigra::trusted_browsers`].
    TrustedBrowsers,
    /// Returns the handle for browsers that [skip the second factor](crate::mfa#trusted-browsers).
    trusted_browsers
}

/// Trusted browsers.
impl<U: AuthUser> TrustedBrowsers<'_, U> {
    /// Returns the browsers that a user trusts, the most recent first: at most 16. A user who trusts one more loses the
    /// trust in the oldest.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn names(sigra: &sigra::Sigra<User>, user: &User) -> sigra::Result<Vec<String>> {
    ///     let trusted = sigra.trusted_browsers().list(&user.id).await?;
    ///     Ok(trusted.iter().map(|browser| browser.device()).collect())
    /// }
    /// ```
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

    /// Ends the trust in one of a user's browsers. Returns whether it was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete(self, user: &U::Id, id: Uuid, client: &Client) -> Result<bool, Error> {
        transact!(self.sigra, conn => {
            store::users::lock::<U>(&mut *conn, user).await?;
            let was_theirs = store::browsers::delete::<U>(conn, BrowserKind::Trusted, user, Some(id)).await? > 0;
            if was_theirs {
                self.sigra.audit().record_in(conn, &audit::own_event(audit::BROWSER_DISTRUSTED, user, client)).await?;
            }
            Ok(was_theirs)
        })
    }

    /// Ends the trust in all browsers of a user, in the host's own transaction, and returns how many there were.
    /// Functions that end sessions because a password or a second factor changed already do this. The user's row is
    /// locked, so a concurrent login happens entirely before or after it.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_all_in(self, conn: &mut Connection<U>, user: &U::Id) -> Result<u64, Error> {
        store::users::lock::<U>(&mut *conn, user).await?;
        Ok(store::browsers::delete::<U>(conn, BrowserKind::Trusted, user, None).await?)
    }

    /// Ends the trust in all browsers of a user except the one that sends the request, in the host's own transaction.
    /// Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_others_in(self, conn: &mut Connection<U>, scope: &Scope<U>) -> Result<u64, Error> {
        let (user, kept) = (scope.user().id(), scope.session().id);
        store::users::lock::<U>(&mut *conn, &user).await?;
        Ok(store::browsers::delete_all_but_that_of_session::<U>(conn, BrowserKind::Trusted, &user, kept).await?)
    }

    /// Returns this browser if the user trusts it.
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

    /// Trusts this browser. After the commit, it gets a token that replaces its earlier one.
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
        self.sigra.audit().record_in(tx, &audit::own_event(audit::BROWSER_TRUSTED, &user, &client)).await?;
        let session = session.clone();
        tx.after_commit(move || session.keep_trust_token(token, before.map(|before| before.token)));
        Ok(())
    }
}
