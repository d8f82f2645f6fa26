//! A provider to test with: a small OpenID Connect and OAuth 2.0 server on loopback, which can also misbehave.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::{Url, form_urlencoded};

use crate::{
    base::{clock::Clock, token::random_bytes},
    oauth::{Profile, Provider},
};

/// The application's ID at the provider. The secret has characters that must be encoded in `Authorization: Basic`.
const CLIENT_ID: &str = "my_app";
const CLIENT_SECRET: &str = "a client secret: 100% & more";

/// How old a login at the provider is, unless the user was asked to log in again.
const AGE_OF_LOGIN: i64 = 3600;

/// How long [`ProviderFault::Slow`] takes.
const SLOW: Duration = Duration::from_secs(60);

/// A provider to test with. It listens on a free port of 127.0.0.1, and stops when it is dropped.
///
/// A test says [who logs in](Self::log_in_as), and [approves](Self::approve) what the application asks for:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sigra::{
///     oauth::{AuthorizationRequest, AuthorizationResponse, Providers},
///     testing::{ProviderAccount, TestProvider},
/// };
///
/// let corp = TestProvider::start().await;
/// corp.log_in_as(ProviderAccount::new("248289761001").email("jane@example.com", true));
/// let providers = Providers::new([corp.oidc("corp")])?;
///
/// let (redirect_uri, nonce, pkce_verifier) = ("https://localhost/callback", "a nonce", "v".repeat(43));
/// let request = AuthorizationRequest {
///     redirect_uri,
///     state: "a state",
///     nonce,
///     pkce_verifier: &pkce_verifier,
///     reauthenticate: false,
/// };
/// let callback = corp.approve(&providers.authorization_url("corp", request).await?);
/// let (code, iss) = (callback.parameter("code").unwrap(), callback.parameter("iss"));
/// let response = AuthorizationResponse {
///     code: &code,
///     iss: iss.as_deref(),
///     redirect_uri,
///     nonce,
///     pkce_verifier: &pkce_verifier,
///     reauthenticated_since: None,
/// };
/// let identity = providers.identify("corp", response).await?;
/// assert_eq!(identity.subject, "248289761001");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestProvider {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    is_down: Arc<AtomicBool>,
    state: Mutex<Book>,
}

/// What the provider knows.
#[derive(Debug)]
struct Book {
    clock: Clock,
    account: Option<ProviderAccount>,
    fault: Option<ProviderFault>,
    key: SigningKey,
    key_id: String,
    keys_made: u32,
    /// What each code was given for. A code is removed when it is used.
    codes: BTreeMap<String, Granted>,
    /// Who each access token is of.
    access_tokens: BTreeMap<String, ProviderAccount>,
    requests: BTreeMap<ProviderEndpoint, usize>,
}

#[derive(Clone, Debug)]
struct Granted {
    account: ProviderAccount,
    redirect_uri: String,
    nonce: Option<String>,
    code_challenge: String,
    auth_time: i64,
}

/// A user's account at a [`TestProvider`].
#[derive(Clone, Debug)]
pub struct ProviderAccount {
    subject: String,
    email: Option<(String, bool)>,
    is_email_in_id_token: bool,
}

impl ProviderAccount {
    /// Creates an account with this subject and no email address.
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), email: None, is_email_in_id_token: true }
    }

    /// Sets the email address, and whether the provider says that it verified it.
    #[must_use]
    pub fn email(mut self, email: impl Into<String>, verified: bool) -> Self {
        self.email = Some((email.into(), verified));
        self
    }

    /// Puts the email address into the user's profile only, and not into the ID token.
    #[must_use]
    pub fn email_in_profile(mut self) -> Self {
        self.is_email_in_id_token = false;
        self
    }
}

/// An endpoint of a [`TestProvider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProviderEndpoint {
    /// `/.well-known/openid-configuration`
    Metadata,
    /// The key set.
    Keys,
    /// The token endpoint.
    Token,
    /// The user's profile.
    Profile,
    /// Where [`ProviderFault::Redirecting`] leads.
    Elsewhere,
}

