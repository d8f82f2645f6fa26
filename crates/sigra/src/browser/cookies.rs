//! Reads and writes cookies: their names, attributes, signatures and sizes.

use std::{net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, Uri, header};
use time::OffsetDateTime;

#[cfg(feature = "oauth")]
use crate::base::token::BrowserToken;
use crate::{
    base::{
        clock::Clock,
        error::Error,
        fingerprint::{Fingerprint, FingerprintKey},
        keys::{Secrets, SigningKeys},
        token::{CookieSessionId, SessionToken},
    },
    browser::{
        browser_tokens::{KNOWN_BROWSER_TTL, KnownTokens, TrustTokens},
        cookie_options::{CookieOptions, CookieSettings},
        presented::{KeyCookie, MAX_COOKIE, PresentedTokens, verify},
        request_cookies::{IndexedCookies, MAX_OF_A_NAME, OwnCookies, RequestCookies},
    },
};
#[cfg(feature = "device-bound")]
use crate::{
    browser::bound_cookie::{BoundCookie, Proof},
    model::session::SessionId,
};

/// The size of the signature, the id and the separators around an entry's value.
const ENTRY_OVERHEAD: usize = 44 + 22 + 2;

/// For how many other domains a cookie is expired at most.
const MAX_DOMAINS: usize = 8;

/// Reads and writes all cookies of the library.
#[derive(Clone)]
pub(crate) struct Cookies(Arc<Inner>);

struct Inner {
    key: Named,
    remember_me: Named,
    device: Named,
    mfa_trust: Named,
    #[cfg(feature = "oauth")]
    oauth: Named,
    #[cfg(feature = "device-bound")]
    binding: Named,
    mfa_trust_ttl: Duration,
    entry_prefix: String,
    entry_keys: SigningKeys,
    domain: Option<String>,
    /// Other domains that a cookie may be left for. `None` is this host itself.
    other_domains: Vec<Option<String>>,
    secure: bool,
    clock: Clock,
}

struct Named {
    name: String,
    path: String,
    same_site: SameSite,
    keys: SigningKeys,
}

impl Named {
    /// Returns the value of a cookie of this name. It is empty if there is no `=`.
    fn value<'c>(&self, cookie: &'c [u8]) -> Option<&'c [u8]> {
        match cookie.strip_prefix(self.name.as_bytes())? {
            [] => Some(&[]),
            rest => rest.strip_prefix(b"="),
        }
    }

    /// Returns whether a browser keeps one such cookie for each host.
    fn is_of_this_host(&self) -> bool {
        self.name.starts_with(HOST_PREFIX)
    }
}

impl Cookies {
    pub fn new(settings: &CookieSettings, mfa_trust_ttl: Duration, secrets: &Secrets, clock: &Clock) -> Self {
        let keys = |purpose| SigningKeys::derive(secrets, purpose);
        let named = |options: &CookieOptions, purpose| Named {
            name: prefixed(options, settings),
            path: options.path.clone().into_owned(),
            same_site: options.same_site,
            keys: keys(purpose),
        };
        let key = named(&settings.session, "sigra cookie session");
        Self(Arc::new(Inner {
            entry_prefix: format!("{}.", key.name),
            key,
            remember_me: named(&settings.remember_me, "sigra remember me"),
            device: named(&settings.device, "sigra known device"),
            mfa_trust: named(&settings.mfa_trust, "sigra mfa trust"),
            #[cfg(feature = "oauth")]
            oauth: named(&settings.oauth, "sigra oauth"),
            #[cfg(feature = "device-bound")]
            binding: named(&settings.binding, "sigra bound cookie"),
            mfa_trust_ttl,
            entry_keys: keys("sigra cookie session entry"),
            domain: settings.domain.clone(),
            other_domains: other_domains(settings),
            secure: settings.secure,
            clock: clock.clone(),
        }))
    }

    pub fn now(&self) -> OffsetDateTime {
        self.0.clock.now()
    }

