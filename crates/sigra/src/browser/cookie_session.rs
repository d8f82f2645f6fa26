//! The cookie session of a request, and what becomes of its cookies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    base::{
        error::Error,
        token::{BrowserToken, CookieSessionId, SessionToken, TokenHash},
    },
    browser::{
        browser_tokens::{KnownTokens, TrustTokens},
        cookies::{Cookies, PresentedTokens, RequestCookies, SetCookies},
        flash::{Flash, FlashMessage, WaitingFlash, name_of},
        return_to::ReturnTo,
        token_fate::{RememberMe, TokenFate},
        visit::Visit,
    },
    model::{
        client::{Client, Sender},
        session::SessionId,
    },
};

/// What the entries begin with that hold messages, and are named after them.
const FLASH: &str = "flash-";

/// With so many of them waiting, the next request puts them together in one.
const MOST_FLASHES: usize = 4;

const RETURN_TO: &str = "return_to";
/// Says nothing: it shows that the browser keeps cookies.
const TRIAL: &str = "trial";

/// The cookie session of one request. A handler takes it as an argument; clones are the same session.
///
/// What is put here is signed, and readable by the browser that holds it: no secrets. It goes out with an answer that
/// stands for success: one that is an [`Error`], or whose status is 500 or more, leaves all entries as they were, so that
/// no later page tells of what has failed. What a log-in, a renewal or a log-out has changed by then stays so.
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
pub struct CookieSession(Arc<Mutex<State>>);

struct State {
    cookies: Cookies,
    sender: Sender,
    request: RequestCookies,
    /// The tokens that the browser presented, whatever has become of them.
    presented: PresentedTokens,
    /// The session that the request was let in under, and its token.
    let_in: Option<SessionId>,
    acting: Option<TokenHash>,
    /// `None` while nobody is logged in.
    id: Option<CookieSessionId>,
    /// What becomes of the answer. A handler's argument knows.
    visit: Visit,
    /// Whether the entries that came are gone.
    is_cleared: bool,
    /// Entries put (`Some`) or removed (`None`) by this request.
    outgoing: BTreeMap<String, Option<Vec<u8>>>,
    flash: Vec<WaitingFlash>,
    token_fate: TokenFate,
    device_write: Option<KnownTokens>,
    is_new_browser: bool,
    mfa_trust_write: Option<TrustTokens>,
}

impl CookieSession {
    pub(crate) fn read(cookies: &Cookies, headers: &HeaderMap, sender: Sender) -> (Self, PresentedTokens) {
        let request = RequestCookies::of(headers);
        let tokens = cookies.read_tokens(&request);
        let state = State {
            cookies: cookies.clone(),
            sender,
            request,
            id: tokens.key.valid().next().map(|key| key.id),
            presented: tokens.clone(),
            let_in: None,
            acting: None,
            visit: Visit::Page,
            is_cleared: false,
            outgoing: BTreeMap::new(),
            flash: Vec::new(),
            token_fate: TokenFate::Keep,
            device_write: None,
            is_new_browser: false,
            mfa_trust_write: None,
        };
        (Self(Arc::new(Mutex::new(state))), tokens)
    }

