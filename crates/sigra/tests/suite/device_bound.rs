//! Device-bound sessions: who can bind one, what a thief of the cookies can do, and what browsers are told.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode},
    routing::post,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Value, json};
use sigra::{
    Client, CookieSession, Problem, RememberMe, Scope, audit,
    config::{BindingMode, Config, DeviceBound},
    device_bound::BindingResponse,
    scope::BoundSudo,
    testing::{
        DeviceKey, TestClient, TestHost, TestResponse, assert_audit_event, assert_problem, assert_redirected_to,
        assert_status,
    },
};

use super::{
    host::{App, DAY, Host, KEY, MINUTE, SECOND, User, secret, token, who},
    second_factor::code_of,
};

const BOUND: &str = "__Host-_my_app_binding";
const REGISTER: &str = "/users/session/binding";
const REFRESH: &str = "/users/session/binding/refresh";
/// How long a bound cookie is valid.
const TTL: Duration = Duration::from_secs(10 * 60);

pub fn routes() -> Router<App> {
    Router::new()
        .route(REGISTER, post(register))
        .route(REFRESH, post(refresh))
        .route("/bound-sudo", post(async |BoundSudo(scope): BoundSudo<User>| scope.user().email.clone()))
        .route("/binding", post(async |scope: Scope<User>| scope.binding().is_some().to_string()))
}

async fn register(
    State(app): State<App>,
    session: CookieSession,
    scope: Scope<User>,
    headers: HeaderMap,
) -> sigra::Result<BindingResponse> {
    app.sigra.device_binding().register(&session, &scope, &headers).await
}

async fn refresh(State(app): State<App>, session: CookieSession, headers: HeaderMap) -> sigra::Result<BindingResponse> {
    app.sigra.device_binding().refresh(&session, &headers).await
}

fn settings() -> DeviceBound {
    DeviceBound::at("https://localhost")
}

fn secure(config: Config) -> Config {
    config.secure_cookies(true).device_bound(settings())
}

async fn host() -> Host {
    Host::with(secure).await
}

/// A user whose browser has bound its session.
async fn bound(host: &Host, remember_me: bool) -> (User, TestClient) {
    let (user, browser) = (host.registered_fixture().await, host.client().device_bound(host.clock()));
    host.post_log_in(&browser, &user, remember_me).await;
    assert_eq!(browser.bound_sessions().len(), 1, "the browser took the offer");
    (user, browser)
}

/// A user whose browser doesn't know device-bound sessions, and the response to the login.
async fn offered(host: &Host) -> (User, TestClient, TestResponse) {
    let (user, browser) = (host.registered_fixture().await, host.client());
    let response = host.post_log_in(&browser, &user, false).await;
    (user, browser, response)
}

#[track_caller]
fn offer(response: &TestResponse) -> &str {
    response.header("secure-session-registration").unwrap_or_else(|| panic!("no offer\n{response:?}"))
}

#[track_caller]
fn challenge(response: &TestResponse) -> String {
    let header = response.header("secure-session-registration").or(response.header("secure-session-challenge"));
    let header = header.unwrap_or_else(|| panic!("no challenge\n{response:?}"));
    let from = header.find("challenge=").unwrap_or_default();
    header[from..].split('"').nth(1).expect("a text between quotation marks").to_owned()
}

async fn post_proof(browser: &TestClient, path: &str, id: Option<&str>, jwt: Option<&str>) -> TestResponse {
    let request = Request::post(path);
    let request = id.into_iter().fold(request, |request, id| request.header("sec-secure-session-id", id));
    let request = jwt.into_iter().fold(request, |request, jwt| request.header("secure-session-response", jwt));
    browser.send_without_storing(request.body(Body::empty()).expect("a request")).await
}

async fn post_registration(browser: &TestClient, jwt: &str) -> TestResponse {
    let response = post_proof(browser, REGISTER, None, Some(jwt)).await;
    browser.store(&response);
    response
}

async fn session_id(host: &Host, user: &User) -> String {
    host.sigra().sessions().list(&user.id).await.unwrap()[0].id.to_string()
}

async fn is_bound(host: &Host, user: &User) -> bool {
    host.sigra().sessions().list(&user.id).await.unwrap()[0].binding.is_some()
}

/// Binds a session to a key by hand, and returns the session's id.
async fn bound_by_hand(host: &Host) -> (User, TestClient, DeviceKey, String) {
    let (user, browser, response) = offered(host).await;
    let key = DeviceKey::generate();
    assert_status(&post_registration(&browser, &key.registration(&challenge(&response))).await, StatusCode::OK);
    let id = session_id(host, &user).await;
    (user, browser, key, id)
}

async fn audited(host: &Host, user: &User) -> usize {
    let events = host.sigra().audit().list(&user.id, None, 100).await.unwrap();
    events.iter().filter(|event| event.action == audit::USED_WITHOUT_KEY).count()
}

#[tokio::test]
async fn a_login_over_https_offers_the_browser_to_bind_its_session() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    assert!(offer(&response).starts_with(&format!("(ES256);path=\"{REGISTER}\";challenge=\"")), "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"));

    let key = DeviceKey::generate();
    let registered = post_registration(&browser, &key.registration(&challenge(&response))).await;
    assert_status(&registered, StatusCode::OK);
    let expected = json!({
        "session_identifier": session_id(&host, &user).await,
        "refresh_url": REFRESH,
        "scope": { "origin": "https://localhost", "include_site": false, "scope_specification": [] },
        "allowed_refresh_initiators": ["*"],
        "credentials": [{ "type": "cookie", "name": BOUND, "attributes": "HttpOnly; SameSite=Lax; Secure; Path=/" }],
    });
    assert_eq!(registered.json::<Value>(), expected);
    let cookies = registered.set_cookies();
    let [cookie] = &cookies[..] else { panic!("one cookie: {registered:?}") };
    assert_eq!((cookie.name(), cookie.max_age()), (BOUND, Some(time::Duration::seconds(9 * 60))));
    assert!(is_bound(&host, &user).await);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(browser.post("/binding", &[]).await.text(), "true");
}