    /// Finds the session tokens among the cookies of a request. Cookies that aren't the library's are ignored, whatever
    /// is in them.
    pub fn read_tokens(&self, request: &RequestCookies) -> PresentedTokens {
        let (key, remember_me) = (&self.0.key, &self.0.remember_me);
        let mut presented = PresentedTokens::default();
        for cookie in request.cookies() {
            if let Some(value) = key.value(cookie) {
                presented.key.add(&key.keys, value, decode_key);
            } else if let Some(value) = remember_me.value(cookie) {
                presented.remember_me.add(&remember_me.keys, value, SessionToken::parse);
            }
        }
        presented
    }

    /// Returns whether there is a session or remember-me cookie, valid or not.
    pub fn has_token(&self, request: &RequestCookies) -> bool {
        let named = [&self.0.key, &self.0.remember_me];
        request.cookies().any(|cookie| named.iter().any(|named| named.value(cookie).is_some()))
    }

    /// Returns the fingerprint of the token cookies, as they were sent, valid or not. `None` unless there is one
    /// session cookie and at most one remember-me cookie, neither longer than a cookie can be.
    pub fn fingerprint(&self, request: &RequestCookies, key: &FingerprintKey) -> Option<Fingerprint> {
        let (mut session, mut remember_me, mut is_single) = (None, None, true);
        // `for_each` is faster than a loop here.
        request.cookies().for_each(|cookie| {
            if let Some(value) = self.0.key.value(cookie) {
                is_single &= session.replace(value).is_none() && value.len() <= MAX_COOKIE;
            } else if let Some(value) = self.0.remember_me.value(cookie) {
                is_single &= remember_me.replace(value).is_none() && value.len() <= MAX_COOKIE;
            }
        });
        let session = session.filter(|_| is_single)?;
        let mut fingerprint = key.begin();
        fingerprint.add(b's', session);
        if let Some(remember_me) = remember_me {
            fingerprint.add(b'r', remember_me);
        }
        Some(fingerprint.finish())
    }

    pub fn set_key(&self, jar: &mut SetCookies<'_>, id: CookieSessionId, token: &SessionToken) {
        let key = &self.0.key;
        let value = key.keys.sign(&format!("{id}.{}", *token.encode()));
        self.set(jar, key, &key.name, value, None);
    }

    pub fn expire_key(&self, jar: &mut SetCookies<'_>) {
        self.expire(jar, &self.0.key, &self.0.key.name);
    }

