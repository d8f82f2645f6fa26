//! Properties that must hold for any bytes. Each function is a fuzz target. The ordinary tests run it with the seeds
//! and a thousand random inputs.

#[cfg(test)]
mod seeds;

use std::{
    cell::{OnceCell, RefCell},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    routing::{any, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Value, json};
use sigra::{
    Bearer, Config, CookieSession, EmailToken, HashedPassword, LoginMethod, LoginOutcome, Password, RememberMe, Scope,
    SecretKeyBase, SessionToken, Sigra, Verification,
    client::Device,
    config::{Argon2Params, DeviceBound, RelyingParty},
    device_bound::BindingResponse,
    mfa::{
        MfaChallenge, MfaCode, MfaEnrollment, PublicKeyCredential, RegisterPublicKeyCredential, SecondFactor,
        TrustBrowser,
    },
    oauth::{AuthorizationResponse, OauthError, Provider, ProviderIdentity, Providers},
    password::Passwords,
    session::ReturnTo,
    testing::{DeviceKey, TestClient, TestResponse},
};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use url::Url;

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        None
    }
}

/// A host with two users: one is logged in, and the second factor of the other is pending.
struct Host {
    runtime: Runtime,
    app: Router,
    /// The session cookie of the first user: name and value.
    cookie: (String, String),
    /// The session cookie of the second user.
    pending: (String, String),
    /// The key of the second user's authenticator app.
    key: String,
    passwords: Passwords,
}

async fn login_page(app: &Router, path: &str) -> (String, String) {
    let request = Request::post(path).body(Body::empty()).expect("a request");
    let response = app.clone().oneshot(request).await.expect("a response");
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    let mut set = set.map(|value| cookie::Cookie::parse(value.to_str().expect("text").to_owned()).expect("a cookie"));
    let cookie = set.find(|cookie| cookie.name() == "_app_key").expect("a session");
    (cookie.name().to_owned(), cookie.value().to_owned())
}

thread_local! {
    static HOST: OnceCell<Host> = const { OnceCell::new() };
}

const ANONYMOUS: &str = "anonymous";

async fn current_user(scope: Option<Scope<User>>) -> String {
    scope.map_or(ANONYMOUS.to_owned(), |scope| format!("user {}", scope.user().id))
}

/// Logs in, and returns whether the browser was already known.
async fn known(State(sigra): State<Sigra<User>>, session: CookieSession) -> sigra::Result<String> {
    let outcome = sigra.log_in(&session, &User { id: 7 }, LoginMethod::Password, RememberMe::No).await?;
    Ok((outcome == LoginOutcome::Complete && !session.is_new_browser()).to_string())
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Path(id): Path<i64>,
) -> sigra::Result<String> {
    let outcome = sigra.log_in(&session, &User { id }, LoginMethod::Password, RememberMe::No).await?;
    Ok(if outcome == LoginOutcome::Complete { format!("user {id}") } else { ANONYMOUS.to_owned() })
}

/// Sets up an authenticator app, and returns its key.
async fn enroll(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    enrollment: MfaEnrollment<User>,
) -> sigra::Result<String> {
    let key = sigra.mfa().begin_totp(&session, enrollment.scope().user(), "user")?.manual_key().to_string();
    let enrolled = sigra
        .mfa()
        .confirm_totp(&session, &enrollment, "user@example.com", &MfaCode::new(codes(&key)[1].clone()))
        .await?;
    Ok(enrolled.map(|_| key).valid().expect("the code is right"))
}

async fn answer(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    challenge: MfaChallenge<User>,
    body: Bytes,
) -> sigra::Result<String> {
    let code = MfaCode::new(String::from_utf8_lossy(&body));
    let factor = sigra.mfa().complete(&session, &challenge, SecondFactor::Code(&code), TrustBrowser::Yes).await?;
    Ok(factor.valid().map_or(ANONYMOUS.to_owned(), |factor| format!("{factor:?}")))
}

