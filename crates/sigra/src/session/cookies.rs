//! The cookies on the wire: their names, attributes, signatures and sizes.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header};

use super::{device::KnownDevice, trust::TrustTokens};
use crate::{Config, Error, SessionToken, config::CookieOptions, secret::SigningKeys, token::CookieSessionId};

/// Browsers drop cookies whose name and value together have more bytes: RFC 6265bis section 5.6.
const MAX_COOKIE: usize = 4096;

/// Browsers keep a cookie for no longer: RFC 6265bis section 5.6.
const DEVICE_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Room for the signature, the id and the separators around an entry's value.
const ENTRY_OVERHEAD: usize = 44 + 22 + 2;

/// What the browser presented under a name.
#[derive(Clone, Debug, Default)]
pub(crate) enum Presented<T> {
    #[default]
    Absent,
    /// Tampered, truncated, sent twice, or not ours.
    Invalid,
    Valid {
        value: T,
        /// Signed by a key that is being rotated out.
        outdated: bool,
    },
}

impl<T> Presented<T> {
    pub fn valid(&self) -> Option<&T> {
        match self {
            Self::Valid { value, .. } => Some(value),
            _ => None,
        }
    }

    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Valid { outdated: true, .. })
    }
}

/// The session cookie: it exists exactly while somebody is logged in.
#[derive(Clone, Debug)]
pub(crate) struct KeyCookie {
    pub id: CookieSessionId,
    pub token: SessionToken,
}

/// A cookie of a request, found but not yet judged. Sent twice, it is nobody's.
#[derive(Clone, Debug, Default)]
pub(crate) enum Raw<S = String> {
    #[default]
    Absent,
    Once(S),
    Unusable,
}

impl<S: AsRef<str>> Raw<S> {
    fn add<'h>(&mut self, value: Option<&'h str>)
    where
        S: From<&'h str>,
    {
        *self = match (&*self, value) {
            (Self::Absent, Some(value)) => Self::Once(value.into()),
            _ => Self::Unusable,
        };
    }

    fn verify<T>(&self, keys: &SigningKeys, decode: impl FnOnce(&str) -> Option<T>) -> Presented<T> {
        let signed = match self {
            Self::Absent => return Presented::Absent,
            Self::Unusable => return Presented::Invalid,
            Self::Once(signed) => signed.as_ref(),
        };
        let verified = keys.verify(signed);
        match verified.and_then(|verified| Some((decode(verified.value)?, verified.outdated))) {
            Some((value, outdated)) => Presented::Valid { value, outdated },
            None => Presented::Invalid,
        }
    }
}

/// The cookies of one request that are ours, by name.
#[derive(Default)]
pub(crate) struct RequestCookies {
    pub key: Presented<KeyCookie>,
    pub remember_me: Presented<SessionToken>,
    pub device: Raw,
    pub mfa_trust: Raw,
    pub entries: Vec<(String, Raw)>,
}

/// Reads and writes all cookies of the library.
#[derive(Clone)]
pub(crate) struct Cookies(Arc<Inner>);

struct Inner {
    key: Named,
    remember_me: Named,
    device: Named,
    mfa_trust: Named,
    mfa_trust_ttl: Duration,
    entry_prefix: String,
    entry_keys: SigningKeys,
    domain: Option<String>,
    secure: bool,
}

struct Named {
    name: String,
    path: String,
    same_site: SameSite,
    keys: SigningKeys,
}

impl Cookies {
    pub fn new(config: &Config) -> Self {
        let keys = |purpose| SigningKeys::derive(&config.secret_key_base, &config.older_secrets, purpose);
        let named = |options: &CookieOptions, purpose| Named {
            name: host_prefixed(options, config),
            path: options.path.clone().into_owned(),
            same_site: options.same_site,
            keys: keys(purpose),
        };
        let key = named(&config.session_cookie, "sigra cookie session");
        Self(Arc::new(Inner {
            entry_prefix: format!("{}.", key.name),
            key,
            remember_me: named(&config.remember_me_cookie, "sigra remember me"),
            device: named(&config.device_cookie, "sigra known device"),
            mfa_trust: named(&config.mfa_trust_cookie, "sigra mfa trust"),
            mfa_trust_ttl: config.mfa_trust_ttl,
            entry_keys: keys("sigra cookie session entry"),
            domain: config.cookie_domain.clone(),
            secure: config.secure,
        }))
    }