#[tokio::test]
async fn without_https_or_the_setting_nothing_is_offered() {
    let plain = Host::new().await;
    let off = Host::with(|config| config.secure_cookies(true)).await;
    for host in [plain, off] {
        let (_, browser, response) = offered(&host).await;
        assert_eq!(response.header("secure-session-registration"), None);
        let key = DeviceKey::generate();
        assert_status(&post_registration(&browser, &key.registration("challenge")).await, StatusCode::BAD_REQUEST);
    }
    let refused = Config::new("my_app", secret("a")).device_bound(settings()).check().unwrap_err();
    assert!(refused.to_string().contains("HTTPS"), "{refused}");
    for origin in ["http://localhost", "https://localhost/", "localhost", "https://", "https://user@localhost"] {
        let config = Config::new("my_app", secret("a")).secure_cookies(true).device_bound(DeviceBound::at(origin));
        assert!(config.check().unwrap_err().to_string().contains("origin"), "{origin}");
    }
    let config = Config::new("my_app", secret("a")).secure_cookies(true).device_bound(settings().path("a\"b"));
    assert!(config.check().unwrap_err().to_string().contains("begins with `/`"));
}

/// Browsers renew the bound cookie only for requests to the origin. A session that is bound elsewhere would end after
/// the life of one bound cookie.
#[tokio::test]
async fn a_login_at_another_host_than_that_of_the_origin_is_not_offered_to_be_bound() {
    let elsewhere = |host: &Host| host.client().origin("https://api.localhost");
    let host = host().await;
    let (user, browser) = (host.registered_fixture().await, elsewhere(&host));
    let response = host.post_log_in(&browser, &user, false).await;
    assert_eq!(response.header("secure-session-registration"), None);
    host.clock().advance(SECOND * 11);
    assert_eq!(browser.get("/maybe").await.header("secure-session-registration"), None);
    let response = browser.post("/confirm", &[]).await;
    assert_eq!(response.header("secure-session-registration"), None);
    host.clock().advance(TTL);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(audited(&host, &user).await, 0);

    let (user, browser, response) = offered(&host).await;
    host.clock().advance(SECOND * 11);
    let elsewhere = |path: &str| Request::post(path).header("host", "api.localhost:443");
    let again = browser.send(elsewhere("/maybe").method("GET").body(Body::empty()).unwrap()).await;
    assert_eq!(again.header("secure-session-registration"), None);
    let jwt = DeviceKey::generate().registration(&challenge(&response));
    let registration = elsewhere(REGISTER).header("secure-session-response", &jwt).body(Body::empty());
    let refused = browser.send_without_storing(registration.unwrap()).await;
    assert_refused(&refused, StatusCode::BAD_REQUEST, "binding_refused");
    assert!(!is_bound(&host, &user).await);
    assert_status(&post_registration(&browser, &jwt).await, StatusCode::OK);
}

#[tokio::test]
async fn an_offer_that_is_not_taken_is_repeated_at_most_five_times_in_five_minutes() {
    let host = host().await;
    let (_, browser, _) = offered(&host).await;
    let mut offers = 1;
    for _ in 0..30 {
        host.clock().advance(SECOND * 9);
        offers += usize::from(browser.get("/maybe").await.header("secure-session-registration").is_some());
    }
    assert_eq!(offers, 5);

    let (_, browser, _) = offered(&host).await;
    host.clock().advance(MINUTE * 5);
    assert_eq!(browser.get("/maybe").await.header("secure-session-registration"), None, "too late");

    let (_, browser) = bound(&host, false).await;
    host.clock().advance(MINUTE);
    assert_eq!(browser.get("/maybe").await.header("secure-session-registration"), None, "it was taken");
}

#[tokio::test]
async fn browsers_that_do_not_know_device_bound_sessions_notice_nothing() {
    let host = host().await;
    let (user, browser, _) = offered(&host).await;
    for _ in 0..20 {
        host.clock().advance(MINUTE * 9);
        assert_eq!(who(&browser).await, user.email);
    }
    assert!(!is_bound(&host, &user).await);
    assert_eq!(browser.cookie(BOUND), None);
}

#[tokio::test]
async fn invariant_23_stolen_cookies_are_worth_nothing_after_the_life_of_one_bound_cookie() {
    let host = host().await;
    let (user, browser) = bound(&host, true).await;
    let thief = browser.fork();
    host.clock().advance(TTL - SECOND);
    assert_eq!(who(&thief).await, user.email, "the bound cookie that was stolen with the token is still valid");
    host.clock().advance(SECOND);
    assert_eq!(who(&thief).await, "anonymous");
    assert_redirected_to(&thief.get("/me").await, "/users/log-in");
    assert_status(&thief.fork().json().get("/me").await, StatusCode::UNAUTHORIZED);
    for forged in ["", "x", &thief.cookie(BOUND).unwrap_or_default(), &thief.cookie(&prefixed(KEY)).unwrap()] {
        thief.set_cookie(BOUND, forged);
        assert_eq!(who(&thief).await, "anonymous", "{forged}");
    }
    thief.remove_cookie(BOUND);
    assert_eq!(who(&thief).await, "anonymous");
    thief.close_and_reopen();
    assert_eq!(who(&thief).await, "anonymous", "the remember-me cookie isn't enough either");

    assert_eq!(who(&browser).await, user.email, "the browser with the key renews its cookie");
    host.clock().advance(DAY);
    assert_eq!(who(&browser).await, user.email);
}

fn prefixed(name: &str) -> String {
    format!("__Host-{name}")
}

#[tokio::test]
async fn invariant_23_a_thief_keeps_the_cookies_and_gets_no_new_ones() {
    let host = host().await;
    let (user, browser) = bound(&host, true).await;
    let thief = browser.fork();
    // Old enough to be reissued, which must happen only for the browser with the key.
    host.clock().advance(DAY * 8);
    let response = thief.get("/maybe").await;
    assert_eq!(response.text(), "anonymous");
    assert!(response.set_cookies().is_empty(), "{response:?}");
    let before = token(&browser).hash();
    assert_eq!(who(&browser).await, user.email);
    assert_ne!(token(&browser).hash(), before, "reissued");
    assert_eq!(who(&browser).await, user.email);
    assert!(host.sigra().fetch_session(&token(&browser)).await.unwrap().is_none(), "a token alone isn't enough");
}