    /// The cookie-session id: new at every login and privilege change, `None` while nobody is logged in.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.state().id.map(|id| id.to_string())
    }

    /// Who sent the request.
    #[must_use]
    pub fn client(&self) -> Client {
        self.state().sender.client()
    }

    /// An entry, if there is one and it has this type.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&self.state().entry(name)?).ok()
    }

    /// Puts an entry, under a name of ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// [`Error::CookieTooLarge`] past about 3 KB of JSON, [`Error::EntryName`], [`Error::Json`].
    pub fn put<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Error> {
        self.state().put(name, serde_json::to_vec(value)?)
    }

    /// Removes an entry.
    pub fn remove(&self, name: &str) {
        self.state().remove(name);
    }

    /// Takes an entry out. A `HEAD` and a page that is only fetched in advance leave it where it is, for nobody may ever
    /// see them.
    #[must_use]
    pub fn take<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let value = self.get(name)?;
        let mut state = self.state();
        if state.visit != Visit::Unseen {
            state.remove(name);
        }
        Some(value)
    }

    /// Puts a message that the next page shows, if that [takes it](Self::take_flash) within a minute: later it would be out
    /// of place. Unlike other entries it survives the login or logout of its own request. What two tabs put at the same
    /// moment is both shown.
    ///
    /// # Errors
    ///
    /// [`Error::CookieTooLarge`] when the messages that wait together have more than about 3 KB.
    pub fn put_flash(&self, kind: Flash, text: impl Into<String>) -> Result<(), Error> {
        let message = FlashMessage { kind, text: text.into() };
        let mut state = self.state();
        let mut waiting = state.waiting_flash();
        if waiting.iter().any(|waiting| waiting.message == message) {
            return Ok(());
        }
        let message = WaitingFlash::new(message, state.cookies.now());
        waiting.push(message.clone());
        state.cookies.check_entry(&new_name(FLASH), &serde_json::to_vec(&waiting)?)?;
        state.flash.push(message);
        Ok(())
    }

    /// Takes the messages that wait to be shown, if the answer is a page that somebody sees: for pictures, streams,
    /// frames, fragments that a script asks for, `HEAD`, and pages that are only fetched in advance there are none, and
    /// the next page has them. It is known by `Sec-Fetch-Mode`, `Sec-Fetch-Dest`, `Sec-Purpose`, `HX-Request` and
    /// `Accept`. Call it in what all your pages share: a layout.
    ///
    /// ```
    /// use axum::response::Html;
    /// use sigra::CookieSession;
    ///
    /// async fn home(session: CookieSession) -> Html<String> {
    ///     let messages = session.take_flash();
    ///     let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    ///     let messages = messages.iter().map(|flash| format!("<p class={}>{}</p>", flash.kind.as_str(), escaped(&flash.text)));
    ///     Html(messages.collect::<String>() + "<h1>Home</h1>")
    /// }
    /// ```
    #[must_use]
    pub fn take_flash(&self) -> Vec<FlashMessage> {
        let mut state = self.state();
        if state.visit != Visit::Page {
            return Vec::new();
        }
        let waiting = state.waiting_flash();
        state.flash.clear();
        // Those that have come, and no other: another tab may be putting one at this moment.
        state.names_of(FLASH).iter().for_each(|name| state.remove(name));
        waiting.into_iter().map(|waiting| waiting.message).collect()
    }

    /// Remembers where to return to after the login.
    pub fn put_return_to(&self, path: &ReturnTo) {
        let json = serde_json::Value::from(path.as_str()).to_string().into_bytes();
        if let Err(error) = self.state().put(RETURN_TO, json) {
            tracing::debug!(target: "sigra", %error, "the path to return to is not kept");
        }
    }

    /// Takes the path to return to.
    #[must_use]
    pub fn take_return_to(&self) -> Option<ReturnTo> {
        self.take::<String>(RETURN_TO).as_deref().and_then(ReturnTo::parse)
    }

    /// Gives the browser a cookie, unless it has one, to find out whether it keeps any: for the page with the log-in
    /// form. If the form then comes [without any](Self::has_cookies), nobody can be logged in, and should be told why.
    ///
    /// # Errors
    ///
    /// [`Error::Json`].
    pub fn try_cookies(&self) -> Result<(), Error> {
        if self.has_cookies() { Ok(()) } else { self.put(TRIAL, &true) }
    }

    /// Whether the browser sent any cookie of ours, whatever is in it. A browser that was [given
    /// one](Self::try_cookies) and sends none keeps no cookies, or none that are `Secure` over plain HTTP, or none of a
    /// foreign [domain](crate::Config::cookie_domain).
    #[must_use]
    pub fn has_cookies(&self) -> bool {
        let state = self.state();
        state.cookies.is_any_ours(&state.request)
    }

    /// Whether this request logged a user in who had not logged in with this browser before, or not for 400 days, or
    /// not since their password was changed. For telling them of a new device.
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
        self.state().is_new_browser
    }

    /// The tokens by which the browser is known, each for another user.
    pub(crate) fn known_tokens(&self) -> KnownTokens {
        let state = self.state();
        let written = state.device_write.clone();
        written.unwrap_or_else(|| KnownTokens::all_of(state.devices()))
    }

    /// Makes the browser hold a token by which it is known from now on.
    pub(crate) fn keep_new_known_token(&self, token: BrowserToken) {
        let mut tokens = self.known_tokens();
        tokens.put(token, None);
        let mut state = self.state();
        state.device_write = Some(tokens);
        state.is_new_browser = true;
    }

    /// Makes the browser hold the tokens that it has for longer.
    pub(crate) fn keep_known_tokens(&self) {
        let tokens = self.known_tokens();
        self.state().device_write = Some(tokens);
    }

    /// The tokens by which the browser is trusted without a second factor, each by another user.
    pub(crate) fn trust_tokens(&self) -> TrustTokens {
        let state = self.state();
        TrustTokens::all_of(state.cookies.read_mfa_trust(&state.request))
    }

    /// Makes the browser hold another token, in place of one that it holds.
    pub(crate) fn keep_trust_token(&self, token: BrowserToken, in_place_of: Option<TokenHash>) {
        let mut tokens = self.trust_tokens();
        tokens.put(token, in_place_of);
        self.state().mfa_trust_write = Some(tokens);
    }

    /// The names of the entries of a kind of which each request has its own, the oldest first. They may be good no
    /// longer.
    pub(crate) fn names_of_entries(&self, kind: &str) -> Vec<String> {
        self.state().names_of(kind)
    }

    /// Every token that the browser presented.
    pub(crate) fn presented(&self) -> Vec<SessionToken> {
        self.state().presented()
    }

    /// The tokens that stand for the browser by now: those presented, or the one that took their place.
    pub(crate) fn held(&self) -> Vec<SessionToken> {
        let state = self.state();
        match &state.token_fate {
            TokenFate::Replace { token, .. } => vec![token.clone()],
            TokenFate::Expire { .. } => Vec::new(),
            TokenFate::Keep => state.presented(),
        }
    }

    /// Begins a new cookie session under a new token: everything but return-to and what the host lists is
    /// dropped.
    pub(crate) fn renew(&self, token: SessionToken, remember_for: Option<Duration>, survivors: &[String]) {
        let mut state = self.state();
        let kept: Vec<(String, Vec<u8>)> = survivors
            .iter()
            .map(String::as_str)
            .chain([RETURN_TO])
            .filter_map(|name| Some((name.to_owned(), state.entry(name)?)))
            .collect();
        state.clear();
        state.outgoing.extend(kept.into_iter().map(|(name, json)| (name, Some(json))));
        state.id = Some(token.cookie_session_id());
        let remember_me = remember_for.map_or(RememberMe::Expire, RememberMe::For);
        state.token_fate = TokenFate::Replace { token, remember_me };
    }

    /// Ends the cookie session: everything is dropped.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.clear();
        state.id = None;
        state.token_fate = TokenFate::expire_all();
    }

    /// Lives under this token, of those that were presented, and the cookie session that it was presented in. A
    /// remembered one begins a cookie session.
    pub(crate) fn act_under(&self, token: &SessionToken, id: Option<CookieSessionId>) {
        let mut state = self.state();
        state.acting = Some(token.hash());
        state.id = Some(id.unwrap_or_else(|| token.cookie_session_id()));
    }

    /// Notes the session that the request was let in under.
    pub(crate) fn let_in_under(&self, session: SessionId) {
        self.state().let_in = Some(session);
    }

    /// The session that the request was let in under, whatever has become of its token since.
    pub(crate) fn let_in(&self) -> Option<SessionId> {
        self.state().let_in
    }

    /// Lives on without a token: what it holds was found dead.
    pub(crate) fn disown(&self) {
        self.state().id = None;
    }

    /// Whether this request logged in or out, so that nothing else may write the token cookies.
    pub(crate) fn is_settled(&self) -> bool {
        !self.state().token_fate.is_keep()
    }

    pub(crate) fn decide(&self, fate: TokenFate) {
        self.state().token_fate = fate;
    }

    /// Leaves the entries as they were, for the request came to nothing. Those of a cookie session that it has renewed
    /// or ended went with that; only its messages are taken back then.
    pub(crate) fn take_entries_back(&self) {
        let mut state = self.state();
        state.flash.clear();
        if state.token_fate.is_keep() {
            state.outgoing.clear();
        }
    }

    /// Notes what becomes of the answer.
    pub(crate) fn note_visit(&self, visit: Visit) {
        self.state().visit = visit;
    }

    /// Writes what changed. Tells whether there was anything.
    pub(crate) fn commit(&self, headers: &mut HeaderMap) -> bool {
        let mut state = self.state();
        state.settle_flash();
        let changed = !state.token_fate.is_keep()
            || state.device_write.is_some()
            || state.mfa_trust_write.is_some()
            || !state.outgoing.is_empty();
        let State { cookies, request, id, outgoing, token_fate, device_write, mfa_trust_write, .. } = &mut *state;
        let mut jar = SetCookies { headers, request };
        if let Some(tokens) = mfa_trust_write.take() {
            cookies.set_mfa_trust(&mut jar, &tokens);
        }
        if let Some(device) = device_write.take() {
            cookies.set_device(&mut jar, &device);
        }
        match std::mem::take(token_fate) {
            TokenFate::Replace { token, remember_me } => {
                let id = *id.get_or_insert_with(|| token.cookie_session_id());
                cookies.set_key(&mut jar, id, &token);
                match remember_me {
                    RememberMe::Keep => {}
                    RememberMe::For(max_age) => cookies.set_remember_me(&mut jar, &token, max_age),
                    RememberMe::Expire => cookies.expire_remember_me(&mut jar),
                }
            }
            TokenFate::Expire { key, remember_me, .. } => {
                if key {
                    cookies.expire_key(&mut jar);
                }
                if remember_me {
                    cookies.expire_remember_me(&mut jar);
                }
            }
            TokenFate::Keep => {}
        }
        for (name, json) in std::mem::take(outgoing) {
            match json {
                Some(json) => cookies.set_entry(&mut jar, &name, *id, &json),
                None => cookies.expire_entry(&mut jar, &name),
            }
        }
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The token that the request acts under comes first.
    fn presented(&self) -> Vec<SessionToken> {
        let PresentedTokens { key, remember_me } = &self.presented;
        let mut presented: Vec<SessionToken> = Vec::new();
        for token in key.valid().map(|key| &key.token).chain(remember_me.valid()) {
            if presented.iter().all(|known| known.hash() != token.hash()) {
                presented.push(token.clone());
            }
        }
        presented.sort_by_key(|token| Some(token.hash()) != self.acting);
        presented
    }

    fn devices(&self) -> Vec<KnownTokens> {
        self.cookies.read_devices(&self.request)
    }

    fn entry(&self, name: &str) -> Option<Vec<u8>> {
        match self.outgoing.get(name) {
            Some(outgoing) => outgoing.clone(),
            None if self.is_cleared => None,
            None => self.cookies.read_entry(name, &self.request, self.id),
        }
    }

    fn put(&mut self, name: &str, json: Vec<u8>) -> Result<(), Error> {
        self.cookies.check_entry(name, &json)?;
        self.outgoing.insert(name.to_owned(), Some(json));
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        if self.cookies.has_entry(name, &self.request) {
            self.outgoing.insert(name.to_owned(), None);
        } else {
            self.outgoing.remove(name);
        }
    }

    /// Removes every entry, this request's flash excepted.
    fn clear(&mut self) {
        self.outgoing = self.cookies.entry_names(&self.request).into_iter().map(|name| (name, None)).collect();
        self.is_cleared = true;
    }

    fn names_of(&self, kind: &str) -> Vec<String> {
        let came = self.cookies.entry_names(&self.request);
        let names: BTreeSet<String> = came.into_iter().chain(self.outgoing.keys().cloned()).collect();
        names.into_iter().filter(|name| is_of(kind, name)).collect()
    }

    fn waiting_flash(&self) -> Vec<WaitingFlash> {
        let now = self.cookies.now();
        let read = |name: String| serde_json::from_slice::<Vec<WaitingFlash>>(&self.entry(&name)?).ok();
        let kept = self.names_of(FLASH).into_iter().filter_map(read).flatten();
        let mut waiting: Vec<WaitingFlash> = Vec::new();
        for flash in kept.filter(|flash| flash.is_current(now)).chain(self.flash.iter().cloned()) {
            if waiting.iter().all(|known| known.message != flash.message) {
                waiting.push(flash);
            }
        }
        waiting.sort_by_key(WaitingFlash::order);
        waiting
    }

    fn settle_flash(&mut self) {
        if self.flash.is_empty() {
            return;
        }
        let before = self.names_of(FLASH);
        let messages = match before.len() < MOST_FLASHES {
            true => self.flash.clone(),
            false => {
                let waiting = self.waiting_flash();
                before.iter().for_each(|name| self.remove(name));
                waiting
            }
        };
        self.flash.clear();
        match serde_json::to_vec(&messages) {
            Ok(json) => drop(self.outgoing.insert(name_of(FLASH, &messages), Some(json))),
            Err(error) => tracing::error!(target: "sigra", %error, "a flash can't be written"),
        }
    }
}

/// A name for an entry of a kind of which each request has its own. Later ones come later in the alphabet.
pub(crate) fn new_name(kind: &str) -> String {
    format!("{kind}{}", Uuid::now_v7().simple())
}

/// Whether an entry is of such a kind. What a host calls an entry may begin in the same way.
fn is_of(kind: &str, name: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Never shows what is in it.
impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSession").finish_non_exhaustive()
    }
}