/// Begins a login with a passkey, and returns the user that the response in the body logs in.
async fn answer_with_passkey(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    body: Bytes,
) -> sigra::Result<String> {
    let asked = sigra.passkeys().begin_log_in(&session).await?;
    let Ok(mut answer) = serde_json::from_slice::<PublicKeyCredential>(&body) else { return Ok(ANONYMOUS.to_owned()) };
    // Use the current challenge, to pass the first check.
    let challenge = serde_json::to_value(&asked).expect("JSON")["publicKey"]["challenge"].clone();
    let client_data = serde_json::json!({ "type": "webauthn.get", "challenge": challenge, "origin": ORIGIN });
    answer.response.client_data_json = client_data.to_string().into();
    let outcome = sigra.passkeys().verify_log_in(&session, &answer).await?;
    Ok(outcome.valid().map_or(ANONYMOUS.to_owned(), |found| format!("user {}", found.user().id)))
}

const ORIGIN: &str = "https://localhost";

/// Returns the codes of an app with this key: the previous and the current one.
fn codes(key: &str) -> [String; 2] {
    let secret = totp_rs::Secret::try_from_base32(key.replace(' ', "")).expect("a key");
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    [now - 30, now].map(|at| totp.generate(at).to_string())
}

impl Host {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (app, cookie, pending, key) = runtime.block_on(async {
            let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
            let pool = pool.connect("sqlite::memory:").await.expect("a database");
            let users = "CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT)";
            sqlx::raw_sql(users).execute(&pool).await.expect("a table");
            sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await.expect("a table");
            sqlx::raw_sql("INSERT INTO users VALUES (7, NULL), (8, NULL)").execute(&pool).await.expect("users");
            let secret = SecretKeyBase::new("0123456789abcdef".repeat(4)).expect("long enough");
            let config = Config::new("app", secret).rate_limits(false);
            let config = config.relying_party(RelyingParty::new("localhost", ORIGIN));
            let sigra: Sigra<User> = Sigra::new(config, pool).expect("valid settings");
            let app = Router::new()
                .route("/current-user", any(current_user))
                .route("/known", any(known))
                .route("/bearer", any(async |bearer: Bearer<User>| bearer.user().id.to_string()))
                .route("/log-in/{id}", post(log_in))
                .route("/enroll", post(enroll))
                .route("/answer", post(answer))
                .route("/passkey", post(answer_with_passkey))
                .layer(sigra.fetch_current_scope())
                .with_state(sigra);
            let cookie = login_page(&app, "/log-in/7").await;
            let enrolling = login_page(&app, "/log-in/8").await;
            let request = Request::post("/enroll").header(header::COOKIE, format!("{}={}", enrolling.0, enrolling.1));
            let enrolled =
                app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("a response");
            let key = to_bytes(enrolled.into_body(), 10_000).await.expect("a body");
            let pending = login_page(&app, "/log-in/8").await;
            (app, cookie, pending, String::from_utf8_lossy(&key).into_owned())
        });
        let passwords = Passwords::new(Argon2Params::new(8, 1, 1), 1, Duration::from_secs(60));
        Self { runtime, app, cookie, pending, key, passwords: passwords.expect("valid parameters") }
    }

    /// Sends a request, and returns the status, the user in the body, and the cookies that it sets.
    fn send(&self, request: Request<Body>) -> (StatusCode, String, Vec<String>) {
        self.runtime.block_on(async {
            let response = self.app.clone().oneshot(request).await.expect("a response");
            let status = response.status();
            let set = response.headers().get_all(header::SET_COOKIE).iter();
            let set = set.map(|value| value.to_str().expect("visible ASCII").to_owned()).collect();
            let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
            (status, String::from_utf8_lossy(&body).into_owned(), set)
        })
    }

    fn send_with_cookies(&self, cookies: HeaderValue) -> (StatusCode, String, Vec<String>) {
        let request = Request::get("/current-user").header(header::COOKIE, cookies);
        self.send(request.body(Body::empty()).expect("a request"))
    }
}

fn with_host<T>(run: impl FnOnce(&Host) -> T) -> T {
    HOST.with(|host| run(host.get_or_init(Host::new)))
}

/// Cookies that aren't genuine leave the request anonymous, and the response well-formed.
pub fn cookie_session(data: &[u8]) {
    let Ok(cookies) = HeaderValue::from_bytes(data) else { return };
    with_host(|host| {
        let (status, user, set) = host.send_with_cookies(cookies);
        assert_eq!((status, user.as_str()), (StatusCode::OK, ANONYMOUS));
        for cookie in set {
            let parsed = cookie::Cookie::parse(cookie.as_str()).expect("a cookie that browsers can read");
            assert!(parsed.name().starts_with("_app_") && parsed.http_only() == Some(true), "{cookie}");
        }
    });
}