    /// Finds our cookies among those of a request. Other people's cookies are passed over, whatever is in
    /// them.
    pub fn read(&self, headers: &HeaderMap) -> RequestCookies {
        let inner = &*self.0;
        let (mut key, mut remember_me) = (Raw::<&str>::Absent, Raw::<&str>::Absent);
        let (mut device, mut mfa_trust) = (Raw::Absent, Raw::Absent);
        let mut entries: Vec<(String, Raw)> = Vec::new();
        let pairs = headers.get_all(header::COOKIE).iter().flat_map(|header| header.as_bytes().split(|b| *b == b';'));
        for pair in pairs.map(<[u8]>::trim_ascii) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], str::from_utf8(&pair[at + 1..]).ok()),
                None => (pair, None),
            };
            if name == inner.key.name.as_bytes() {
                key.add(value);
            } else if name == inner.remember_me.name.as_bytes() {
                remember_me.add(value);
            } else if name == inner.device.name.as_bytes() {
                device.add(value);
            } else if name == inner.mfa_trust.name.as_bytes() {
                mfa_trust.add(value);
            } else if let Some(entry) = name.strip_prefix(inner.entry_prefix.as_bytes()) {
                let Ok(entry) = str::from_utf8(entry) else { continue };
                match entries.iter_mut().find(|(name, _)| name == entry) {
                    Some((_, raw)) => raw.add(value),
                    None => {
                        let mut raw = Raw::Absent;
                        raw.add(value);
                        entries.push((entry.to_owned(), raw));
                    }
                }
            }
        }
        RequestCookies {
            key: key.verify(&inner.key.keys, decode_key),
            remember_me: remember_me.verify(&inner.remember_me.keys, SessionToken::parse),
            device,
            mfa_trust,
            entries,
        }
    }

    pub fn set_key(&self, headers: &mut HeaderMap, id: CookieSessionId, token: &SessionToken) {
        let key = &self.0.key;
        let value = key.keys.sign(&format!("{id}.{}", *token.encode()));
        self.set(headers, key, &key.name, value, None);
    }

    pub fn expire_key(&self, headers: &mut HeaderMap) {
        self.expire(headers, &self.0.key, &self.0.key.name);
    }

    pub fn set_remember_me(&self, headers: &mut HeaderMap, token: &SessionToken, max_age: Duration) {
        let remember_me = &self.0.remember_me;
        let value = remember_me.keys.sign(&token.encode());
        self.set(headers, remember_me, &remember_me.name, value, Some(max_age));
    }

    pub fn expire_remember_me(&self, headers: &mut HeaderMap) {
        self.expire(headers, &self.0.remember_me, &self.0.remember_me.name);
    }

    pub fn read_device(&self, raw: &Raw) -> Option<KnownDevice> {
        raw.verify(&self.0.device.keys, KnownDevice::parse).valid().cloned()
    }

    pub fn set_device(&self, headers: &mut HeaderMap, known: &KnownDevice) {
        let device = &self.0.device;
        self.set(headers, device, &device.name, device.keys.sign(&known.to_string()), Some(DEVICE_MAX_AGE));
    }

    pub fn read_mfa_trust(&self, raw: &Raw) -> Option<TrustTokens> {
        raw.verify(&self.0.mfa_trust.keys, TrustTokens::parse).valid().cloned()
    }

    pub fn set_mfa_trust(&self, headers: &mut HeaderMap, tokens: &TrustTokens) {
        let mfa_trust = &self.0.mfa_trust;
        let value = mfa_trust.keys.sign(&tokens.encode());
        self.set(headers, mfa_trust, &mfa_trust.name, value, Some(self.0.mfa_trust_ttl));
    }

    /// An entry's JSON, if it was written under this cookie-session id.
    pub fn read_entry(&self, name: &str, raw: &Raw, id: Option<CookieSessionId>) -> Option<Vec<u8>> {
        let id = shown(id);
        let decode = |value: &str| {
            let (signed_name, rest) = value.split_once('.')?;
            let (signed_id, json) = rest.split_once('.')?;
            let ours = signed_name == name && signed_id == id;
            if ours { URL_SAFE_NO_PAD.decode(json).ok() } else { None }
        };
        raw.verify(&self.0.entry_keys, decode).valid().cloned()
    }

    pub fn set_entry(&self, headers: &mut HeaderMap, name: &str, id: Option<CookieSessionId>, json: &[u8]) {
        let payload = format!("{name}.{}.{}", shown(id), URL_SAFE_NO_PAD.encode(json));
        self.set(headers, &self.0.key, &self.entry_name(name), self.0.entry_keys.sign(&payload), None);
    }

    pub fn expire_entry(&self, headers: &mut HeaderMap, name: &str) {
        self.expire(headers, &self.0.key, &self.entry_name(name));
    }

    /// Refuses an entry whose cookie a browser would not keep.
    pub fn check_entry(&self, name: &str, json: &[u8]) -> Result<(), Error> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
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

    fn set(&self, headers: &mut HeaderMap, named: &Named, name: &str, value: String, max_age: Option<Duration>) {
        let mut cookie = self.cookie(named, name, value);
        cookie.set_max_age(max_age.and_then(|age| time::Duration::try_from(age).ok()));
        append(headers, &cookie);
    }

    fn expire(&self, headers: &mut HeaderMap, named: &Named, name: &str) {
        let mut cookie = self.cookie(named, name, String::new());
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        append(headers, &cookie);
    }

    /// A cookie is expired with the attributes it was set with, or the browser keeps it.
    fn cookie<'c>(&'c self, named: &'c Named, name: &'c str, value: String) -> Cookie<'c> {
        let mut cookie = Cookie::build((name, value))
            .http_only(true)
            .secure(self.0.secure)
            .same_site(named.same_site)
            .path(named.path.as_str())
            .build();
        if let Some(domain) = &self.0.domain {
            cookie.set_domain(domain.as_str());
        }
        cookie
    }
}

fn append(headers: &mut HeaderMap, cookie: &Cookie<'_>) {
    match HeaderValue::try_from(cookie.to_string()) {
        Ok(value) => drop(headers.append(header::SET_COOKIE, value)),
        Err(_) => tracing::error!(target: "sigra", cookie = cookie.name(), "a cookie is no valid header"),
    }
}

/// RFC 6265bis section 4.1.3.2: a browser takes a `__Host-` cookie only from this very host, over TLS.
fn host_prefixed(options: &CookieOptions, config: &Config) -> String {
    if config.secure && config.cookie_domain.is_none() && options.path == "/" {
        format!("__Host-{}", options.name)
    } else {
        options.name.clone().into_owned()
    }
}

fn decode_key(value: &str) -> Option<KeyCookie> {
    let (id, token) = value.split_once('.')?;
    Some(KeyCookie { id: CookieSessionId::parse(id)?, token: SessionToken::parse(token)? })
}

/// Nothing, for an entry that was written while nobody was logged in.
fn shown(id: Option<CookieSessionId>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}
