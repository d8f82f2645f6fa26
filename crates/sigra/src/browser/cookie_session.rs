//! The cookie session of a request, and the cookies of its response.

use std::{
    any::Any,
    fmt::{self, Display},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "api-tokens")]
use std::net::IpAddr;

use http::HeaderMap;
#[cfg(feature = "device-bound")]
use http::HeaderValue;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

#[cfg(feature = "device-bound")]
use crate::browser::{
    binding::{BindingOfRequest, BindingOfResponse},
    bound_cookie::{BoundCookie, Proof},
};
use crate::{
    base::{
        error::Error,
        fingerprint::{Fingerprint, FingerprintKey},
        token::{BrowserToken, CookieSessionId, SessionToken, TokenHash},
    },
    browser::{
        browser_tokens::{KnownTokens, TrustTokens},
        cookies::{Cookies, SetCookies},
        entries::Entries,
        flash::{Flash, FlashMessage},
        presented::PresentedTokens,
        request_cookies::RequestCookies,
        return_to::ReturnTo,
        token_fate::{RememberMeCookie, TokenFate},
        visit::Visit,
    },
    model::{
        client::{Client, Sender},
        session::SessionId,
    },
};

const RETURN_TO: &str = "return_to";
/// An entry without information, which only shows that the browser keeps cookies.
const TRIAL: &str = "trial";

/// The cookie session of a request. A handler takes it as an argument. Clones share their state.
///
/// Entries are signed, but the browser can read them, so put no secrets there. If the response is an [`Error`], or its
/// status is 500 or higher, all entries stay as they were, so that no later page shows a message of what failed. What a
/// login, a renewal or a logout changed before stays changed.
///
/// ```
/// use axum::response::Redirect;
/// use sigra::{Flash, CookieSession};
///
/// async fn add_to_cart(session: CookieSession) -> Result<Redirect, sigra::Error> {
///     let mut cart: Vec<u32> = session.get("cart").unwrap_or_default();
///     cart.push(42);
///     session.put("cart", &cart)?;
///     session.put_flash(Flash::Info, "Added to your cart.")?;
///     Ok(Redirect::to("/cart"))
/// }
/// ```
#[derive(Clone)]
pub struct CookieSession(Arc<Inner>);

/// The parts of a [`Sigra`](crate::Sigra), for any type of user.
pub(crate) trait AnyParts: Any + Send + Sync {
    fn cookies(&self) -> &Cookies;

    /// Makes the readiness probe query the database.
    fn doubt_database(&self);
}

struct Inner {
    parts: Arc<dyn AnyParts>,
    sender: Sender,
    request: RequestCookies,
    /// The session that the request was authenticated with.
    authenticated: OnceLock<SessionId>,
    /// Whether the response shows a user who isn't logged in: one who presented a bearer token.
    is_private: AtomicBool,
    #[cfg(feature = "device-bound")]
    binding: OnceLock<BindingOfRequest>,
    /// Created when it is needed, because most requests of logged-in users neither read nor write an entry.
    state: OnceLock<Box<Mutex<State>>>,
}

/// What the request presents, and what its response changes.
struct State {
    /// The tokens that the browser presented, even if they were replaced since.
    presented: PresentedTokens,
    /// The token that the request was authenticated with.
    authenticated_token: Option<SessionToken>,
    token_fate: TokenFate,
    entries: Entries,
    /// What the browser does with the response. It is known once a handler takes the session as an argument.
    visit: Visit,
    known_write: Option<KnownTokens>,
    login_browser: Option<Box<LoginBrowser>>,
    trust_write: Option<TrustTokens>,
    #[cfg(feature = "oauth")]
    oauth_write: Option<(BrowserToken, Duration)>,
    #[cfg(feature = "device-bound")]
    binding: BindingOfResponse,
}

/// The browser of a login in this request.
struct LoginBrowser {
    user: String,
    /// The ID of the known browser. `None` if it was new to the user.
    id: Option<Uuid>,
}