/// The genuine cookie isn't accepted with any change. The data is pairs of a position and a mask, then bytes to append.
pub fn signature(data: &[u8]) {
    with_host(|host| {
        let (name, genuine) = &host.cookie;
        let mut value = genuine.clone().into_bytes();
        let (changes, rest) = data.split_at(data.len().min(8) / 2 * 2);
        for change in changes.chunks_exact(2) {
            let at = usize::from(change[0]) % value.len();
            value[at] ^= change[1];
        }
        value.extend(rest.iter().filter(|byte| byte.is_ascii_alphanumeric()));
        let cookies = [name.as_bytes(), b"=", &value].concat();
        let Ok(cookies) = HeaderValue::from_bytes(&cookies) else { return };
        let (_, user, _) = host.send_with_cookies(cookies);
        // A change that only adds what the cookie syntax ignores doesn't change the value.
        let seen: &[u8] = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let expected = if seen == genuine.as_bytes() { "user 7" } else { ANONYMOUS };
        assert_eq!(user, expected, "{}", String::from_utf8_lossy(&value));
    });
}

/// Any path that is accepted to return to leads to the same origin, and isn't changed.
pub fn return_to(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let Some(accepted) = ReturnTo::parse(path) else { return };
    assert_eq!(accepted.as_str(), path);
    let here = Url::parse("https://host.example/users/log-in").expect("a URL");
    let target = here.join(path).expect("a browser can follow it");
    assert_eq!(target.origin(), here.origin(), "{path}");
    assert!(HeaderValue::from_str(path).is_ok());
}

/// An unsafe request is served only if the browser says that it comes from the same origin, or if the origin is
/// missing. The data is the headers Origin, Host and Sec-Fetch-Site, one on each line.
pub fn origin(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut next = || HeaderValue::from_bytes(lines.next().unwrap_or_default());
    let (Ok(origin), Ok(host_name), Ok(site)) = (next(), next(), next()) else { return };
    let request = Request::builder()
        .method(Method::POST)
        .uri("/current-user")
        .header(header::ORIGIN, &origin)
        .header(header::HOST, &host_name)
        .header("sec-fetch-site", &site);
    let (status, ..) = with_host(|host| host.send(request.body(Body::empty()).expect("a request")));
    if status == StatusCode::FORBIDDEN {
        return;
    }
    assert_eq!(status, StatusCode::OK);
    let vouched_for = [&b"same-origin"[..], b"none"].contains(&site.as_bytes());
    let silent = origin.is_empty() && site.is_empty();
    let authority = str::from_utf8(origin.as_bytes()).ok().and_then(|origin| {
        let (scheme, rest) = origin.split_once("://")?;
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        is_web.then(|| rest.split(['/', '?', '#']).next().unwrap_or_default())
    });
    let same = site.is_empty() && authority.map(str::as_bytes) == Some(host_name.as_bytes());
    assert!(vouched_for || silent || same, "{origin:?} at {host_name:?}, {site:?}");
}

/// An unsigned cookie never makes a browser known.
pub fn known_device(data: &[u8]) {
    let Ok(cookie) = HeaderValue::from_bytes(&[b"_app_device=", data].concat()) else { return };
    let request = Request::get("/known").header(header::COOKIE, cookie);
    let (status, known, _) = with_host(|host| host.send(request.body(Body::empty()).expect("a request")));
    assert_eq!((status, known.as_str()), (StatusCode::OK, "false"));
}

/// An unsigned cookie never makes a browser trusted.
pub fn mfa_trust(data: &[u8]) {
    let Ok(cookie) = HeaderValue::from_bytes(&[b"_app_mfa_trust=", data].concat()) else { return };
    let request = Request::post("/log-in/8").header(header::COOKIE, cookie);
    let (status, user, _) = with_host(|host| host.send(request.body(Body::empty()).expect("a request")));
    assert_eq!((status, user.as_str()), (StatusCode::OK, ANONYMOUS));
}

/// Only the code of the app completes a login.
pub fn mfa_code(data: &[u8]) {
    with_host(|host| {
        let typed: String = String::from_utf8_lossy(data).chars().filter(char::is_ascii_digit).collect();
        if codes(&host.key).iter().any(|code| typed.contains(code)) {
            return;
        }
        let (name, value) = &host.pending;
        let request = Request::post("/answer").header(header::COOKIE, format!("{name}={value}"));
        let (status, user, _) = host.send(request.body(data.to_vec().into()).expect("a request"));
        // A pending login expires after ten minutes, and fuzzing can take longer.
        assert!(status == StatusCode::UNAUTHORIZED || user == ANONYMOUS, "{status} {user}");
        assert!(!format!("{:?}", MfaCode::new(&typed)).contains(&typed) || typed.is_empty());
    });
}

