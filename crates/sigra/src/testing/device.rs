//! The device of a browser that binds its sessions.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Request;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Value, json};

use crate::{
    base::{clock::Clock, token::random_bytes},
    testing::response::TestResponse,
};

/// A key of a device that binds sessions, to test the routes of [device-bound sessions](crate::device_bound) with
/// requests that no browser sends. A [`TestClient`](crate::testing::TestClient) with a
/// [device](crate::testing::TestClient::device_bound) has its own keys.
///
/// ```
/// use sigra::testing::DeviceKey;
///
/// let key = DeviceKey::generate();
/// assert_eq!(key.jwk()["crv"], "P-256");
/// assert_eq!(key.sign(&serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt" }), "challenge").split('.').count(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// Generates a key.
    ///
    /// ```
    /// # use sigra::testing::DeviceKey;
    /// assert_ne!(DeviceKey::generate().jwk(), DeviceKey::generate().jwk());
    /// ```
    ///
    /// # Panics
    ///
    /// If the operating system returns no random bytes.
    #[must_use]
    pub fn generate() -> Self {
        let bytes = random_bytes::<32>().expect("random bytes");
        Self(SigningKey::from_slice(&bytes).expect("nearly all 32 bytes are a key"))
    }

    /// Returns the public key as a JSON Web Key.
    ///
    /// ```
    /// # use sigra::testing::DeviceKey;
    /// assert_eq!(DeviceKey::generate().jwk()["kty"], "EC");
    /// ```
    #[must_use]
    pub fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
    }

    /// Returns a JWT that signs a challenge, with this header.
    ///
    /// ```
    /// # use sigra::testing::DeviceKey;
    /// let key = DeviceKey::generate();
    /// let by_nobody = key.sign(&serde_json::json!({ "alg": "none", "typ": "dbsc+jwt" }), "challenge");
    /// ```
    #[must_use]
    pub fn sign(&self, header: &Value, challenge: &str) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(&json!({ "jti": challenge })));
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// Returns the JWT that registers the key, as a browser sends it.
    ///
    /// ```
    /// # use sigra::testing::DeviceKey;
    /// let jwt = DeviceKey::generate().registration("challenge");
    /// ```
    #[must_use]
    pub fn registration(&self, challenge: &str) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": self.jwk() }), challenge)
    }

    /// Returns the JWT that proves the key, as a browser sends it.
    ///
    /// ```
    /// # use sigra::testing::DeviceKey;
    /// let jwt = DeviceKey::generate().proof("challenge");
    /// ```
    #[must_use]
    pub fn proof(&self, challenge: &str) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "dbsc+jwt" }), challenge)
    }
}

/// What a device does with its browser.
pub(super) trait Browser: Sync {
    fn has_cookie(&self, name: &str) -> bool;

    fn drop_cookie(&self, name: &str);

    /// Sends a request as it is, and keeps the cookies of the response.
    fn send_bare(&self, request: Request<Body>) -> impl Future<Output = TestResponse> + Send;
}

/// A device that creates keys for the sessions of its browser.
pub(super) struct Device {
    clock: Clock,
    sessions: Mutex<Vec<DeviceSession>>,
}

/// A session that is bound to the device.
#[derive(Clone)]
struct DeviceSession {
    id: String,
    refresh_path: String,
    cookie: String,
    /// When the bound cookie expires, by the application's clock.
    expires_ms: i64,
    key: DeviceKey,
}

impl Device {
    pub fn new(clock: Clock) -> Self {
        Self { clock, sessions: Mutex::default() }
    }

    /// Renews the bound cookies that are missing, as browsers do before a request.
    pub async fn renew(&self, browser: &impl Browser) {
        let now_ms = self.clock.now_ms();
        let all = self.sessions().clone();
        for session in all {
            if now_ms >= session.expires_ms {
                browser.drop_cookie(&session.cookie);
            }
            if !browser.has_cookie(&session.cookie) {
                self.renew_one(browser, &session).await;
            }
        }
    }

    /// Renews the bound cookies of all sessions, as browsers do ahead of time.
    pub async fn renew_all(&self, browser: &impl Browser) {
        let all = self.sessions().clone();
        for session in all {
            self.renew_one(browser, &session).await;
        }
    }

    async fn renew_one(&self, browser: &impl Browser, session: &DeviceSession) {
        let send = async |jwt: Option<String>| {
            let request = Request::post(&session.refresh_path).header("sec-secure-session-id", &session.id);
            let request = jwt.into_iter().fold(request, |request, jwt| request.header("secure-session-response", jwt));
            browser.send_bare(request.body(Body::empty()).expect("a request")).await
        };
        let mut response = send(None).await;
        if let Some(challenge) = response.header("secure-session-challenge").and_then(first_string) {
            response = send(Some(session.key.proof(challenge))).await;
        }
        self.keep(&response, Some(session), &session.key);
    }

    /// Takes the offer of a response to bind its session.
    pub async fn take_offer(&self, browser: &impl Browser, response: &TestResponse) {
        let Some(offer) = response.header("secure-session-registration") else { return };
        let parameter = |name: &str| first_string(&offer[offer.find(&format!("{name}=\""))?..]);
        let (Some(path), Some(challenge)) = (parameter("path"), parameter("challenge")) else {
            panic!("the header `Secure-Session-Registration` is not understood: {offer}")
        };
        let key = DeviceKey::generate();
        let request = Request::post(path).header("secure-session-response", key.registration(challenge));
        let registered = browser.send_bare(request.body(Body::empty()).expect("a request")).await;
        self.keep(&registered, None, &key);
    }

    /// Keeps what the response says about a session.
    fn keep(&self, response: &TestResponse, before: Option<&DeviceSession>, key: &DeviceKey) {
        let is_temporary = response.status().is_server_error();
        let told = response.status().is_success().then(|| response.json::<Value>());
        let mut sessions = self.sessions();
        if !is_temporary {
            sessions.retain(|session| before.is_none_or(|before| before.id != session.id));
        }
        let Some(told) = told.filter(|told| told["continue"] != false) else { return };
        let text = |value: &Value| value.as_str().map(str::to_owned).expect("a text in the response");
        let id = text(&told["session_identifier"]);
        sessions.retain(|session| session.id != id);
        let cookie = text(&told["credentials"][0]["name"]);
        let set = response.set_cookies().into_iter().find(|set| set.name() == cookie);
        let max_age = set.and_then(|set| set.max_age()).and_then(|age| Duration::try_from(age).ok());
        let lifetime = i64::try_from(max_age.expect("the bound cookie with a Max-Age").as_millis());
        sessions.push(DeviceSession {
            id,
            refresh_path: text(&told["refresh_url"]),
            cookie,
            expires_ms: self.clock.now_ms() + lifetime.expect("milliseconds"),
            key: key.clone(),
        });
    }

    /// Returns the IDs of the sessions.
    pub fn bound(&self) -> Vec<String> {
        self.sessions().iter().map(|session| session.id.clone()).collect()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<DeviceSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the first text between quotation marks.
fn first_string(header: &str) -> Option<&str> {
    header.split('"').nth(1)
}