/// What is wrong with the responses of a [`TestProvider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFault {
    /// The ID token has the nonce of another flow.
    WrongNonce,
    /// The ID token has no nonce.
    NoNonce,
    /// The ID token is of another issuer.
    WrongIssuer,
    /// The ID token is for another client.
    WrongAudience,
    /// The ID token is for this client and another.
    SecondAudience,
    /// The ID token was issued to another client.
    WrongAuthorizedParty,
    /// The ID token is signed with a key that isn't the one it names.
    WrongSignature,
    /// The ID token is signed with a key that isn't published.
    UnknownKey,
    /// The ID token has no signature: `alg` is `none`.
    Unsigned,
    /// The ID token is signed with the client secret: `alg` is `HS256`.
    SignedWithClientSecret,
    /// The ID token expired two minutes ago.
    Expired,
    /// The ID token was issued in two minutes.
    NotYetIssued,
    /// The user logged in an hour ago, although they had to log in again.
    OldLogin,
    /// The ID token doesn't say when the user logged in.
    NoAuthTime,
    /// The ID token has an empty subject.
    EmptySubject,
    /// There is no ID token.
    NoIdToken,
    /// The ID token isn't one.
    GarbledIdToken,
    /// The callback doesn't say which issuer it comes from, although the metadata promises it.
    NoCallbackIssuer,
    /// The callback says that it comes from another issuer.
    WrongCallbackIssuer,
    /// The metadata is of another issuer.
    WrongMetadataIssuer,
    /// The metadata has a token endpoint without TLS, which is not on loopback.
    InsecureEndpoint,
    /// The profile is of another user than the ID token.
    ProfileOfAnotherUser,
    /// The endpoint takes a minute to respond.
    Slow(ProviderEndpoint),
    /// The endpoint responds with 1 MiB of JSON.
    Huge(ProviderEndpoint),
    /// The endpoint redirects.
    Redirecting(ProviderEndpoint),
    /// The endpoint responds with JSON that says it is HTML.
    Html(ProviderEndpoint),
    /// The endpoint responds with JSON that means nothing.
    Nonsense(ProviderEndpoint),
    /// The endpoint responds with 503.
    Failing(ProviderEndpoint),
}

/// Where a [`TestProvider`] sends the browser.
#[derive(Clone, Debug)]
pub struct ProviderCallback {
    url: Url,
}

impl ProviderCallback {
    /// Returns the whole URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Returns the path with the query, such as for [`TestClient::get`](crate::testing::TestClient::get).
    #[must_use]
    pub fn path_and_query(&self) -> String {
        format!("{}?{}", self.url.path(), self.query())
    }

    /// Returns the query, which a provider that [posts the callback](Provider::posts_callback) sends as a form.
    #[must_use]
    pub fn query(&self) -> &str {
        self.url.query().unwrap_or_default()
    }

    /// Returns a parameter, such as `code`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl TestProvider {
    /// The ID of the application at the provider.
    pub const CLIENT_ID: &'static str = CLIENT_ID;

    /// The application's secret at the provider.
    pub const CLIENT_SECRET: &'static str = CLIENT_SECRET;