/// No header `Authorization` is a token that nobody created, and none is a server error. A cookie beside it changes
/// nothing.
pub fn bearer(data: &[u8]) {
    let Ok(authorization) = HeaderValue::from_bytes(data) else { return };
    with_host(|host| {
        let (name, value) = &host.cookie;
        let request = Request::get("/bearer").header(header::AUTHORIZATION, authorization);
        let request = request.header(header::COOKIE, format!("{name}={value}"));
        let (status, _, set) = host.send(request.body(Body::empty()).expect("a request"));
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST), "{status}");
        assert!(set.is_empty(), "{set:?}");
    });
}

/// A response that no passkey signed never logs anyone in, and never makes the check panic.
pub fn passkey(data: &[u8]) {
    let request = Request::post("/passkey").body(data.to_vec().into()).expect("a request");
    let (status, user, _) = with_host(|host| host.send(request));
    assert_eq!((status, user.as_str()), (StatusCode::OK, ANONYMOUS));
    drop(serde_json::from_slice::<RegisterPublicKeyCredential>(data));
}

/// The provider's issuer, and the nonce of the flow.
const ISSUER: &str = "https://provider.example";
const NONCE: &str = "the nonce of this flow";

/// The provider's key.
fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).expect("a key")
}

fn key_set() -> Value {
    let point = signing_key().verifying_key().to_sec1_point(false);
    let [x, y] = [point.x(), point.y()].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate.expect("a coordinate")));
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": x, "y": y }] })
}

/// Signs a header and claims, whatever they are.
fn sign(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature: Signature = signing_key().sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "1" })
}

fn claims() -> Value {
    let (iat, exp) = (1_700_000_000, 4_102_444_800_i64);
    json!({ "iss": ISSUER, "sub": "jane", "aud": "my_app", "nonce": NONCE, "iat": iat, "exp": exp })
}

fn token_response(id_token: &str) -> Value {
    json!({ "access_token": "a token", "token_type": "Bearer", "id_token": id_token })
}

/// The right response at each URL of the provider, and of GitHub.
fn right_responses() -> Vec<(String, Vec<u8>)> {
    let at = |path: &str| format!("{ISSUER}{path}");
    let metadata = json!({
        "issuer": ISSUER, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"), "userinfo_endpoint": at("/profile"),
    });
    let id_token = sign(header().to_string().as_bytes(), claims().to_string().as_bytes());
    let profile = json!({ "sub": "jane", "email": "jane@example.com", "email_verified": true });
    let emails = json!([{ "email": "jane@example.com", "primary": true, "verified": true }]);
    [
        (at("/.well-known/openid-configuration"), metadata),
        (at("/keys"), key_set()),
        (at("/token"), token_response(&id_token)),
        (at("/profile"), profile),
        ("https://github.com/login/oauth/access_token".to_owned(), token_response("")),
        ("https://api.github.com/user".to_owned(), json!({ "id": 583_231 })),
        ("https://api.github.com/user/emails".to_owned(), emails),
    ]
    .map(|(url, response)| (url, response.to_string().into_bytes()))
    .to_vec()
}

/// Completes a login at a provider with these responses, and returns who it was.
fn identify(provider: &str, responses: Vec<(String, Vec<u8>)>) -> Result<ProviderIdentity, OauthError> {
    let corp = Provider::oidc("corp", ISSUER, "my_app", "a secret");
    let respond = move |url: &str| {
        let response = responses.iter().find(|(at, _)| at == url);
        response.map(|(_, body)| body.clone()).unwrap_or_default()
    };
    let providers = Providers::offline([corp, Provider::github("my_app", "a secret")], respond);
    let response = AuthorizationResponse {
        code: "a code",
        iss: None,
        redirect_uri: "https://localhost/callback",
        nonce: NONCE,
        pkce_verifier: "0123456789abcdef0123456789abcdef0123456789abcdef",
        reauthenticated_since: None,
    };
    let providers = providers.expect("valid settings");
    with_host(|host| host.runtime.block_on(providers.identify(provider, response)))
}