#[tokio::test]
async fn invariant_23_a_bound_cookie_is_for_one_session_and_its_key() {
    let host = host().await;
    let (user, browser) = bound(&host, false).await;
    let (other, theirs) = bound(&host, false).await;
    host.clock().advance(MINUTE * 2);
    let (own, of_other) = (browser.cookie(BOUND).unwrap(), theirs.cookie(BOUND).unwrap());
    let thief = browser.fork();
    thief.set_cookie(BOUND, &of_other);
    assert_eq!(who(&thief).await, "anonymous", "the cookie of another session");
    thief.set_cookie(BOUND, &own);
    assert_eq!(who(&thief).await, user.email);

    // As if the row had the other session's key.
    let key = "UPDATE users_tokens SET binding_key = (SELECT binding_key FROM users_tokens WHERE user_id = $1 AND binding_key IS NOT NULL)
        WHERE user_id = $2 AND binding_key IS NOT NULL";
    sqlx::query(key).bind(other.id).bind(user.id).execute(&host.pool).await.unwrap();
    host.sigra().catch_up().await;
    assert_eq!(who(&thief).await, "anonymous", "the cookie of another key");
    assert_eq!(who(&theirs.fork()).await, other.email);
}

#[tokio::test]
async fn every_changed_byte_of_a_bound_cookie_makes_it_invalid() {
    let host = host().await;
    let (_, browser) = bound(&host, false).await;
    host.clock().advance(MINUTE * 2);
    let (thief, cookie) = (browser.fork(), browser.cookie(BOUND).unwrap());
    for at in 0..cookie.len() {
        let mut changed = cookie.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        thief.set_cookie(BOUND, &String::from_utf8(changed).unwrap());
        assert_eq!(who(&thief).await, "anonymous", "byte {at}");
    }
}

#[tokio::test]
async fn requests_that_were_on_their_way_when_the_session_was_bound_are_accepted() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    let on_its_way = browser.fork();
    post_registration(&browser, &DeviceKey::generate().registration(&challenge(&response))).await;
    assert_eq!(who(&on_its_way).await, user.email);
    assert_eq!(who(&browser).await, user.email, "the browser received the bound cookie");
    host.clock().advance(MINUTE);
    assert_eq!(who(&on_its_way).await, "anonymous");
    assert_eq!(who(&browser).await, user.email);
}

/// The server can't know whether its response arrived. Until the browser presents the bound cookie, it may have none.
#[tokio::test]
async fn a_browser_that_lost_the_response_with_the_bound_cookie_stays_logged_in_and_is_offered_again() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    let lost_key = DeviceKey::generate().registration(&challenge(&response));
    assert_status(&post_proof(&browser, REGISTER, None, Some(&lost_key)).await, StatusCode::OK);
    host.clock().advance(MINUTE * 2);
    let again = browser.get("/maybe").await;
    assert_eq!(again.text(), user.email);
    assert_eq!(audited(&host, &user).await, 0);

    let key = DeviceKey::generate();
    assert_status(&post_registration(&browser, &key.registration(&challenge(&again))).await, StatusCode::OK);
    assert_eq!(who(&browser).await, user.email);
    let keyless = browser.fork();
    keyless.remove_cookie(BOUND);
    host.clock().advance(MINUTE);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&keyless).await, "anonymous", "the browser has the bound cookie");
    assert_eq!(audited(&host, &user).await, 1);
    let id = session_id(&host, &user).await;
    let jwt = key.proof(&challenge(&post_proof(&browser, REFRESH, Some(&id), None).await));
    assert_status(&post_proof(&browser, REFRESH, Some(&id), Some(&jwt)).await, StatusCode::OK);
}

#[tokio::test]
async fn a_registration_that_the_browser_sends_again_is_accepted_until_it_presents_the_bound_cookie() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    let jwt = DeviceKey::generate().registration(&challenge(&response));
    assert_status(&post_proof(&browser, REGISTER, None, Some(&jwt)).await, StatusCode::OK);
    host.clock().advance(SECOND);
    assert_status(&post_registration(&browser, &jwt).await, StatusCode::OK);
    assert_eq!(who(&browser).await, user.email);
    assert_status(&post_registration(&browser, &jwt).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn invariant_23_after_the_bound_cookie_was_presented_no_offer_binds_the_session_to_another_key() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    host.clock().advance(SECOND * 10);
    let repeated = challenge(&browser.get("/maybe").await);
    let key = DeviceKey::generate();
    assert_status(&post_registration(&browser, &key.registration(&challenge(&response))).await, StatusCode::OK);
    let thief = browser.fork();
    thief.remove_cookie(BOUND);
    let attacker = DeviceKey::generate().registration(&repeated);
    assert_status(&post_registration(&thief, &attacker).await, StatusCode::BAD_REQUEST);
    host.clock().advance(SECOND * 10);
    let newer = challenge(&thief.get("/maybe").await);
    assert_eq!(who(&browser).await, user.email);
    let late = DeviceKey::generate().registration(&newer);
    assert_status(&post_registration(&thief, &late).await, StatusCode::BAD_REQUEST);
    host.clock().advance(MINUTE);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&thief).await, "anonymous");
}

/// Without a bound cookie that was presented, nothing shows that somebody else sent the request.
#[tokio::test]
async fn a_session_whose_bound_cookie_was_never_presented_needs_it_after_five_minutes_and_causes_no_alarm() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    let jwt = DeviceKey::generate().registration(&challenge(&response));
    assert_status(&post_proof(&browser, REGISTER, None, Some(&jwt)).await, StatusCode::OK);
    host.clock().advance(MINUTE * 5 - SECOND);
    assert_eq!(who(&browser).await, user.email);
    host.clock().advance(SECOND);
    assert_eq!(who(&browser).await, "anonymous");
    assert_eq!(audited(&host, &user).await, 0);
}