    /// Starts a provider. Nobody is logged in there yet.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (key, key_id) = new_key(1);
        let book = Book {
            clock: Clock::system(),
            account: None,
            fault: None,
            key,
            key_id,
            keys_made: 1,
            codes: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            requests: BTreeMap::new(),
        };
        let is_down = Arc::new(AtomicBool::new(false));
        let shared =
            Arc::new(Shared { issuer: format!("http://{address}"), is_down: is_down.clone(), state: Mutex::new(book) });
        let router = router(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(Door { listener, is_down }, router).await;
        });
        Self { shared, server }
    }

    /// Sets the clock that its tokens are dated with (default: the system's). Take that of the application.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        self.shared.book().clock = clock;
        self
    }

    /// Returns its issuer, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Returns it as an OpenID Connect provider with this name.
    #[must_use]
    pub fn oidc(&self, name: &str) -> Provider {
        Provider::oidc(name, self.issuer(), CLIENT_ID, CLIENT_SECRET).http_on_loopback(true)
    }

    /// Returns it as an OAuth 2.0 provider with this name.
    #[must_use]
    pub fn oauth2(&self, name: &str) -> Provider {
        let read = |responses: &[Value]| {
            let user = responses.first()?;
            let profile = Profile::new(user.get("sub")?.as_str()?);
            Some(match user.get("email").and_then(Value::as_str) {
                Some(email) => profile.email(email, user.get("email_verified") == Some(&Value::Bool(true))),
                None => profile,
            })
        };
        let url = |path: &str| format!("{}{path}", self.issuer());
        Provider::oauth2(name, self.issuer(), CLIENT_ID, CLIENT_SECRET, read)
            .endpoints(url("/authorize"), url("/token"))
            .profile(url("/profile"))
            .http_on_loopback(true)
    }

    /// Sets who is logged in at the provider.
    pub fn log_in_as(&self, account: ProviderAccount) {
        self.shared.book().account = Some(account);
    }

    /// Lets it misbehave from now on.
    pub fn misbehave(&self, fault: ProviderFault) {
        self.shared.book().fault = Some(fault);
    }

    /// Lets it behave again.
    pub fn behave(&self) {
        self.shared.book().fault = None;
    }

    /// Replaces its key. ID tokens are signed with the new one, and only the new one is published.
    pub fn rotate_keys(&self) {
        let mut book = self.shared.book();
        book.keys_made += 1;
        (book.key, book.key_id) = new_key(book.keys_made);
    }

    /// Closes all connections without a response, until it is [up](Self::come_up) again.
    pub fn go_down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
    }

    /// Ends [`go_down`](Self::go_down).
    pub fn come_up(&self) {
        self.shared.is_down.store(false, Ordering::SeqCst);
    }

    /// Returns how many requests an endpoint got.
    #[must_use]
    pub fn requests(&self, endpoint: ProviderEndpoint) -> usize {
        self.shared.book().requests.get(&endpoint).copied().unwrap_or_default()
    }

    /// Does what a browser and its user do at the provider: opens the URL that the application redirected to, and
    /// allows the login. Returns where the provider sends the browser.
    ///
    /// # Panics
    ///
    /// If it isn't a URL of this provider, or asks for something that a provider refuses.
    #[track_caller]
    #[must_use]
    pub fn approve(&self, authorization_url: &str) -> ProviderCallback {
        match self.shared.authorize(&self.parameters(authorization_url)) {
            Ok(url) => ProviderCallback { url },
            Err(error) => panic!("{error}: {authorization_url}"),
        }
    }

    /// Does what a browser and its user do who say no.
    ///
    /// # Panics
    ///
    /// As [`approve`](Self::approve).
    #[track_caller]
    #[must_use]
    pub fn deny(&self, authorization_url: &str) -> ProviderCallback {
        let parameters = self.parameters(authorization_url);
        let mut url = redirect_uri(&parameters).expect("a redirect URI");
        url.query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("state", parameters.get("state").map(String::as_str).unwrap_or_default())
            .append_pair("iss", self.issuer());
        ProviderCallback { url }
    }

    #[track_caller]
    fn parameters(&self, authorization_url: &str) -> BTreeMap<String, String> {
        let start = format!("{}/authorize?", self.issuer());
        let Some(query) = authorization_url.strip_prefix(&start) else {
            panic!("`{authorization_url}` doesn't begin with `{start}`")
        };
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A listener that drops connections while the provider is down.
struct Door {
    listener: TcpListener,
    is_down: Arc<AtomicBool>,
}

impl axum::serve::Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) if !self.is_down.load(Ordering::SeqCst) => return accepted,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/keys", get(keys))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/profile", get(profile))
        .route("/elsewhere", get(|| async { Json(json!({})) }))
        .layer(middleware::from_fn_with_state(shared.clone(), misbehave))
        .with_state(shared)
}

