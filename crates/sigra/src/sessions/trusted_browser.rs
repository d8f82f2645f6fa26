//! The second factor that a login doesn't require again, because the user presented it in this trusted browser.
//! `mfa::trusted_browsers` starts and ends the trust.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::error::Error,
    browser::cookie_session::CookieSession,
    model::{
        second_factor::FactorKind,
        user::{AuthUser, Connection},
        window::Window,
    },
    sigra::Sigra,
    store::{self, Browser, BrowserKind},
};

/// A second factor that was already presented, so that the login doesn't require it.
#[derive(Clone, Copy)]
pub(crate) struct PresentedFactor {
    pub at: OffsetDateTime,
    pub kind: Option<FactorKind>,
    /// The trusted browser that it was presented in.
    pub trusted: Option<Uuid>,
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the second factor that the user presented when they trusted this browser, if they did.
    pub(crate) async fn presented_before(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<Option<PresentedFactor>, Error> {
        let trusted = self.find_trusted_browser(conn, session, user).await?;
        Ok(trusted.map(|trusted| PresentedFactor {
            at: trusted.inserted_at,
            kind: trusted.verified_by,
            trusted: Some(trusted.id),
        }))
    }

    pub(crate) async fn find_trusted_browser(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<Option<Browser<U::Id>>, Error> {
        let tokens = session.trust_tokens().hashes();
        if tokens.is_empty() {
            return Ok(None);
        }
        let used = self.trusted_within();
        let found = store::browsers::find::<U>(conn, BrowserKind::Trusted, &tokens, used).await?;
        Ok(found.into_iter().find(|trusted| trusted.user == *user))
    }

    /// Returns the window in which a browser must have been trusted to be trusted now.
    pub(crate) fn trusted_within(&self) -> Window {
        Window::of(self.parts.config.second_factors.trust_ttl, self.now())
    }
}