/// Device-bound sessions.
#[cfg(feature = "device-bound")]
impl CookieSession {
    /// Returns what the request proves for a session and its key.
    pub(crate) fn proof(&self, session: SessionId, key: [u8; 16], now_ms: i64) -> Proof {
        self.0.parts.cookies().proof(&self.0.request, session, key, now_ms)
    }

    /// Notes what is known of the bound cookie from the request itself.
    pub(crate) fn note_binding(&self, binding: BindingOfRequest) {
        self.0.binding.get_or_init(|| binding);
    }

    /// Returns what was noted.
    pub(crate) fn binding(&self) -> &BindingOfRequest {
        self.0.binding.get_or_init(BindingOfRequest::default)
    }

    /// Gives the browser the bound cookie.
    pub(crate) fn keep_bound(&self, bound: BoundCookie, max_age: Duration) {
        self.state().binding.set(bound, max_age);
    }

    /// Offers to bind the session, with this header.
    pub(crate) fn offer_binding(&self, header: HeaderValue) {
        self.state().binding.offer(header);
    }
}

impl CookieSession {
    pub(crate) fn new(parts: Arc<dyn AnyParts>, headers: &HeaderMap, sender: Sender) -> Self {
        Self(Arc::new(Inner {
            parts,
            sender,
            request: RequestCookies::of(headers),
            authenticated: OnceLock::new(),
            is_private: AtomicBool::new(false),
            #[cfg(feature = "device-bound")]
            binding: OnceLock::new(),
            state: OnceLock::new(),
        }))
    }

    /// Returns the parts of the [`Sigra`](crate::Sigra) whose layer it belongs to.
    pub(crate) fn parts(&self) -> &Arc<dyn AnyParts> {
        &self.0.parts
    }

    /// Returns the fingerprint of the token cookies, without verifying them. `None` unless there is one of each name,
    /// or no remember-me cookie.
    pub(crate) fn fingerprint(&self, key: &FingerprintKey) -> Option<Fingerprint> {
        self.0.parts.cookies().fingerprint(&self.0.request, key)
    }

    /// Returns whether the request has a session cookie, valid or not.
    pub(crate) fn has_token(&self) -> bool {
        self.0.parts.cookies().has_token(&self.0.request)
    }

    /// Returns the tokens that the browser presented, verified.
    pub(crate) fn tokens(&self) -> PresentedTokens {
        self.state().presented.clone()
    }