/// Counts the request, and answers it instead of the endpoint if that misbehaves.
async fn misbehave(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let endpoint = match request.uri().path() {
        "/.well-known/openid-configuration" => ProviderEndpoint::Metadata,
        "/keys" => ProviderEndpoint::Keys,
        "/token" => ProviderEndpoint::Token,
        "/profile" => ProviderEndpoint::Profile,
        "/elsewhere" => ProviderEndpoint::Elsewhere,
        _ => return next.run(request).await,
    };
    let fault = {
        let mut book = shared.book();
        *book.requests.entry(endpoint).or_default() += 1;
        book.fault
    };
    let mut response = match fault {
        Some(ProviderFault::Slow(at)) if at == endpoint => {
            tokio::time::sleep(SLOW).await;
            next.run(request).await
        }
        Some(ProviderFault::Huge(at)) if at == endpoint => {
            Json(json!({ "padding": "x".repeat(1 << 20) })).into_response()
        }
        Some(ProviderFault::Redirecting(at)) if at == endpoint => {
            Redirect::temporary(&format!("{}/elsewhere", shared.issuer)).into_response()
        }
        Some(ProviderFault::Html(at)) if at == endpoint => {
            let mut response = next.run(request).await;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            response
        }
        Some(ProviderFault::Nonsense(at)) if at == endpoint => Json(json!({ "nonsense": true })).into_response(),
        Some(ProviderFault::Failing(at)) if at == endpoint => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => next.run(request).await,
    };
    // Then a provider that goes down has no open connections.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn metadata(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let fault = shared.book().fault;
    let url = |path: &str| format!("{}{path}", shared.issuer);
    let issuer =
        if fault == Some(ProviderFault::WrongMetadataIssuer) { "https://evil.example" } else { &shared.issuer };
    let token_endpoint = match fault {
        Some(ProviderFault::InsecureEndpoint) => "http://provider.example/token".to_owned(),
        _ => url("/token"),
    };
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": url("/authorize"),
        "token_endpoint": token_endpoint,
        "userinfo_endpoint": url("/profile"),
        "jwks_uri": url("/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn keys(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let book = shared.book();
    let point = book.key.verifying_key().to_sec1_point(false);
    let coordinate = |bytes: Option<&[u8]>| URL_SAFE_NO_PAD.encode(bytes.unwrap_or_default());
    let (x, y) = (point.x().map(|x| x.as_slice()), point.y().map(|y| y.as_slice()));
    Json(json!({ "keys": [
        // Keys that a client doesn't understand are to be skipped.
        { "kty": "XYZ", "kid": "from the future", "z": 1 },
        {
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": book.key_id,
            "x": coordinate(x), "y": coordinate(y),
        },
    ] }))
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Result<Redirect, (StatusCode, &'static str)> {
    let url = shared.authorize(&parameters).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    Ok(Redirect::to(url.as_str()))
}

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let parameters: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    match shared.exchange(&headers, &parameters) {
        Ok(tokens) => Json(tokens).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}

async fn profile(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let book = shared.book();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let account = bearer.and_then(|value| book.access_tokens.get(value.strip_prefix("Bearer ")?));
    let Some(account) = account else {
        return (StatusCode::UNAUTHORIZED, Body::empty()).into_response();
    };
    let mut claims = json!({ "sub": account.subject });
    if book.fault == Some(ProviderFault::ProfileOfAnotherUser) {
        claims["sub"] = json!("somebody else");
    }
    add_email(&mut claims, account);
    Json(claims).into_response()
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks an authorization request, and returns where it leads.
    fn authorize(&self, parameters: &BTreeMap<String, String>) -> Result<Url, &'static str> {
        let value = |name: &str| parameters.get(name).map(String::as_str);
        if value("client_id") != Some(CLIENT_ID) {
            return Err("the client is unknown");
        }
        if value("response_type") != Some("code") {
            return Err("the response type isn't `code`");
        }
        if value("code_challenge_method") != Some("S256") {
            return Err("the code challenge isn't S256");
        }
        let mut book = self.book();
        let now = book.clock.now().unix_timestamp();
        let must_log_in = value("prompt") == Some("login") && value("max_age") == Some("0");
        let granted = Granted {
            account: book.account.clone().ok_or("nobody is logged in: call `TestProvider::log_in_as`")?,
            redirect_uri: value("redirect_uri").ok_or("there is no redirect URI")?.to_owned(),
            nonce: value("nonce").map(str::to_owned),
            code_challenge: value("code_challenge").ok_or("there is no code challenge")?.to_owned(),
            auth_time: if must_log_in { now } else { now - AGE_OF_LOGIN },
        };
        let code = random();
        let mut url = redirect_uri(parameters).ok_or("the redirect URI isn't a URL")?;
        url.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", value("state").ok_or("there is no state")?);
        match book.fault {
            Some(ProviderFault::NoCallbackIssuer) => {}
            Some(ProviderFault::WrongCallbackIssuer) => {
                url.query_pairs_mut().append_pair("iss", "https://evil.example");
            }
            _ => {
                url.query_pairs_mut().append_pair("iss", &self.issuer);
            }
        }
        book.codes.insert(code, granted);
        Ok(url)
    }

    /// Exchanges a code, or returns a code of RFC 6749 section 5.2.
    fn exchange(&self, headers: &HeaderMap, parameters: &BTreeMap<String, String>) -> Result<Value, &'static str> {
        if !is_client(headers) {
            return Err("invalid_client");
        }
        let value = |name: &str| parameters.get(name).map(String::as_str);
        let mut book = self.book();
        let granted = value("code").and_then(|code| book.codes.remove(code)).ok_or("invalid_grant")?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(value("code_verifier").unwrap_or_default()));
        if challenge != granted.code_challenge || value("redirect_uri") != Some(&granted.redirect_uri) {
            return Err("invalid_grant");
        }
        let access_token = random();
        book.access_tokens.insert(access_token.clone(), granted.account.clone());
        let mut tokens = json!({
            "access_token": access_token,
            "refresh_token": random(),
            "token_type": "Bearer",
            "expires_in": 3600,
        });
        match book.fault {
            Some(ProviderFault::NoIdToken) => {}
            Some(ProviderFault::GarbledIdToken) => tokens["id_token"] = json!("not.a.token"),
            _ => tokens["id_token"] = json!(self.id_token(&book, &granted)),
        }
        Ok(tokens)
    }

    fn id_token(&self, book: &Book, granted: &Granted) -> String {
        let now = book.clock.now().unix_timestamp();
        let mut claims = json!({
            "iss": self.issuer,
            "sub": granted.account.subject,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "auth_time": granted.auth_time,
            "nonce": granted.nonce,
        });
        if granted.account.is_email_in_id_token {
            add_email(&mut claims, &granted.account);
        }
        match book.fault {
            Some(ProviderFault::WrongNonce) => claims["nonce"] = json!("of another flow"),
            Some(ProviderFault::NoNonce) => claims["nonce"] = Value::Null,
            Some(ProviderFault::WrongIssuer) => claims["iss"] = json!("https://evil.example"),
            Some(ProviderFault::WrongAudience) => claims["aud"] = json!("another_app"),
            Some(ProviderFault::SecondAudience) => claims["aud"] = json!([CLIENT_ID, "another_app"]),
            Some(ProviderFault::WrongAuthorizedParty) => claims["azp"] = json!("another_app"),
            Some(ProviderFault::Expired) => {
                (claims["iat"], claims["exp"]) = (json!(now - 420), json!(now - 120));
            }
            Some(ProviderFault::NotYetIssued) => {
                (claims["iat"], claims["exp"]) = (json!(now + 120), json!(now + 420));
            }
            Some(ProviderFault::OldLogin) => claims["auth_time"] = json!(now - AGE_OF_LOGIN),
            Some(ProviderFault::NoAuthTime) => claims["auth_time"] = Value::Null,
            Some(ProviderFault::EmptySubject) => claims["sub"] = json!(""),
            _ => {}
        }
        sign(book, &claims)
    }
}