/// Whatever a provider responds is an error, or the user whose ID token it signed. The data is responses, one on each
/// line, in the order of `right_responses`. An empty or missing one is the right one.
pub fn provider(data: &[u8]) {
    let mut responses = right_responses();
    let lines = data.split(|byte| *byte == b'\n');
    for ((_, body), line) in responses.iter_mut().zip(lines).filter(|(_, line)| !line.is_empty()) {
        *body = line.to_vec();
    }
    let is_right = data.iter().all(|byte| *byte == b'\n');
    match identify("corp", responses.clone()) {
        Ok(identity) => {
            assert_eq!((identity.issuer.as_str(), identity.subject.as_str()), (ISSUER, "jane"));
            assert!(!identity.email_proven, "the provider isn't trusted");
        }
        Err(error) => assert!(!is_right, "{error}"),
    }
    match identify("github", responses) {
        Ok(identity) => {
            assert_eq!(identity.issuer, "https://github.com/login/oauth");
            assert!(identity.subject.parse::<u64>().is_ok() && !identity.email_proven, "{}", identity.subject);
        }
        Err(error) => assert!(!is_right, "{error}"),
    }
}

/// An ID token that the provider signed is believed only if it is of this flow, of this client, and not expired. The
/// data is its header and its claims, one on each line. An empty or missing one is the right one.
pub fn id_token(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut next = |right: Value| match lines.next().unwrap_or_default() {
        [] => right.to_string().into_bytes(),
        line => line.to_vec(),
    };
    let (header, claims) = (next(header()), next(claims()));
    let mut responses = right_responses();
    responses[2].1 = token_response(&sign(&header, &claims)).to_string().into_bytes();
    let is_right = data.iter().all(|byte| *byte == b'\n');
    let identity = match identify("corp", responses) {
        Ok(identity) => identity,
        Err(error) => return assert!(!is_right, "{error}"),
    };
    let [header, claims] = [header, claims].map(|part| serde_json::from_slice::<Value>(&part).expect("JSON"));
    assert_eq!(header["alg"], "ES256");
    assert_eq!((&claims["iss"], &claims["nonce"]), (&json!(ISSUER), &json!(NONCE)), "{claims}");
    assert!(claims["aud"] == "my_app" || claims["aud"] == json!(["my_app"]), "{claims}");
    assert!(claims.get("azp").is_none_or(|party| party.is_null() || party == "my_app"), "{claims}");
    assert_eq!((identity.issuer.as_str(), claims["sub"].as_str()), (ISSUER, Some(identity.subject.as_str())));
    assert!(!identity.subject.is_empty() && !identity.email_proven);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!(claims["exp"].as_f64().is_none_or(|at| at > now - 61.0), "{claims}");
}

/// A host whose sessions are bound to devices: one is, and the other is offered to be.
struct BoundHost {
    runtime: Runtime,
    bound: TestClient,
    id: String,
    offered: TestClient,
    /// The challenge of the offer.
    offer: String,
    begun: Instant,
}

thread_local! {
    static BOUND_HOST: RefCell<Option<BoundHost>> = const { RefCell::new(None) };
}

/// How long a challenge is used. It expires after twice this time.
const CHALLENGE_AGE: Duration = Duration::from_secs(60);

async fn register(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    scope: Scope<User>,
    headers: HeaderMap,
) -> sigra::Result<BindingResponse> {
    sigra.device_binding().register(&session, &scope, &headers).await
}

async fn refresh(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    headers: HeaderMap,
) -> sigra::Result<BindingResponse> {
    sigra.device_binding().refresh(&session, &headers).await
}

/// Returns the challenge in a response.
fn challenge(response: &TestResponse) -> String {
    let header = response.header("secure-session-registration").or(response.header("secure-session-challenge"));
    let header = header.expect("a challenge");
    header[header.find("challenge=").unwrap_or_default()..].split('"').nth(1).expect("a text").to_owned()
}

