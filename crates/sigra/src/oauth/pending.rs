//! Identities that wait for a browser's next step.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    base::{
        error::Error,
        token::{BrowserToken, FlowToken, TokenHash},
    },
    browser::cookie_session::CookieSession,
    model::{
        checked::Checked,
        identity::{ProviderIdentity, ProviderTokens},
        log_in::RememberMe,
        provider_secrets::FLOW_TTL,
        user::{AuthUser, Connection},
        window::Window,
    },
    oauth::identities::{HeldTokens, Identities},
    sigra::transact,
    store::{self, NewFlow},
};

/// An identity that waits for this browser's next step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingIdentity {
    /// Names it in the form of the next step. It proves nothing in another browser.
    pub id: String,
    /// The identity.
    pub identity: ProviderIdentity,
    /// Whether the user asked to be remembered.
    pub remember_me: RememberMe,
}

/// The identity that waits, as its row has it.
#[derive(Serialize, Deserialize)]
struct Held {
    issuer: String,
    subject: String,
    provider: String,
    email: Option<String>,
    email_proven: bool,
    tokens: Option<HeldTokens>,
}

impl From<&ProviderIdentity> for Held {
    fn from(identity: &ProviderIdentity) -> Self {
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            provider: identity.provider.clone(),
            email: identity.email.clone(),
            email_proven: identity.email_proven,
            tokens: identity.tokens.as_ref().map(HeldTokens::from),
        }
    }
}

impl From<Held> for ProviderIdentity {
    fn from(held: Held) -> Self {
        Self {
            provider: held.provider,
            issuer: held.issuer,
            subject: held.subject,
            email: held.email,
            email_proven: held.email_proven,
            auth_time: None,
            tokens: held.tokens.map(ProviderTokens::from),
        }
    }
}

/// Identities that wait for a browser's next step.
impl<U: AuthUser> Identities<'_, U> {
    /// Lets an identity wait for the next step of this browser, for ten minutes: until the owner of the account has
    /// logged in, or the visitor has entered an email address. It replaces one that waits already.
    ///
    /// # Errors
    ///
    /// [`Error::Database`], [`Error::Encryption`], [`Error::Random`].
    pub async fn hold(
        self,
        session: &CookieSession,
        identity: &ProviderIdentity,
        remember_me: RememberMe,
    ) -> Result<(), Error> {
        let browser = self.sigra.browser_token(session)?;
        let state = FlowToken::generate()?.hash();
        let sealed = self.sigra.seal_flow(state, &Held::from(identity))?;
        let new = NewFlow {
            state,
            browser: browser.hash(),
            provider: &identity.provider,
            purpose: store::oauth_flows::PENDING,
            acting: None,
            remembered: remember_me == RememberMe::Yes,
            sealed: &sealed,
            now: self.sigra.now(),
        };
        transact!(self.sigra, conn => {
            store::oauth_flows::delete_pending::<U>(conn, browser.hash(), None).await?;
            Ok(store::oauth_flows::insert::<U>(conn, &new).await?)
        })?;
        session.keep_oauth_token(browser, FLOW_TTL);
        Ok(())
    }

    /// Returns the identity that waits for this browser.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn pending(self, session: &CookieSession) -> Result<Option<PendingIdentity>, Error> {
        let Some(browser) = session.oauth_token() else { return Ok(None) };
        self.find_pending(&mut *self.sigra.pool().acquire().await?, &browser).await
    }

    /// Uses up the identity that waits for this browser, in the transaction of the next step. `id` is the one that the
    /// page named, so that a user gets only what they saw. Of several concurrent calls, only one gets it.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn take_pending_in(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        id: &str,
    ) -> Result<Checked<PendingIdentity>, Error> {
        let Some(browser) = session.oauth_token() else { return Ok(Checked::Invalid) };
        let Some(pending) = self.find_pending(&mut *conn, &browser).await?.filter(|pending| pending.id == id) else {
            return Ok(Checked::Invalid);
        };
        let state = decode_id(&pending.id);
        let taken = store::oauth_flows::delete_pending::<U>(conn, browser.hash(), state).await?;
        Ok((taken == 1).then_some(pending).into())
    }

    /// Forgets the identity that waits for this browser, because the user doesn't want it.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_pending(self, session: &CookieSession) -> Result<(), Error> {
        let Some(browser) = session.oauth_token() else { return Ok(()) };
        transact!(self.sigra, conn => {
            store::oauth_flows::delete_pending::<U>(conn, browser.hash(), None).await?;
            Ok(())
        })
    }

    async fn find_pending(
        self,
        conn: &mut Connection<U>,
        browser: &BrowserToken,
    ) -> Result<Option<PendingIdentity>, Error> {
        let since = Window::of(FLOW_TTL, self.sigra.now());
        let Some(row) = store::oauth_flows::find_pending::<U>(conn, browser.hash(), since).await? else {
            return Ok(None);
        };
        let held: Option<Held> = self.sigra.unseal_flow(row.state, &row.sealed);
        Ok(held.map(|held| PendingIdentity {
            id: URL_SAFE_NO_PAD.encode(row.state.as_bytes()),
            identity: held.into(),
            remember_me: row.remembered.into(),
        }))
    }
}

fn decode_id(id: &str) -> Option<TokenHash> {
    let decoded = URL_SAFE_NO_PAD.decode(id).ok()?;
    <[u8; 32]>::try_from(decoded).ok().map(TokenHash::from)
}
