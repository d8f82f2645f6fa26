//! A flow: a browser's visit to a provider, from the button to the callback.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    base::{
        error::Error,
        telemetry,
        token::{BrowserToken, FlowToken, TokenHash},
    },
    browser::cookie_session::CookieSession,
    model::{
        identity::ProviderIdentity,
        log_in::RememberMe,
        provider_secrets::FLOW_TTL,
        scope::{Scope, Sudo},
        session::SessionId,
        user::AuthUser,
        window::Window,
    },
    oauth::{
        error::OauthError,
        providers::{AuthorizationRequest, AuthorizationResponse, Providers},
    },
    sigra::{Sigra, handle, transact},
    store::{self, FlowRow, NewFlow},
};

/// The longest code, in bytes. Real ones have at most 2,000.
const MAX_CODE: usize = 8192;

/// What a flow is for. It ends in nothing else.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FlowPurpose<'a, U: AuthUser> {
    /// A visitor logs in, or registers.
    LogIn(RememberMe),
    /// A logged-in user links an account. They must come back in the same session.
    Link(&'a Sudo<U>),
    /// A logged-in user reauthenticates, for [sudo mode](Sudo). They must come back in the same session.
    Reauthenticate(&'a Scope<U>),
}

impl<U: AuthUser> FlowPurpose<'_, U> {
    fn name(&self) -> &'static str {
        match self {
            Self::LogIn(_) => LOGIN,
            Self::Link(_) => LINK,
            Self::Reauthenticate(_) => REAUTHENTICATE,
        }
    }

    fn acting(&self) -> Option<(U::Id, SessionId)> {
        let scope = match self {
            Self::LogIn(_) => return None,
            Self::Link(Sudo(scope)) => scope,
            Self::Reauthenticate(scope) => scope,
        };
        Some((scope.user().id(), scope.session().id))
    }
}

const LOGIN: &str = "log_in";
const LINK: &str = "link";
const REAUTHENTICATE: &str = "sudo";

/// What the provider adds to the address of the callback. Extract it from the query, such as with axum's `Query`.
///
/// ```
/// let callback: sigra::oauth::Callback = serde_json::from_str(r#"{ "error": "access_denied", "state": "x" }"#)?;
/// assert_eq!(callback.error.as_deref(), Some("access_denied"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, Deserialize)]
#[non_exhaustive]
pub struct Callback {
    /// The code.
    pub code: Option<String>,
    /// The state that the flow began with.
    pub state: Option<String>,
    /// The issuer (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code (RFC 6749 section 4.1.2.1). Anybody can write anything here.
    pub error: Option<String>,
}

/// Shows no code and no state.
impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

/// A browser that came back from a provider, with a verified identity.
#[must_use = "nobody is logged in yet, and nothing is linked"]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FlowOutcome {
    /// To log in: [decide](crate::oauth::Identities::decide) what the identity leads to.
    LogIn {
        /// The identity.
        identity: ProviderIdentity,
        /// Whether the user asked to be remembered.
        remember_me: RememberMe,
    },
    /// To [link](crate::oauth::Identities::link_in) the identity to the user of this session, who began the flow.
    Link(ProviderIdentity),
    /// To [reauthenticate](crate::oauth::Identities::reauthenticate) the user of this session, who began the flow.
    Reauthenticate(ProviderIdentity),
}

/// Why a flow failed. No message has a code, a state, or a text of the provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The callback has no state, no code, or one that is too long.
    #[error("the callback is incomplete")]
    Incomplete,
    /// No flow of this browser at this provider has this state: it expired, was used, or began in another browser.
    #[error("there is no such flow: it expired, was used, or began in another browser")]
    UnknownFlow,
    /// The flow was begun by another user, or in another session.
    #[error("the flow was begun in another session")]
    OtherSession,
    /// The user said no at the provider.
    #[error("the user didn't allow the login at the provider")]
    Denied,
    /// The provider reports another error.
    #[error("the provider reports an error")]
    Refused,
    /// The provider, or what it says.
    #[error(transparent)]
    Provider(#[from] OauthError),
    /// The database, for example.
    #[error(transparent)]
    Library(#[from] Error),
}

impl FlowError {
    /// Returns the reason in one word, for telemetry.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::UnknownFlow => "unknown_flow",
            Self::OtherSession => "other_session",
            Self::Denied => "access_denied",
            Self::Refused => "provider_error",
            Self::Provider(error) => error.reason(),
            Self::Library(_) => "internal",
        }
    }
}