impl BoundHost {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (bound, id, offered, offer) = runtime.block_on(async {
            let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
            let pool = pool.connect("sqlite::memory:").await.expect("a database");
            let users =
                "CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT); INSERT INTO users VALUES (7, NULL)";
            sqlx::raw_sql(users).execute(&pool).await.expect("a user");
            sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await.expect("tables");
            let secret = SecretKeyBase::generate().expect("randomness");
            let config = Config::new("app", secret).rate_limits(false).secure_cookies(true);
            let sigra: Sigra<User> =
                Sigra::new(config.device_bound(DeviceBound::at(ORIGIN)), pool).expect("valid settings");
            let app = Router::new()
                .route("/log-in/{id}", post(log_in))
                .route(DeviceBound::PATH, post(register))
                .route("/users/session/binding/refresh", post(refresh))
                .layer(sigra.fetch_current_scope())
                .with_state(sigra.clone());
            let (bound, offered) = (TestClient::new(app.clone()), TestClient::new(app));
            let jwt = DeviceKey::generate().registration(&challenge(&bound.post("/log-in/7", &[]).await));
            let request = Request::post(DeviceBound::PATH).header("secure-session-response", jwt);
            let registered = bound.send(request.body(Body::empty()).expect("a request")).await;
            assert_eq!(registered.status(), StatusCode::OK);
            let id = registered.json::<serde_json::Value>()["session_identifier"].as_str().expect("an id").to_owned();
            let offer = challenge(&offered.post("/log-in/7", &[]).await);
            (bound, id, offered, offer)
        });
        Self { runtime, bound, id, offered, offer, begun: Instant::now() }
    }

    /// Asks for a challenge, and answers it.
    async fn refresh(&self, jwt: impl Fn(&str) -> Vec<u8>) -> Option<TestResponse> {
        let request = || Request::post("/users/session/binding/refresh").header("sec-secure-session-id", &self.id);
        let asked = self.bound.send(request().body(Body::empty()).expect("a request")).await;
        let jwt = HeaderValue::from_bytes(&jwt(&challenge(&asked))).ok()?;
        let request = request().header("secure-session-response", jwt);
        Some(self.bound.send(request.body(Body::empty()).expect("a request")).await)
    }

    async fn register(&self, jwt: impl Fn(&str) -> Vec<u8>) -> Option<TestResponse> {
        let jwt = HeaderValue::from_bytes(&jwt(&self.offer)).ok()?;
        let request = Request::post(DeviceBound::PATH).header("secure-session-response", jwt);
        Some(self.offered.send(request.body(Body::empty()).expect("a request")).await)
    }
}

/// A JWT that no key has signed binds no session and renews no cookie. The data is its three parts, one on each line,
/// in which `CHALLENGE` stands for the server's; or, without three lines, the whole JWT.
pub fn device_bound(data: &[u8]) {
    let jwt = |challenge: &str| {
        let parts: Vec<&[u8]> = data.splitn(3, |byte| *byte == b'\n').collect();
        let [head, claims, signature] = parts[..] else { return data.to_vec() };
        let claims = String::from_utf8_lossy(claims).replace("CHALLENGE", challenge);
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        format!("{}.{}.{}", encode(head), encode(claims.as_bytes()), encode(signature)).into_bytes()
    };
    BOUND_HOST.with_borrow_mut(|host| {
        let host = match host {
            Some(host) if host.begun.elapsed() < CHALLENGE_AGE => host,
            outdated => outdated.insert(BoundHost::new()),
        };
        host.runtime.block_on(async {
            for response in [host.refresh(jwt).await, host.register(jwt).await].into_iter().flatten() {
                assert!(response.status().is_client_error(), "{response:?}");
                assert!(response.set_cookies().is_empty(), "{response:?}");
            }
        });
    });
}

/// A token has exactly one encoding.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(token) = EmailToken::parse(text) {
        assert_eq!(token.encode().as_str(), text);
        assert!(!format!("{token:?}").contains(text));
    }
    if let Some(token) = SessionToken::parse(text) {
        assert_eq!(token.encode().as_str(), text);
        assert!(!format!("{token:?}").contains(text));
    }
}

/// A stored hash never makes the check panic, and never accepts a password that it wasn't made from.
pub fn phc(data: &[u8]) {
    let stored = HashedPassword::from(String::from_utf8_lossy(data).into_owned());
    with_host(|host| {
        let password = Password::new("never the password of any of these");
        let found = host.runtime.block_on(host.passwords.verify(Some(&stored), &password));
        assert_eq!(found.expect("a worker"), Verification::Invalid);
    });
}

/// Any user agent has a name to show.
pub fn user_agent(data: &[u8]) {
    let user_agent = String::from_utf8_lossy(data);
    assert!(!Device::from_user_agent(&user_agent).to_string().is_empty());
}