    /// Returns name and value of the cookie that a response sets a session token with, if it does.
    pub fn token_given<'h>(&self, headers: &'h HeaderMap) -> Option<&'h [u8]> {
        let mut pairs =
            headers.get_all(header::SET_COOKIE).iter().filter_map(|set| set.as_bytes().split(|b| *b == b';').next());
        let value = |pair: &'h [u8]| pair.strip_prefix(self.0.key.name.as_bytes())?.strip_prefix(b"=");
        pairs.rfind(|pair| value(pair).is_some_and(|value| !value.is_empty()))
    }

    pub fn set_remember_me(&self, jar: &mut SetCookies<'_>, token: &SessionToken, max_age: Duration) {
        let remember_me = &self.0.remember_me;
        let value = remember_me.keys.sign(&token.encode());
        self.set(jar, remember_me, &remember_me.name, value, Some(max_age));
    }

    pub fn expire_remember_me(&self, jar: &mut SetCookies<'_>) {
        self.expire(jar, &self.0.remember_me, &self.0.remember_me.name);
    }

    /// Returns the tokens that a browser is known by: one list, unless cookies of several domains or paths have the
    /// name.
    pub fn read_known(&self, request: &RequestCookies) -> Vec<KnownTokens> {
        read_all(&self.0.device, request, KnownTokens::parse)
    }

    pub fn set_known(&self, jar: &mut SetCookies<'_>, known: &KnownTokens) {
        let device = &self.0.device;
        self.set(jar, device, &device.name, device.keys.sign(&known.encode()), Some(KNOWN_BROWSER_TTL));
    }

    pub fn read_mfa_trust(&self, request: &RequestCookies) -> Vec<TrustTokens> {
        read_all(&self.0.mfa_trust, request, TrustTokens::parse)
    }

    pub fn set_mfa_trust(&self, jar: &mut SetCookies<'_>, tokens: &TrustTokens) {
        let mfa_trust = &self.0.mfa_trust;
        let value = mfa_trust.keys.sign(&tokens.encode());
        self.set(jar, mfa_trust, &mfa_trust.name, value, Some(self.0.mfa_trust_ttl));
    }

    /// Returns the tokens that bind flows to a browser: one, unless cookies of several domains or paths have the name.
    #[cfg(feature = "oauth")]
    pub fn read_oauth(&self, request: &RequestCookies) -> Vec<BrowserToken> {
        read_all(&self.0.oauth, request, BrowserToken::parse)
    }

    #[cfg(feature = "oauth")]
    pub fn set_oauth(&self, jar: &mut SetCookies<'_>, token: &BrowserToken, max_age: Duration) {
        let oauth = &self.0.oauth;
        self.set(jar, oauth, &oauth.name, oauth.keys.sign(&token.encode()), Some(max_age));
    }

    /// Returns what the bound cookies of a request prove for a session and its key.
    #[cfg(feature = "device-bound")]
    pub fn proof(&self, request: &RequestCookies, session: SessionId, key: [u8; 16], now_ms: i64) -> Proof {
        let binding = &self.0.binding;
        let mut proof = Proof::Absent;
        let came = request.cookies().filter_map(|cookie| binding.value(cookie)).take(MAX_OF_A_NAME);
        for value in came {
            let found = verify(&binding.keys, value).and_then(|verified| BoundCookie::decode(verified.value));
            match found.filter(|found| found.session == session && found.key == key) {
                Some(BoundCookie { until_ms, .. }) if now_ms < until_ms => return Proof::Valid { until_ms },
                Some(_) => proof = Proof::Expired,
                None if proof == Proof::Absent => proof = Proof::Invalid,
                None => {}
            }
        }
        proof
    }

    /// Returns whether there is a bound cookie, valid or not.
    #[cfg(feature = "device-bound")]
    pub fn has_bound(&self, request: &RequestCookies) -> bool {
        request.cookies().any(|cookie| self.0.binding.value(cookie).is_some())
    }

    #[cfg(feature = "device-bound")]
    pub fn set_bound(&self, jar: &mut SetCookies<'_>, bound: &BoundCookie, max_age: Duration) {
        let binding = &self.0.binding;
        self.set(jar, binding, &binding.name, binding.keys.sign(&bound.encode()), Some(max_age));
    }

    #[cfg(feature = "device-bound")]
    pub fn expire_bound(&self, jar: &mut SetCookies<'_>) {
        self.expire(jar, &self.0.binding, &self.0.binding.name);
    }

    /// Returns name and attributes of the bound cookie, as the browser must know them to notice that it is missing.
    #[cfg(feature = "device-bound")]
    pub fn bound_attributes(&self) -> (String, String) {
        let binding = &self.0.binding;
        let cookie = self.cookie(binding, &binding.name, String::new(), self.0.domain.as_deref()).to_string();
        let attributes = cookie.split_once("; ").map_or("", |(_, attributes)| attributes);
        (binding.name.clone(), attributes.to_owned())
    }

    /// Returns the JSON of an entry that was written under this cookie-session id: the first, if there are several.
    pub fn read_entry(&self, name: &str, request: &IndexedCookies, id: Option<CookieSessionId>) -> Option<Vec<u8>> {
        let id = shown(id);
        let decode = |value: &[u8]| {
            let verified = verify(&self.0.entry_keys, value)?;
            let (signed_name, rest) = verified.value.split_once('.')?;
            let (signed_id, json) = rest.split_once('.')?;
            let ours = signed_name == name && signed_id == id;
            if ours { URL_SAFE_NO_PAD.decode(json).ok() } else { None }
        };
        request.values(|came| self.is_entry(came, name)).take(MAX_OF_A_NAME).find_map(decode)
    }

    /// Returns whether there is any cookie with a name of the library, valid or not.
    pub fn is_any_ours(&self, request: &RequestCookies) -> bool {
        request.pairs().any(|(name, _)| self.is_named(name) || self.entry_of(name).is_some())
    }

    /// Returns whether there is a cookie with the name of this entry, valid or not.
    pub fn has_entry(&self, name: &str, request: &IndexedCookies) -> bool {
        request.values(|came| self.is_entry(came, name)).next().is_some()
    }

    /// Returns the names of the request's entries, at most [`MAX_ENTRIES`](crate::browser::request_cookies::MAX_ENTRIES).
    pub fn entry_names(&self, request: &IndexedCookies) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.own(request).pairs().filter_map(|(name, _)| self.entry_of(name)) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn own<'r>(&self, request: &'r IndexedCookies) -> &'r OwnCookies {
        request.own(|name| self.entry_of(name).is_some(), |name| self.is_named(name))
    }

    /// Returns whether a cookie has the name of one that isn't an entry.
    fn is_named(&self, name: &[u8]) -> bool {
        let Inner { key, remember_me, device, mfa_trust, .. } = &*self.0;
        let is = |named: &Named| named.name.as_bytes() == name;
        #[cfg(feature = "oauth")]
        let is_optional = is(&self.0.oauth);
        #[cfg(not(feature = "oauth"))]
        let is_optional = false;
        #[cfg(feature = "device-bound")]
        let is_optional = is_optional || is(&self.0.binding);
        is_optional || [key, remember_me, device, mfa_trust].into_iter().any(is)
    }

    /// Returns the name of the entry that a cookie has, if its name is that of one.
    fn entry_of<'n>(&self, name: &'n [u8]) -> Option<&'n str> {
        let entry = name.strip_prefix(self.0.entry_prefix.as_bytes())?;
        str::from_utf8(entry).ok().filter(|entry| is_entry_name(entry))
    }

    fn is_entry(&self, came: &[u8], name: &str) -> bool {
        came.strip_prefix(self.0.entry_prefix.as_bytes()) == Some(name.as_bytes())
    }

    pub fn set_entry(&self, jar: &mut SetCookies<'_>, name: &str, id: Option<CookieSessionId>, json: &[u8]) {
        let payload = format!("{name}.{}.{}", shown(id), URL_SAFE_NO_PAD.encode(json));
        self.set(jar, &self.0.key, &self.entry_name(name), self.0.entry_keys.sign(&payload), None);
    }

    pub fn expire_entry(&self, jar: &mut SetCookies<'_>, name: &str) {
        self.expire(jar, &self.0.key, &self.entry_name(name));
    }

    /// Checks that a browser would keep the cookie of an entry.
    pub fn check_entry(&self, name: &str, json: &[u8]) -> Result<(), Error> {
        if !is_entry_name(name) {
            return Err(Error::EntryName(name.to_owned()));
        }
        let cookie_name = self.entry_name(name);
        let value = ENTRY_OVERHEAD + name.len() + json.len().div_ceil(3) * 4;
        let size = cookie_name.len() + value;
        if size > MAX_COOKIE { Err(Error::CookieTooLarge { name: cookie_name, size }) } else { Ok(()) }
    }

    fn entry_name(&self, name: &str) -> String {
        format!("{}{name}", self.0.entry_prefix)
    }

    fn set(&self, jar: &mut SetCookies<'_>, named: &Named, name: &str, value: String, max_age: Option<Duration>) {
        self.expire_elsewhere(jar, named, name);
        let mut cookie = self.cookie(named, name, value, self.0.domain.as_deref());
        cookie.set_max_age(max_age.and_then(|age| time::Duration::try_from(age).ok()));
        jar.append(&cookie);
    }

    fn expire(&self, jar: &mut SetCookies<'_>, named: &Named, name: &str) {
        self.expire_elsewhere(jar, named, name);
        jar.append(&expired(self.cookie(named, name, String::new(), self.0.domain.as_deref())));
    }

    /// Expires the cookies of a presented name that may be left for other domains. Otherwise, the browser would send
    /// them along with the one that is set now. No login writes cookies for those domains, so this undoes none.
    fn expire_elsewhere(&self, jar: &mut SetCookies<'_>, named: &Named, name: &str) {
        if self.0.other_domains.is_empty() || named.is_of_this_host() || !self.came(jar, name) {
            return;
        }
        for domain in &self.0.other_domains {
            jar.append(&expired(self.cookie(named, name, String::new(), domain.as_deref())));
        }
    }

    /// Returns whether the request has a cookie of this name.
    fn came(&self, jar: &SetCookies<'_>, name: &str) -> bool {
        self.own(jar.request);
        jar.request.values(|came| came == name.as_bytes()).next().is_some()
    }

    /// A cookie is expired with the attributes it was set with, or the browser keeps it.
    fn cookie<'c>(&'c self, named: &'c Named, name: &'c str, value: String, domain: Option<&'c str>) -> Cookie<'c> {
        let mut cookie = Cookie::build((name, value))
            .http_only(true)
            .secure(self.0.secure)
            .same_site(named.same_site)
            .path(named.path.as_str())
            .build();
        if let Some(domain) = domain {
            cookie.set_domain(domain);
        }
        cookie
    }
}