#[tokio::test]
async fn a_proof_by_another_key_or_algorithm_renews_nothing() {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    let other = DeviceKey::generate();
    let asked = post_proof(&browser, REFRESH, Some(&id), None).await;
    assert_status(&asked, StatusCode::FORBIDDEN);
    assert!(asked.header("secure-session-challenge").unwrap().ends_with(&format!(";id=\"{id}\"")));
    let challenge = challenge(&asked);
    let header = |alg: &str, typ: &str| json!({ "alg": alg, "typ": typ });
    let unsigned = format!("{}.", key.sign(&header("none", "dbsc+jwt"), &challenge).rsplit_once('.').unwrap().0);
    for (name, jwt) in [
        ("another key", other.proof(&challenge)),
        ("another key, in the header", other.registration(&challenge)),
        ("alg: none", key.sign(&header("none", "dbsc+jwt"), &challenge)),
        ("alg: none, unsigned", unsigned),
        ("alg: HS256", key.sign(&header("HS256", "dbsc+jwt"), &challenge)),
        ("alg: ES384", key.sign(&header("ES384", "dbsc+jwt"), &challenge)),
        ("another type", key.sign(&header("ES256", "JWT"), &challenge)),
        ("a changed claim", format!("{}A", key.proof(&challenge))),
        ("nothing", String::new()),
        ("1 MiB", key.proof(&"c".repeat(1 << 20))),
    ] {
        let response = post_proof(&browser, REFRESH, Some(&id), Some(&jwt)).await;
        assert_status(&response, StatusCode::BAD_REQUEST);
        assert!(response.set_cookies().is_empty(), "{name}");
    }
    let good = post_proof(&browser, REFRESH, Some(&id), Some(&key.proof(&challenge))).await;
    assert_status(&good, StatusCode::OK);
    assert_eq!(good.set_cookies()[0].name(), BOUND);
}

#[tokio::test]
async fn invariant_23_a_challenge_is_for_one_session_and_purpose_and_is_used_once() {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    let (_, elsewhere, other_key, other_id) = bound_by_hand(&host).await;
    let ask = async |browser: &TestClient, id: &str| challenge(&post_proof(browser, REFRESH, Some(id), None).await);
    let answer = async |challenge: &str| post_proof(&browser, REFRESH, Some(&id), Some(&key.proof(challenge))).await;

    let of_other = ask(&elsewhere, &other_id).await;
    assert_status(&answer(&of_other).await, StatusCode::FORBIDDEN);
    let (_, _, login) = offered(&host).await;
    assert_status(&answer(&challenge(&login)).await, StatusCode::FORBIDDEN);
    assert_status(&answer("AAAA").await, StatusCode::FORBIDDEN);
    // The key of another session, with its challenge, in this browser.
    let theirs = post_proof(&browser, REFRESH, Some(&id), Some(&other_key.proof(&of_other))).await;
    assert_status(&theirs, StatusCode::FORBIDDEN);

    let old = ask(&browser, &id).await;
    host.clock().advance(MINUTE * 2);
    assert_status(&answer(&old).await, StatusCode::FORBIDDEN);
    let fresh = ask(&browser, &id).await;
    assert_status(&answer(&fresh).await, StatusCode::OK);
    let again = answer(&fresh).await;
    assert_status(&again, StatusCode::FORBIDDEN);
    assert!(again.set_cookies().is_empty());
    assert_status(&answer(&challenge(&again)).await, StatusCode::OK);
}

#[tokio::test]
async fn one_challenge_that_is_answered_many_times_at_once_renews_the_cookie_once() {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    let jwt = key.proof(&challenge(&post_proof(&browser, REFRESH, Some(&id), None).await));
    let browser = Arc::new(browser);
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (browser, id, jwt) = (browser.clone(), id.clone(), jwt.clone());
        sent.spawn(async move { post_proof(&browser, REFRESH, Some(&id), Some(&jwt)).await.status() });
    }
    let statuses = sent.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn invariant_23_a_refresh_without_the_session_renews_nothing() {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    let proof = key.proof(&challenge(&post_proof(&browser, REFRESH, Some(&id), None).await));
    let (_, stranger) = host.logged_in(false).await;
    let response = post_proof(&stranger, REFRESH, Some(&id), Some(&proof)).await;
    assert_eq!(response.json::<Value>(), json!({ "session_identifier": id, "continue": false }));
    assert!(response.set_cookies().is_empty());
    for name in ["", "x", "\"\"", "../../", "00000000-0000-0000-0000-00000000000"] {
        assert_status(&post_proof(&browser, REFRESH, Some(name), None).await, StatusCode::BAD_REQUEST);
    }
    assert_status(&post_proof(&browser, REFRESH, None, Some(&proof)).await, StatusCode::BAD_REQUEST);
    let cross_site = Request::post(REFRESH)
        .header("sec-secure-session-id", &id)
        .header("secure-session-response", &proof)
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site");
    let refused = browser.send_without_storing(cross_site.body(Body::empty()).unwrap()).await;
    assert_refused(&refused, StatusCode::FORBIDDEN, "cross_origin");
    assert!(refused.set_cookies().is_empty() && refused.header("secure-session-challenge").is_none());
    assert_status(&post_proof(&browser, REFRESH, Some(&id), Some(&proof)).await, StatusCode::OK);
}