/// Signs claims, or pretends to.
fn sign(book: &Book, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with_header = |header: Value| format!("{}.{}", encode(&header), encode(claims));
    let (other, _) = new_key(0);
    let (key, key_id) = match book.fault {
        Some(ProviderFault::Unsigned) => return format!("{}.", with_header(json!({ "alg": "none" }))),
        Some(ProviderFault::SignedWithClientSecret) => {
            let signed = with_header(json!({ "alg": "HS256" }));
            let mut mac = Hmac::<Sha256>::new_from_slice(CLIENT_SECRET.as_bytes()).expect("a key of any length");
            mac.update(signed.as_bytes());
            return format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        }
        Some(ProviderFault::WrongSignature) => (&other, book.key_id.as_str()),
        Some(ProviderFault::UnknownKey) => (&other, "unknown"),
        _ => (&book.key, book.key_id.as_str()),
    };
    let signed = with_header(json!({ "alg": "ES256", "typ": "JWT", "kid": key_id }));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn add_email(claims: &mut Value, account: &ProviderAccount) {
    if let Some((email, verified)) = &account.email {
        (claims["email"], claims["email_verified"]) = (json!(email), json!(verified));
    }
}

/// Returns whether the request has the client's secret. ID and secret are encoded as in forms (RFC 6749 section 2.3.1).
fn is_client(headers: &HeaderMap) -> bool {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let expected = STANDARD.encode(format!("{}:{}", encode(CLIENT_ID), encode(CLIENT_SECRET)));
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == format!("Basic {expected}").as_bytes())
}

fn redirect_uri(parameters: &BTreeMap<String, String>) -> Option<Url> {
    parameters.get("redirect_uri").and_then(|uri| Url::parse(uri).ok())
}

fn new_key(number: u32) -> (SigningKey, String) {
    let bytes: [u8; 32] = random_bytes().expect("random bytes");
    (SigningKey::from_slice(&bytes).expect("a number below the order of the curve"), format!("key {number}"))
}

fn random() -> String {
    let bytes: [u8; 32] = random_bytes().expect("random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}