/// The headers of a response, and the cookies of its request.
pub(crate) struct SetCookies<'r> {
    pub headers: &'r mut HeaderMap,
    pub request: &'r IndexedCookies,
}

impl SetCookies<'_> {
    fn append(&mut self, cookie: &Cookie<'_>) {
        match HeaderValue::try_from(cookie.to_string()) {
            Ok(value) => drop(self.headers.append(header::SET_COOKIE, value)),
            Err(_) => tracing::error!(target: "sigra", cookie = cookie.name(), "a cookie is not a valid header"),
        }
    }
}

fn read_all<T>(named: &Named, request: &RequestCookies, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let came = request.cookies().filter_map(|cookie| named.value(cookie)).take(MAX_OF_A_NAME);
    came.filter_map(|value| parse(verify(&named.keys, value)?.value)).collect()
}

fn expired(mut cookie: Cookie<'_>) -> Cookie<'_> {
    cookie.set_max_age(time::Duration::ZERO);
    cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
    cookie
}

fn is_entry_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

const HOST_PREFIX: &str = "__Host-";

/// Returns the name with its prefix (RFC 6265bis section 4.1.3): a browser accepts a `__Host-` cookie only from the
/// host itself, and a `__Secure-` cookie only over TLS.
fn prefixed(options: &CookieOptions, settings: &CookieSettings) -> String {
    let prefix = match (settings.secure, &settings.domain) {
        (true, None) if options.path == "/" => HOST_PREFIX,
        (true, _) => "__Secure-",
        (false, _) => "",
    };
    format!("{prefix}{}", options.name)
}

/// Returns the domains that cookies may be left for, from before `Config::cookie_domain` was changed or by a neighbor:
/// those of the application's hosts, and their parent domains that belong to the same owner.
fn other_domains(settings: &CookieSettings) -> Vec<Option<String>> {
    let own = settings.domain.as_deref();
    let registrable = |host: &str| psl::domain_str(host).map(str::to_owned);
    let owner = own.and_then(registrable);
    let origins = settings.trusted_origins.iter().filter_map(|origin| host_of(origin));
    let mut domains: Vec<Option<String>> = own.map(|_| None).into_iter().collect();
    for host in own.map(str::to_owned).into_iter().chain(origins) {
        let Some(top) = registrable(&host).filter(|top| owner.as_ref().is_none_or(|owner| owner == top)) else {
            continue;
        };
        let mut domain = host.as_str();
        loop {
            let is_new = own != Some(domain) && !domains.iter().any(|known| known.as_deref() == Some(domain));
            if is_new && domains.len() < MAX_DOMAINS {
                domains.push(Some(domain.to_owned()));
            }
            match domain.split_once('.') {
                Some((_, above)) if domain != top => domain = above,
                _ => break,
            }
        }
    }
    domains
}

/// Returns the host of an origin, unless it is an IP address.
fn host_of(origin: &str) -> Option<String> {
    let uri: Uri = origin.parse().ok()?;
    let host = uri.host()?;
    let is_name = host.parse::<IpAddr>().is_err() && !host.starts_with('[');
    is_name.then(|| host.to_ascii_lowercase())
}

fn decode_key(value: &str) -> Option<KeyCookie> {
    let (id, token) = value.split_once('.')?;
    Some(KeyCookie { id: CookieSessionId::parse(id)?, token: SessionToken::parse(token)? })
}

/// Returns the id as an entry has it: empty if nobody was logged in when the entry was written.
fn shown(id: Option<CookieSessionId>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}