#[tokio::test]
async fn invariant_23_a_session_is_bound_once_and_only_by_the_challenge_of_its_offer() {
    let host = host().await;
    let (user, browser, response) = offered(&host).await;
    let (_, stranger, other_response) = offered(&host).await;
    let (key, attacker) = (DeviceKey::generate(), DeviceKey::generate());
    let offered = challenge(&response);
    let thief = browser.fork();
    let jwk_of_other = attacker.sign(&json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": key.jwk() }), &offered);
    for (name, jwt) in [
        ("no challenge", attacker.registration("")),
        ("an invented challenge", attacker.registration(&offered.replace(|c: char| c.is_ascii_digit(), "0"))),
        ("the challenge of another session", attacker.registration(&challenge(&other_response))),
        ("another key's signature", jwk_of_other),
        ("no key", attacker.proof(&offered)),
        ("1 MiB", attacker.registration(&"c".repeat(1 << 20))),
    ] {
        let refused = post_registration(&thief, &jwt).await;
        assert_refused(&refused, StatusCode::BAD_REQUEST, "binding_refused");
        assert!(refused.set_cookies().is_empty() && !is_bound(&host, &user).await, "{name}");
    }
    assert_status(&post_proof(&thief, REGISTER, None, None).await, StatusCode::BAD_REQUEST);
    assert!(
        thief.get("/maybe").await.header("secure-session-registration").is_none(),
        "no offer right after the login"
    );
    assert_status(&post_registration(&browser, &key.registration(&offered)).await, StatusCode::OK);

    let again = post_registration(&thief, &attacker.registration(&offered)).await;
    assert_refused(&again, StatusCode::BAD_REQUEST, "binding_refused");
    host.clock().advance(MINUTE);
    assert_eq!(who(&browser).await, user.email, "still bound to the first key");
    assert_eq!(who(&thief).await, "anonymous");
    let anonymous = post_registration(&host.client(), &attacker.registration(&offered)).await;
    assert_redirected_or_refused(&anonymous);
    host.clock().advance(MINUTE * 2);
    let late = post_registration(&stranger, &attacker.registration(&challenge(&other_response))).await;
    assert_status(&late, StatusCode::BAD_REQUEST);
}

/// Asserts that the response is a problem with this status and code.
#[track_caller]
fn assert_refused(response: &TestResponse, status: StatusCode, code: &'static str) {
    assert_problem(response, status);
    assert_eq!(response.problem(), Some(&Problem::new(status).code(code)), "{response:?}");
}

#[track_caller]
fn assert_redirected_or_refused(response: &TestResponse) {
    assert!(matches!(response.status().as_u16(), 303 | 401), "{response:?}");
}

#[tokio::test]
async fn invariant_23_of_many_registrations_at_once_one_binds_the_session() {
    let host = host().await;
    let (_, browser, response) = offered(&host).await;
    let (browser, challenge) = (Arc::new(browser), challenge(&response));
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (browser, jwt) = (browser.clone(), DeviceKey::generate().registration(&challenge));
        sent.spawn(async move { post_proof(&browser, REGISTER, None, Some(&jwt)).await.status() });
    }
    let statuses = sent.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn an_audience_is_accepted_if_it_is_the_applications_own() {
    let host = host().await;
    for (aud, status) in [
        (format!("https://localhost{REGISTER}"), StatusCode::OK),
        (format!("https://evil.example{REGISTER}"), StatusCode::BAD_REQUEST),
        ("https://localhost".to_owned(), StatusCode::BAD_REQUEST),
    ] {
        let (_, browser, response) = offered(&host).await;
        let jwt = with_claims(&json!({ "jti": challenge(&response), "aud": aud }));
        assert_status(&post_registration(&browser, &jwt).await, status);
    }
}

/// A registration by a key of its own, with these claims.
fn with_claims(claims: &Value) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let key = SigningKey::from_slice(&[9; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    let header = json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": jwk });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

#[tokio::test]
async fn the_use_of_a_token_without_its_key_is_recorded_once() {
    let host = host().await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = told.clone();
    let _watch = host.sigra().device_binding().on_use_without_key(move |_, used| {
        seen.lock().unwrap().push((used.user.email.clone(), used.client.ip));
        Box::pin(async { Ok(()) })
    });
    let (user, browser) = bound(&host, false).await;
    let thief = browser.fork().peer("203.0.113.7:1".parse().unwrap());
    host.clock().advance(TTL);
    assert_eq!(audited(&host, &user).await, 0);
    for _ in 0..3 {
        assert_eq!(who(&thief).await, "anonymous");
    }
    assert_audit_event(host.sigra(), &user, audit::USED_WITHOUT_KEY).await;
    assert_eq!(audited(&host, &user).await, 1);
    assert_eq!(*told.lock().unwrap(), [(user.email.clone(), Some("203.0.113.7".parse().unwrap()))]);
    let session = host.sigra().sessions().list(&user.id).await.unwrap()[0].clone();
    assert!(session.binding.unwrap().misused_at.is_some());
    assert_eq!(who(&browser).await, user.email, "the user isn't logged out by the thief");
    assert_eq!(audited(&host, &user).await, 1);
}

#[tokio::test]
async fn a_browser_that_says_why_it_has_no_bound_cookie_is_no_thief() {
    let host = host().await;
    let (user, browser) = bound(&host, false).await;
    let unreachable = browser.fork();
    host.clock().advance(TTL);
    for reason in ["unreachable", "server_error", "quota_exceeded", "\u{1}"] {
        let request =
            Request::get("/maybe").header("secure-session-skipped", format!("{reason};session_identifier=\"x\""));
        let Ok(request) = request.body(Body::empty()) else { continue };
        assert_eq!(unreachable.send(request).await.text(), "anonymous", "{reason}");
    }
    assert_eq!(audited(&host, &user).await, 0);
    assert_eq!(who(&browser).await, user.email, "its cookies were kept");
}

#[tokio::test]
async fn a_request_below_an_excluded_path_is_no_theft() {
    let excluding = |config: Config| config.secure_cookies(true).device_bound(settings().exclude(["/may", "/maybe"]));
    let host = Host::with(excluding).await;
    let (user, browser) = bound(&host, false).await;
    let without_renewal = browser.fork();
    host.clock().advance(TTL);
    assert_eq!(without_renewal.get("/maybe").await.text(), "anonymous");
    assert_eq!(audited(&host, &user).await, 0);
    assert_status(&without_renewal.post("/binding", &[]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(audited(&host, &user).await, 1);
}

#[tokio::test]
async fn a_failure_of_the_hosts_reaction_leaves_no_event_and_is_tried_again() {
    let host = host().await;
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = calls.clone();
    let _watch = host.sigra().device_binding().on_use_without_key(move |_, _| {
        let is_first = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        Box::pin(async move { if is_first { Err(sigra::Error::Random) } else { Ok(()) } })
    });
    let (user, browser) = bound(&host, false).await;
    let thief = browser.fork();
    host.clock().advance(TTL);
    assert_eq!(who(&thief).await, "anonymous");
    assert_eq!(audited(&host, &user).await, 0);
    assert_eq!(who(&thief).await, "anonymous");
    assert_eq!(audited(&host, &user).await, 1);
}

#[tokio::test]
async fn in_report_mode_and_when_turned_off_bound_sessions_work_without_the_key() {
    for configure in [
        (|config: Config| config.secure_cookies(true).device_bound(settings().mode(BindingMode::Report)))
            as fn(Config) -> Config,
        |config| config.secure_cookies(true),
    ] {
        let host = host().await;
        let (user, browser) = bound(&host, false).await;
        host.clock().advance(TTL * 2);
        let other = host.restart(configure).await;
        let thief = other.take_over(&browser);
        thief.remove_cookie(BOUND);
        assert_eq!(who(&thief).await, user.email);
        assert_eq!(audited(&host, &user).await, 0);
        assert!(other.sigra().fetch_session(&token(&thief)).await.unwrap().is_some());
    }
    let reporting =
        Host::with(|config| config.secure_cookies(true).device_bound(settings().mode(BindingMode::Report))).await;
    bound(&reporting, false).await;
}

#[tokio::test]
async fn in_report_mode_a_request_without_the_bound_cookie_takes_no_query_if_its_scope_is_cached() {
    let host =
        Host::with(|config| config.secure_cookies(true).device_bound(settings().mode(BindingMode::Report))).await;
    let (user, browser) = bound(&host, false).await;
    host.clock().advance(TTL * 2);
    let thief = browser.fork();
    thief.remove_cookie(BOUND);
    // The first request records the use of the session.
    for _ in 0..2 {
        assert_eq!(who(&thief).await, user.email);
        host.sigra().catch_up().await;
    }
    assert_eq!(who(&thief).await, user.email);
    host.pool.close().await;
    assert_eq!(who(&thief).await, user.email);
}

#[tokio::test]
async fn a_browser_can_renew_its_bound_cookie_many_times_in_a_row() {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    for _ in 0..30 {
        let asked = post_proof(&browser, REFRESH, Some(&id), None).await;
        host.clock().advance(SECOND);
        let jwt = key.proof(&challenge(&asked));
        assert_status(&post_proof(&browser, REFRESH, Some(&id), Some(&jwt)).await, StatusCode::OK);
        assert_status(&post_proof(&browser, REFRESH, Some(&id), Some(&jwt)).await, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn reauthentication_renewal_and_rehydration_keep_the_binding() {
    let host = host().await;
    let (user, browser) = bound(&host, true).await;
    let bound_to = browser.bound_sessions();
    for path in ["/confirm", "/renew", "/confirm-and-renew"] {
        assert_status(&browser.post(path, &[]).await, StatusCode::NO_CONTENT);
        host.clock().advance(TTL);
        assert_eq!(who(&browser).await, user.email, "{path}");
    }
    browser.close_and_reopen();
    assert_eq!(who(&browser).await, user.email, "rehydrated from the remember-me cookie");
    host.clock().advance(DAY);
    browser.close_and_reopen();
    assert_eq!(browser.cookie(&prefixed(KEY)), None);
    assert_eq!(who(&browser).await, user.email, "renewed with the remember-me cookie only");
    assert!(browser.cookie(&prefixed(KEY)).is_some());
    assert_eq!(browser.bound_sessions(), bound_to);
    let thief = browser.fork();
    host.clock().advance(TTL);
    assert_eq!(who(&thief).await, "anonymous");
}

#[tokio::test]
async fn reauthentication_offers_to_bind_a_session_that_is_not() {
    let host = host().await;
    let (user, browser, _) = offered(&host).await;
    host.clock().advance(DAY);
    let renewed = browser.post("/renew", &[]).await;
    assert_eq!(renewed.header("secure-session-registration"), None, "a copy of the cookies is enough to renew");
    let response = browser.post("/confirm", &[]).await;
    assert_status(&post_registration(&browser, &DeviceKey::generate().registration(&challenge(&response))).await, 200);
    assert!(is_bound(&host, &user).await);
}

#[tokio::test]
async fn a_new_login_is_a_new_binding_and_the_browser_forgets_the_old_one() {
    let host = host().await;
    let (user, browser) = bound(&host, false).await;
    let first = browser.bound_sessions();
    host.post_log_in(&browser, &user, false).await;
    assert_eq!(browser.bound_sessions().len(), 2, "the browser doesn't know yet that the old session has ended");
    host.clock().advance(TTL);
    assert_eq!(who(&browser).await, user.email);
    let now = browser.bound_sessions();
    assert!(now.len() == 1 && now != first, "{now:?}");
    assert_eq!(now[0], session_id(&host, &user).await);
}

#[tokio::test]
async fn logging_out_ends_the_binding_in_the_browser_too() {
    let host = host().await;
    let (_, browser) = bound(&host, true).await;
    let response = browser.post("/log-out", &[]).await;
    let expired = response.set_cookies().into_iter().find(|cookie| cookie.name() == BOUND).expect("expired");
    assert_eq!(expired.max_age(), Some(time::Duration::ZERO));
    assert_eq!(who(&browser).await, "anonymous");
    assert!(browser.bound_sessions().is_empty());

    let (user, browser) = bound(&host, true).await;
    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    assert_eq!(who(&browser).await, "anonymous");
    host.clock().advance(TTL);
    assert_eq!(who(&browser).await, "anonymous");
    assert!(browser.bound_sessions().is_empty(), "it was told at its next renewal");
}

#[tokio::test]
async fn a_session_whose_bound_cookie_has_expired_can_be_logged_out() {
    let host = host().await;
    let (user, browser) = bound(&host, true).await;
    let keyless = browser.fork();
    host.clock().advance(TTL);
    keyless.post("/log-out", &[]).await;
    assert!(host.sigra().sessions().list(&user.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn bound_cookies_and_challenges_survive_a_rotation_of_the_secret() {
    let host = host().await;
    let (user, browser, key, id) = bound_by_hand(&host).await;
    let jwt = key.proof(&challenge(&post_proof(&browser, REFRESH, Some(&id), None).await));
    host.clock().advance(MINUTE + SECOND);
    let rotated = host.restart(|config| secure(config.older_secrets([secret("a")]).clock(host.clock().clone()))).await;
    let moved = rotated.take_over(&browser);
    assert_eq!(who(&moved).await, user.email);
    assert_status(&post_proof(&moved, REFRESH, Some(&id), Some(&jwt)).await, StatusCode::OK);
}

#[tokio::test]
async fn several_nodes_accept_the_bound_cookies_and_challenges_of_each_other() {
    let host = host().await;
    let other = host.restart(secure).await;
    let (user, browser, key, id) = bound_by_hand(&host).await;
    let there = other.take_over(&browser);
    host.clock().advance(MINUTE + SECOND);
    assert_eq!(who(&there).await, user.email);
    let jwt = key.proof(&challenge(&post_proof(&browser, REFRESH, Some(&id), None).await));
    let renewed = post_proof(&there, REFRESH, Some(&id), Some(&jwt)).await;
    assert_status(&renewed, StatusCode::OK);
    host.clock().advance(TTL - MINUTE);
    assert_eq!(who(&browser).await, "anonymous");
    browser.store(&renewed);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn renewing_the_bound_cookie_writes_nothing_that_a_page_would_not() {
    let host = host().await;
    let (_, browser) = bound(&host, false).await;
    host.execute(crate::database::REFUSE_UPDATES).await;
    host.clock().advance(SECOND * 30);
    let before = browser.cookie(BOUND);
    browser.renew_bound_cookies().await;
    assert_ne!(browser.cookie(BOUND), before, "renewed");
}

/// Chromium withholds cookies of `SameSite=Lax` from the renewal before a page that a link on another site leads to. If
/// that ended the binding, the link would log the user out.
#[tokio::test]
async fn invariant_23_after_a_link_on_another_site_the_key_renews_the_bound_cookie_without_the_token() {
    let host = host().await;
    let (user, browser, key, id) = bound_by_hand(&host).await;
    host.clock().advance(TTL);
    let without_cookies = host.client();
    let asked = post_proof(&without_cookies, REFRESH, Some(&id), None).await;
    assert_status(&asked, StatusCode::FORBIDDEN);
    let challenge = challenge(&asked);
    let forged = post_proof(&without_cookies, REFRESH, Some(&id), Some(&DeviceKey::generate().proof(&challenge))).await;
    assert!(forged.status() == StatusCode::BAD_REQUEST && forged.set_cookies().is_empty(), "{forged:?}");
    let renewed = post_proof(&without_cookies, REFRESH, Some(&id), Some(&key.proof(&challenge))).await;
    assert_status(&renewed, StatusCode::OK);
    assert!(renewed.json::<Value>()["credentials"].is_array());
    browser.store(&renewed);
    assert_eq!(who(&browser).await, user.email);
    without_cookies.store(&renewed);
    assert_eq!(who(&without_cookies).await, "anonymous", "the bound cookie is worth nothing without the token");

    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    let ended = json!({ "session_identifier": id, "continue": false });
    assert_eq!(post_proof(&host.client(), REFRESH, Some(&id), None).await.json::<Value>(), ended);
}

async fn require_binding(host: &Host, user: &User) {
    let require = sqlx::query("UPDATE users SET nickname = 'must be bound' WHERE id = $1").bind(user.id);
    require.execute(&host.pool).await.unwrap();
    host.sigra().sessions().announce_change(&user.id);
}

#[tokio::test]
async fn a_token_or_a_live_connection_of_a_user_who_must_be_bound_is_no_way_around_it() {
    let host = host().await;
    let (user, browser, _) = offered(&host).await;
    require_binding(&host, &user).await;
    let token = token(&browser);
    let browser = Arc::new(browser);
    let opened = browser.clone();
    let connection = tokio::spawn(async move { opened.get("/live").await.text() });
    host.slow.live().await;
    host.clock().advance(MINUTE * 5 - SECOND);
    tokio::time::sleep(SECOND).await;
    assert!(!connection.is_finished() && host.sigra().fetch_session(&token).await.unwrap().is_some());
    host.clock().advance(SECOND);
    assert!(host.sigra().fetch_session(&token).await.unwrap().is_none());
    let ended = tokio::time::timeout(MINUTE, connection).await.expect("it ends").unwrap();
    assert_eq!(ended, "ended");
}

#[tokio::test]
async fn a_user_who_must_be_bound_can_log_in_from_a_trusted_browser() {
    let host = host().await;
    let ((user, _), browser) = (host.mfa_fixture().await, host.client().device_bound(host.clock()));
    require_binding(&host, &user).await;
    host.post_log_in(&browser, &user, false).await;
    let form = [("code", &*host.totp_code(&user).await), ("trust_browser", "true")];
    assert_status(&browser.post("/mfa-challenge", &form).await, StatusCode::OK);
    assert_eq!(browser.bound_sessions().len(), 1);
    browser.post("/log-out", &[]).await;

    host.clock().advance(DAY);
    host.post_log_in(&browser, &user, false).await;
    assert_eq!(who(&browser).await, user.email, "without a second factor");
    host.clock().advance(DAY);
    assert_eq!(who(&browser).await, user.email, "the session is bound");

    let copy = host.client();
    browser
        .cookies()
        .iter()
        .filter(|(name, _)| name.contains("trust"))
        .for_each(|(name, value)| copy.set_cookie(name, value));
    host.post_log_in(&copy, &user, false).await;
    host.clock().advance(MINUTE * 5 - SECOND);
    assert_eq!(who(&copy).await, user.email);
    host.clock().advance(SECOND);
    assert_eq!(who(&copy).await, "anonymous", "it is not bound, and was not in time");
}

#[tokio::test]
async fn a_user_who_must_be_bound_has_all_the_time_of_the_challenge_for_a_second_factor() {
    let host = host().await;
    let ((user, _), browser) = (host.mfa_fixture().await, host.client().device_bound(host.clock()));
    require_binding(&host, &user).await;
    host.post_log_in(&browser, &user, false).await;
    host.clock().advance(MINUTE * 9);
    assert_eq!(browser.get("/mfa-challenge").await.text(), user.email);
    let code = host.totp_code(&user).await;
    assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, StatusCode::OK);
    assert_eq!((who(&browser).await, browser.bound_sessions().len()), (user.email.clone(), 1));
}

#[tokio::test]
async fn a_user_who_must_be_bound_sets_up_a_required_second_factor_first() {
    let host = host().await;
    let (user, browser) = (host.registered_fixture().await, host.client().device_bound(host.clock()));
    require_binding(&host, &user).await;
    host.execute("UPDATE users SET admin = true").await;
    host.post_log_in(&browser, &user, false).await;
    host.clock().advance(MINUTE * 6);
    let secret = browser.get("/mfa").await.text();
    host.clock().advance(MINUTE * 6);
    let code = code_of(&secret, &host);
    assert_status(&browser.post("/mfa", &[("code", &code)]).await, StatusCode::OK);
    assert_eq!((who(&browser).await, browser.bound_sessions().len()), (user.email.clone(), 1));
    host.clock().advance(DAY);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn a_user_who_must_be_bound_is_anonymous_in_a_session_that_is_not() {
    let host = host().await;
    let (user, browser, _) = offered(&host).await;
    require_binding(&host, &user).await;
    host.clock().advance(MINUTE * 5 - SECOND);
    assert_eq!(who(&browser).await, user.email, "the browser may be about to bind it");
    host.clock().advance(SECOND);
    assert_eq!(who(&browser).await, "anonymous");
    assert_eq!(audited(&host, &user).await, 0, "nothing was stolen");

    let modern = host.client().device_bound(host.clock());
    host.post_log_in(&modern, &user, false).await;
    host.clock().advance(DAY);
    assert_eq!(who(&modern).await, user.email);
}

#[tokio::test]
async fn invariant_23_a_handler_can_require_a_bound_session_in_every_mode() {
    for mode in [BindingMode::Report, BindingMode::Enforce] {
        let host = Host::with(|config| config.secure_cookies(true).device_bound(settings().mode(mode))).await;
        let (_, unbound, _) = offered(&host).await;
        assert_refused(&unbound.post("/bound-sudo", &[]).await, StatusCode::FORBIDDEN, "binding_required");
        let (user, browser) = bound(&host, false).await;
        assert_eq!(browser.post("/bound-sudo", &[]).await.text(), user.email);
        let thief = browser.fork();
        thief.remove_cookie(BOUND);
        assert_refused(&thief.post("/bound-sudo", &[]).await, StatusCode::FORBIDDEN, "binding_required");
        let thief = browser.fork();
        host.clock().advance(TTL);
        let refused = thief.post("/bound-sudo", &[]).await;
        assert!(!refused.status().is_success(), "{refused:?}");
        assert_eq!(browser.post("/bound-sudo", &[]).await.text(), user.email);
        let off = host.restart(|config| config.secure_cookies(true)).await;
        let refused = off.take_over(&thief).post("/bound-sudo", &[]).await;
        assert_refused(&refused, StatusCode::FORBIDDEN, "binding_required");
        host.clock().advance(MINUTE * 20);
        assert!(!browser.post("/bound-sudo", &[]).await.status().is_success(), "sudo mode has ended");
    }
}

#[tokio::test]
async fn invariant_23_live_connections_end_when_the_key_was_not_proved_for_the_life_of_two_bound_cookies() {
    // The database counts a session as used for up to five minutes, so use a longer time.
    let host = host().await;
    let (_, browser) = bound(&host, false).await;
    let browser = Arc::new(browser);
    let opened = browser.clone();
    let connection = tokio::spawn(async move { opened.get("/live").await.text() });
    host.slow.live().await;
    host.clock().advance(TTL * 2 - SECOND);
    tokio::time::sleep(SECOND * 2).await;
    assert!(!connection.is_finished(), "the key was proved recently enough");
    browser.renew_bound_cookies().await;
    host.clock().advance(TTL * 2 - SECOND);
    tokio::time::sleep(SECOND * 2).await;
    assert!(!connection.is_finished(), "it was renewed");
    host.clock().advance(SECOND);
    let ended = tokio::time::timeout(MINUTE, connection).await.expect("it ends").unwrap();
    assert_eq!(ended, "ended");
}

#[tokio::test]
async fn a_session_without_a_browser_is_never_bound_and_needs_no_key() {
    let host = host().await;
    let user = host.registered_fixture().await;
    let (token, _) = host.sigra().create_session(&user, RememberMe::No, &Client::default()).await.unwrap();
    host.clock().advance(DAY);
    assert!(host.sigra().fetch_session(&token).await.unwrap().is_some());
}

#[tokio::test]
async fn invariant_23_a_row_whose_key_is_garbage_lets_nobody_in() {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    host.clock().advance(MINUTE * 2);
    let challenge = challenge(&post_proof(&browser, REFRESH, Some(&id), None).await);
    sqlx::query("UPDATE users_tokens SET binding_key = $1 WHERE binding_key IS NOT NULL")
        .bind(vec![0xff_u8; 33])
        .execute(&host.pool)
        .await
        .unwrap();
    host.sigra().catch_up().await;
    assert_eq!(who(&browser).await, "anonymous");
    assert_status(&post_proof(&browser, REFRESH, Some(&id), Some(&key.proof(&challenge))).await, 400);
}

/// Causes every event of device-bound sessions, and returns a browser with a bound cookie.
pub async fn cause_every_event() -> (Host, TestClient) {
    let host = host().await;
    let (_, browser, key, id) = bound_by_hand(&host).await;
    let jwt = key.proof("an invented challenge");
    post_proof(&browser, REFRESH, Some(&id), Some(&jwt)).await;
    host.clock().advance(TTL);
    for skipped in ["unreachable", "secret-\u{1}-token"] {
        let request = Request::get("/maybe").header("secure-session-skipped", skipped).body(Body::empty());
        if let Ok(request) = request {
            browser.send(request).await;
        }
    }
    browser.get("/maybe").await;
    (host, browser)
}