/// What only this flow knows.
#[derive(Serialize, Deserialize)]
struct Secrets {
    nonce: String,
    verifier: String,
}

handle! {
    /// Sends browsers to providers, and receives them. Returned by [`Sigra::oauth_flows`].
    OauthFlows,
    /// Returns the handle for [logins at providers](crate::oauth).
    oauth_flows
}

impl<U: AuthUser> OauthFlows<'_, U> {
    /// Begins a flow, and returns the URL to redirect the browser to with a 303. Call it only from a `POST`, so that no
    /// other site can begin a flow.
    ///
    /// The flow is bound to this browser by a cookie, to the provider and to the purpose, and can be completed once,
    /// within ten minutes. A browser can have 8 at once, one for each tab.
    ///
    /// The cookie is `SameSite=Lax`, so it isn't sent with the form that
    /// [Apple](crate::oauth::Provider::posts_callback) posts. Redirect that form to the same path with a `GET`.
    ///
    /// # Errors
    ///
    /// [`FlowError::Provider`] if there is no such provider or it can't be reached, and [`FlowError::Library`].
    pub async fn begin(
        self,
        session: &CookieSession,
        providers: &Providers,
        provider: &str,
        redirect_uri: &str,
        purpose: FlowPurpose<'_, U>,
    ) -> Result<String, FlowError> {
        let (state, nonce, verifier) = (FlowToken::generate()?, FlowToken::generate()?, FlowToken::generate()?);
        let request = AuthorizationRequest {
            redirect_uri,
            state: &state.encode(),
            nonce: &nonce.encode(),
            pkce_verifier: &verifier.encode(),
            reauthenticate: matches!(purpose, FlowPurpose::Reauthenticate(_)),
        };
        let url = providers.url_for(provider, request).await;
        let url = url.map_err(FlowError::from).inspect_err(|error| log_failure(providers, provider, error))?;
        let secrets = Secrets { nonce: nonce.encode().to_string(), verifier: verifier.encode().to_string() };
        let browser = self.sigra.browser_token(session)?;
        let sealed = self.sigra.seal_flow(state.hash(), &secrets)?;
        let new = NewFlow {
            state: state.hash(),
            browser: browser.hash(),
            provider,
            purpose: purpose.name(),
            acting: purpose.acting(),
            remembered: matches!(purpose, FlowPurpose::LogIn(RememberMe::Yes)),
            sealed: &sealed,
            now: self.sigra.now(),
        };
        transact!(self.sigra, conn => Ok(store::oauth_flows::insert::<U>(conn, &new).await?))?;
        session.keep_oauth_token(browser, FLOW_TTL);
        self.sigra.ensure_purged();
        Ok(url)
    }

    /// Completes a flow at the callback of its provider, and returns the verified identity. Whatever the result, the
    /// flow is used up, unless this browser didn't begin it at this provider. `scope` is the user who sends the
    /// request.
    ///
    /// # Errors
    ///
    /// [`FlowError`]. All but [`FlowError::Library`] can be caused by a visitor: show a page that says what happened.
    pub async fn complete(
        self,
        session: &CookieSession,
        scope: Option<&Scope<U>>,
        providers: &Providers,
        provider: &str,
        redirect_uri: &str,
        callback: &Callback,
    ) -> Result<FlowOutcome, FlowError> {
        let arrived = self.arrive(session, scope, providers, provider, redirect_uri, callback).await;
        arrived.inspect_err(|error| log_failure(providers, provider, error))
    }

    async fn arrive(
        self,
        session: &CookieSession,
        scope: Option<&Scope<U>>,
        providers: &Providers,
        provider: &str,
        redirect_uri: &str,
        callback: &Callback,
    ) -> Result<FlowOutcome, FlowError> {
        if providers.get(provider).is_none() {
            return Err(OauthError::UnknownProvider.into());
        }
        let state = callback.state.as_deref().ok_or(FlowError::Incomplete)?;
        let state = FlowToken::parse(state).ok_or(FlowError::UnknownFlow)?.hash();
        let browser = session.oauth_token().ok_or(FlowError::UnknownFlow)?.hash();
        let begun = Window::of(FLOW_TTL, self.sigra.now());
        let taken = transact!(self.sigra, conn => {
            Ok(store::oauth_flows::take::<U>(conn, state, browser, provider, begun).await?)
        })?;
        let flow = taken.ok_or(FlowError::UnknownFlow)?;
        let code = code(callback)?;
        check_acting(&flow, scope)?;
        let secrets: Secrets = self.sigra.unseal_flow(state, &flow.sealed).ok_or(FlowError::UnknownFlow)?;
        let response = AuthorizationResponse {
            code,
            iss: callback.iss.as_deref(),
            redirect_uri,
            nonce: &secrets.nonce,
            pkce_verifier: &secrets.verifier,
            reauthenticated_since: (flow.purpose == REAUTHENTICATE).then_some(flow.inserted_at),
        };
        let identity = providers.identity_from(provider, response).await?;
        Ok(match flow.purpose.as_str() {
            LINK => FlowOutcome::Link(identity),
            REAUTHENTICATE => FlowOutcome::Reauthenticate(identity),
            _ => FlowOutcome::LogIn { identity, remember_me: flow.remembered.into() },
        })
    }
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the token that binds flows to this browser, a new one if it has none.
    pub(super) fn browser_token(&self, session: &CookieSession) -> Result<BrowserToken, Error> {
        session.oauth_token().map_or_else(BrowserToken::generate, Ok)
    }

    /// Encrypts what only the flow with this state knows.
    pub(super) fn seal_flow(&self, state: TokenHash, secrets: &impl Serialize) -> Result<Vec<u8>, Error> {
        let json = zeroize::Zeroizing::new(serde_json::to_vec(secrets)?);
        self.parts.encryption_keys.encrypt(&json, &context(state))
    }

    pub(super) fn unseal_flow<T: DeserializeOwned>(&self, state: TokenHash, sealed: &[u8]) -> Option<T> {
        let json = self.parts.encryption_keys.decrypt(sealed, &context(state))?;
        serde_json::from_slice(&json).ok()
    }
}