    /// Returns the cookie-session id, which is new after every login and change of privileges. `None` while nobody is
    /// logged in.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.state().entries.id.map(|id| id.to_string())
    }

    /// Keeps the response out of all caches.
    #[cfg(feature = "api-tokens")]
    pub(crate) fn keep_private(&self) {
        self.0.is_private.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_private(&self) -> bool {
        self.0.is_private.load(Ordering::Relaxed)
    }

    /// Returns the IP address of the client.
    #[cfg(feature = "api-tokens")]
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.0.sender.ip
    }

    /// Returns the client that sent the request.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.sender.client()
    }

    /// Returns an entry. `None` if there is none, or if it has another type.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&self.state().entries.get(name)?).ok()
    }

    /// Puts an entry, under a name of ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// [`Error::CookieTooLarge`] for more than about 3 KB of JSON, [`Error::EntryName`], [`Error::Json`].
    pub fn put<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Error> {
        self.state().entries.put(name, serde_json::to_vec(value)?)
    }

    /// Removes an entry.
    pub fn remove(&self, name: &str) {
        self.state().entries.remove(name);
    }

    /// Returns an entry and removes it. For a `HEAD` or a prefetched page, which the user may never see, it isn't
    /// removed.
    #[must_use]
    pub fn take<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let value = self.get(name)?;
        let mut state = self.state();
        if state.visit != Visit::Unseen {
            state.entries.remove(name);
        }
        Some(value)
    }

    /// Puts a flash message for the next page, if that page [takes it](Self::take_flash) within a minute.
    ///
    /// Unlike other entries, it survives the login or logout of its own request. If two tabs put messages at the same
    /// moment, both are shown.
    ///
    /// # Errors
    ///
    /// [`Error::CookieTooLarge`] if all waiting messages together have more than about 3 KB.
    pub fn put_flash(&self, kind: Flash, text: impl Into<String>) -> Result<(), Error> {
        self.state().entries.put_flash(FlashMessage::new(kind, text))
    }

    /// Returns the waiting flash messages and removes them, if the response is a page that the user sees. Call it in
    /// the layout that all your pages share.
    ///
    /// Images, streams, frames, fragments for scripts, `HEAD` and prefetched pages get no messages and leave them to
    /// the next page. They are recognized by `Sec-Fetch-Mode`, `Sec-Fetch-Dest`, `Sec-Purpose`, `HX-Request` and
    /// `Accept`.
    ///
    /// ```
    /// use axum::response::Html;
    /// use sigra::CookieSession;
    ///
    /// async fn home(session: CookieSession) -> Html<String> {
    ///     let messages = session.take_flash();
    ///     let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    ///     let shown = messages.iter().map(|flash| {
    ///         format!("<p class={}>{}</p>", flash.kind.as_str(), escaped(&flash.text))
    ///     });
    ///     Html(shown.collect::<String>() + "<h1>Home</h1>")
    /// }
    /// ```
    #[must_use]
    pub fn take_flash(&self) -> Vec<FlashMessage> {
        let mut state = self.state();
        if state.visit == Visit::Page { state.entries.take_flash() } else { Vec::new() }
    }

    /// Puts the path to return to after the login.
    pub fn put_return_to(&self, path: &ReturnTo) {
        let json = serde_json::Value::from(path.as_str()).to_string().into_bytes();
        if let Err(error) = self.state().entries.put(RETURN_TO, json) {
            tracing::debug!(target: "sigra", %error, "the path to return to is not kept");
        }
    }

    /// Returns the path to return to, and removes it.
    #[must_use]
    pub fn take_return_to(&self) -> Option<ReturnTo> {
        self.take::<String>(RETURN_TO).as_deref().and_then(ReturnTo::parse)
    }

    /// Sets a cookie unless the browser has one, to find out whether it keeps cookies. Call it on the page with the
    /// login form. If the form is then submitted [without cookies](Self::has_cookies), tell the user why they can't log
    /// in.
    ///
    /// # Errors
    ///
    /// [`Error::Json`].
    pub fn probe_cookies(&self) -> Result<(), Error> {
        if self.has_cookies() { Ok(()) } else { self.put(TRIAL, &true) }
    }

    /// Returns whether the browser sent any cookie of the library, valid or not.
    ///
    /// If a browser [got one](Self::probe_cookies) and sends none, it keeps no cookies, or refuses `Secure` cookies
    /// over plain HTTP, or refuses those of another [domain](crate::Config::cookie_domain).
    #[must_use]
    pub fn has_cookies(&self) -> bool {
        self.0.parts.cookies().is_any_ours(&self.0.request)
    }

    /// Returns whether this request logged in a user with a browser that is new to them, so that you can notify them:
    /// they hadn't logged in with it before, or for 400 days, or since their password changed.
    ///
    /// ```
    /// # fn send_mail(_: &str) {}
    /// fn after_log_in(session: &sigra::CookieSession, email: &str) {
    ///     if session.is_new_browser() {
    ///         send_mail(email);
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_new_browser(&self) -> bool {
        self.state().login_browser.as_ref().is_some_and(|browser| browser.id.is_none())
    }

    /// Notes that a user logs in, and the ID of the browser if it is known to be theirs already.
    pub(crate) fn note_browser(&self, user: &dyn Display, id: Option<Uuid>) {
        self.state().login_browser = Some(Box::new(LoginBrowser { user: user.to_string(), id }));
    }

    /// Returns the ID of the browser if this user logged in with it in this request: `Some(None)` if it was new to
    /// them.
    pub(crate) fn noted_browser(&self, user: &dyn Display) -> Option<Option<Uuid>> {
        let state = self.state();
        state.login_browser.as_ref().filter(|browser| browser.user == user.to_string()).map(|browser| browser.id)
    }

    /// Returns the tokens that the browser is known by, one for each user.
    pub(crate) fn known_tokens(&self) -> KnownTokens {
        let written = self.state().known_write.clone();
        written.unwrap_or_else(|| KnownTokens::all_of(self.0.parts.cookies().read_known(&self.0.request)))
    }

    /// Gives the browser a token that it is known by from now on.
    pub(crate) fn keep_new_known_token(&self, token: BrowserToken) {
        let mut tokens = self.known_tokens();
        tokens.put(token, None);
        self.state().known_write = Some(tokens);
    }

    /// Extends the lifetime of the tokens that the browser is known by.
    pub(crate) fn keep_known_tokens(&self) {
        let tokens = self.known_tokens();
        self.state().known_write = Some(tokens);
    }

    /// Returns the tokens of a trusted browser, one for each user who trusted it.
    pub(crate) fn trust_tokens(&self) -> TrustTokens {
        TrustTokens::all_of(self.0.parts.cookies().read_mfa_trust(&self.0.request))
    }

    /// Gives the browser a token of a trusted one, which can replace one that it has.
    pub(crate) fn keep_trust_token(&self, token: BrowserToken, in_place_of: Option<TokenHash>) {
        let mut tokens = self.trust_tokens();
        tokens.put(token, in_place_of);
        self.state().trust_write = Some(tokens);
    }

    /// Returns the token that binds flows to this browser. `None` if it has none, or several of which one was planted.
    #[cfg(feature = "oauth")]
    pub(crate) fn oauth_token(&self) -> Option<BrowserToken> {
        if let Some((token, _)) = &self.state().oauth_write {
            return Some(token.clone());
        }
        let tokens = self.0.parts.cookies().read_oauth(&self.0.request);
        let [token] = &tokens[..] else { return None };
        Some(token.clone())
    }

    /// Lets the browser keep the token that binds flows to it.
    #[cfg(feature = "oauth")]
    pub(crate) fn keep_oauth_token(&self, token: BrowserToken, max_age: Duration) {
        self.state().oauth_write = Some((token, max_age));
    }

    /// Returns the names of all entries `<prefix><UUID>`, oldest first. Several requests can each put one without
    /// overwriting another's. The entries may have become invalid.
    pub(crate) fn names_of_entries(&self, prefix: &str) -> Vec<String> {
        self.state().entries.names_of(prefix)
    }

    /// Returns all tokens that the browser presented.
    pub(crate) fn presented(&self) -> Vec<SessionToken> {
        self.state().presented()
    }

    /// Returns the tokens that the browser has after the response: those presented, or the one that replaced them.
    pub(crate) fn held(&self) -> Vec<SessionToken> {
        let state = self.state();
        match &state.token_fate {
            TokenFate::Replace { token, .. } => vec![token.clone()],
            TokenFate::Expire { .. } => Vec::new(),
            TokenFate::Keep => state.presented(),
        }
    }

    /// Begins a new cookie session under a new token. It keeps only the path to return to and the entries that the host
    /// lists.
    pub(crate) fn renew(&self, token: SessionToken, remember_for: Option<Duration>, survivors: &[String]) {
        let mut state = self.state();
        state.entries.clear_except(survivors.iter().map(String::as_str).chain([RETURN_TO]));
        state.entries.id = Some(token.cookie_session_id());
        let remember_me = remember_for.map_or(RememberMeCookie::Expire, RememberMeCookie::For);
        state.token_fate = TokenFate::Replace { token, remember_me };
    }

    /// Ends the cookie session, and removes all entries.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.entries.clear();
        state.entries.id = None;
        state.token_fate = TokenFate::expire_all();
        #[cfg(feature = "device-bound")]
        if self.0.parts.cookies().has_bound(&self.0.request) {
            state.binding.expire();
        }
    }

    /// Continues under one of the presented tokens and the cookie session that it was presented in. A remembered token,
    /// which has none, begins a new one.
    pub(crate) fn continue_under(&self, token: &SessionToken, id: Option<CookieSessionId>) {
        let mut state = self.state();
        state.authenticated_token = Some(token.clone());
        state.entries.id = Some(id.unwrap_or_else(|| token.cookie_session_id()));
    }

    /// Notes the session that the request was authenticated with.
    pub(crate) fn note_authenticated(&self, session: SessionId) {
        self.0.authenticated.get_or_init(|| session);
    }

    /// Returns the session that the request was authenticated with, even if its token was replaced since.
    pub(crate) fn authenticated_session(&self) -> Option<SessionId> {
        self.0.authenticated.get().copied()
    }

    /// Continues without a token, because those of the browser have no session.
    pub(crate) fn continue_without_token(&self) {
        self.state().entries.id = None;
    }

    /// Returns whether this request logged in or out, so that nothing else may write the token cookies.
    pub(crate) fn is_settled(&self) -> bool {
        self.changes().is_some_and(|state| !state.token_fate.is_keep())
    }

    pub(crate) fn set_token_fate(&self, fate: TokenFate) {
        self.state().token_fate = fate;
    }

    /// Leaves the entries as they were, because the request failed.
    pub(crate) fn take_entries_back(&self) {
        if let Some(mut state) = self.changes() {
            state.entries.take_back();
        }
    }

    /// Notes what the browser does with the response.
    pub(crate) fn note_visit(&self, visit: Visit) {
        self.state().visit = visit;
    }

    /// Writes what changed to the response. Returns whether anything did.
    pub(crate) fn commit(&self, headers: &mut HeaderMap) -> bool {
        let Some(mut state) = self.changes() else { return false };
        let before = headers.len();
        state.write(self.0.parts.cookies(), headers);
        headers.len() > before
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.get_or_init(|| Box::new(Mutex::new(State::of(&self.0))));
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state if anything has needed it, so that there can be changes.
    fn changes(&self) -> Option<MutexGuard<'_, State>> {
        self.0.state.get().map(|state| state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn of(Inner { parts, request, .. }: &Inner) -> Self {
        let cookies = parts.cookies();
        let presented = cookies.read_tokens(request);
        let id = presented.key.valid().next().map(|key| key.id);
        Self {
            presented,
            authenticated_token: None,
            token_fate: TokenFate::Keep,
            entries: Entries::new(cookies.clone(), request.clone(), id),
            visit: Visit::Page,
            known_write: None,
            login_browser: None,
            trust_write: None,
            #[cfg(feature = "oauth")]
            oauth_write: None,
            #[cfg(feature = "device-bound")]
            binding: BindingOfResponse::default(),
        }
    }

    /// Returns the presented tokens, beginning with the one that the request was authenticated with.
    fn presented(&self) -> Vec<SessionToken> {
        let PresentedTokens { key, remember_me } = &self.presented;
        let mut presented: Vec<SessionToken> = Vec::new();
        for token in key.valid().map(|key| &key.token).chain(remember_me.valid()) {
            if presented.iter().all(|known| known.hash() != token.hash()) {
                presented.push(token.clone());
            }
        }
        let authenticated_token = self.authenticated_token.as_ref().map(SessionToken::hash);
        presented.sort_by_key(|token| Some(token.hash()) != authenticated_token);
        presented
    }

    /// Writes what changed. What is written once isn't written again.
    fn write(&mut self, cookies: &Cookies, headers: &mut HeaderMap) {
        // First, because waiting messages are read in the cookie session of the request, and the token can begin
        // another.
        self.entries.settle_flash();
        let mut jar = SetCookies { headers, request: &self.entries.request };
        #[cfg(feature = "device-bound")]
        self.binding.write(cookies, &mut jar);
        if let Some(tokens) = self.trust_write.take() {
            cookies.set_mfa_trust(&mut jar, &tokens);
        }
        #[cfg(feature = "oauth")]
        if let Some((token, max_age)) = self.oauth_write.take() {
            cookies.set_oauth(&mut jar, &token, max_age);
        }
        if let Some(tokens) = self.known_write.take() {
            cookies.set_known(&mut jar, &tokens);
        }
        std::mem::take(&mut self.token_fate).write(cookies, &mut jar, &mut self.entries.id);
        self.entries.write(headers);
    }
}

/// Never shows the content.
impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSession").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, header};

    use super::*;
    use crate::{
        base::{
            clock::Clock,
            keys::{SecretKeyBase, Secrets},
        },
        browser::{cookie_options::CookieSettings, request_cookies::tests::SEEN},
    };

    struct Parts(Cookies);

    impl AnyParts for Parts {
        fn cookies(&self) -> &Cookies {
            &self.0
        }

        fn doubt_database(&self) {}
    }

    fn cookies(domain: Option<&str>) -> Cookies {
        let settings = CookieSettings { domain: domain.map(str::to_owned), ..CookieSettings::of("app") };
        let newest = SecretKeyBase::new("0123456789".repeat(7)).expect("long enough");
        let secrets = Secrets { newest, older: Vec::new() };
        Cookies::new(&settings, Duration::from_secs(60), &secrets, &Clock::stopped())
    }

    fn session(cookies: &Cookies, cookie: &str) -> CookieSession {
        let request = Request::get("/").header(header::COOKIE, cookie).body(()).expect("a request");
        CookieSession::new(Arc::new(Parts(cookies.clone())), request.headers(), Sender::of(&request, &[]))
    }

    /// The names of the entries are in the request, so the client could choose how often it is searched.
    #[test]
    fn invariant_6_a_request_is_searched_a_few_times_however_many_messages_it_has() {
        const CAME: usize = 10_000;
        let names = (0..40).map(|number| format!("_app_key.flash-{number:032x}=x"));
        let cookie = ";".repeat(CAME - 40) + &names.collect::<Vec<_>>().join(";");
        for domain in [None, Some("example.com")] {
            let session = session(&cookies(domain), &cookie);
            SEEN.set(0);
            session.put_flash(Flash::Info, "Hello").expect("a short message");
            assert_eq!(session.take_flash().len(), 1);
            session.put_flash(Flash::Info, "Hello again").expect("a short message");
            session.put_return_to(&ReturnTo::parse("/me").expect("a path"));
            let mut headers = HeaderMap::new();
            assert!(session.commit(&mut headers));
            assert!(headers.len() >= 32, "messages that can't be read are removed");
            assert!(SEEN.get() <= 8 * CAME, "{domain:?}: {} cookies were searched, of {CAME}", SEEN.get());
        }
    }

    #[test]
    fn entries_are_found_before_and_after_the_request_was_searched_for_all_of_them() {
        let cookies = cookies(None);
        let before = session(&cookies, "");
        for number in 0..40 {
            before.put(&format!("entry{number}"), &number).expect("a short entry");
        }
        let mut headers = HeaderMap::new();
        before.commit(&mut headers);
        let set = headers.get_all(header::SET_COOKIE).iter().filter_map(|set| set.to_str().ok()?.split(';').next());
        let session = session(&cookies, &set.collect::<Vec<_>>().join("; "));
        for _ in 0..2 {
            for number in 0..40 {
                assert_eq!(session.get(&format!("entry{number}")), Some(number));
            }
            assert_eq!(session.get::<u32>("entry"), None);
            assert!(session.take_flash().is_empty());
        }
        session.remove("entry0");
        session.remove("entry39");
        session.remove("no entry");
        let mut headers = HeaderMap::new();
        session.commit(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
    }
}