fn context(state: TokenHash) -> String {
    format!("oauth flow {}", URL_SAFE_NO_PAD.encode(state.as_bytes()))
}

/// Returns the code, or the error that came instead of it.
fn code(callback: &Callback) -> Result<&str, FlowError> {
    match callback.error.as_deref() {
        // The second is Apple's name for it.
        Some("access_denied" | "user_cancelled_authorize") => Err(FlowError::Denied),
        Some(_) => Err(FlowError::Refused),
        None => {
            let code = callback.code.as_deref().filter(|code| !code.is_empty() && code.len() <= MAX_CODE);
            code.ok_or(FlowError::Incomplete)
        }
    }
}

/// Checks that the user who began the flow sends the request, in the same session.
fn check_acting<U: AuthUser>(flow: &FlowRow<U::Id>, scope: Option<&Scope<U>>) -> Result<(), FlowError> {
    if flow.purpose == LOGIN {
        return Ok(());
    }
    let is_same = scope.is_some_and(|scope| {
        flow.user.as_ref() == Some(&scope.user().id()) && flow.session == Some(scope.session().id)
    });
    if is_same { Ok(()) } else { Err(FlowError::OtherSession) }
}

/// Logs why a flow failed. A name that is not a provider's came from the visitor, and isn't logged.
fn log_failure(providers: &Providers, provider: &str, error: &FlowError) {
    let provider = providers.get(provider).map(crate::oauth::provider::Provider::name);
    tracing::info!(target: "sigra", event = telemetry::OAUTH_FAILURE, provider, reason = error.reason());
}
