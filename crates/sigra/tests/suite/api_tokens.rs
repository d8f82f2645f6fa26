//! Personal access tokens, and the extractors that take them.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    extract::{Request as AxumRequest, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use http::{Method, Request, StatusCode};
use sigra::{
    Bearer, Caller, Client, CookieSession, Error, Permission, Scope, Sudo,
    api_tokens::{ApiToken, ApiTokenProblem, CreatedApiToken, Expiry, NewApiToken},
    audit,
    bearer::{BearerToken, PermissionList, Permissions},
    testing::{TestClient, TestHost, TestResponse, assert_audit_event, assert_redirected_to, assert_status},
};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::host::{DAY, Host, MINUTE, SECOND, User, assert_sets_no_cookie, token, who};
use crate::database::INVALID_TIMES;

struct ReadProjects;
struct WriteProjects;

impl Permission for ReadProjects {
    const NAME: &'static str = "projects:read";
    const DESCRIPTION: &'static str = "See your projects";
}

impl Permission for WriteProjects {
    const NAME: &'static str = "projects:write";
    const DESCRIPTION: &'static str = "Change your projects";
}

const READ: &[&str] = &[ReadProjects::NAME];

fn both() -> PermissionList {
    PermissionList::new().with::<ReadProjects>().with::<WriteProjects>()
}

async fn host() -> Host {
    Host::with(|config| config.permissions(both())).await
}

fn routes(host: &Host) -> Router {
    let caller = async |caller: Caller<User, ReadProjects>| match &caller {
        Caller::Session(scope) => format!("session {}", scope.user().email),
        Caller::Bearer(bearer) => {
            format!("bearer {} {}", bearer.user().email, caller.has_permission::<WriteProjects>())
        }
    };
    Router::new()
        .route("/bearer", any(async |bearer: Bearer<User>| bearer.user().email.clone()))
        .route("/permissions", any(async |bearer: Bearer<User>| bearer.permissions().to_string()))
        .route("/read", any(async |bearer: Bearer<User, ReadProjects>| bearer.user().email.clone()))
        .route("/write", any(async |bearer: Bearer<User, WriteProjects>| bearer.user().email.clone()))
        .route("/both", any(async |_: Bearer<User, (ReadProjects, WriteProjects)>| "both"))
        .route("/maybe-bearer", any(async |bearer: Option<Bearer<User>>| bearer.is_some().to_string()))
        .route("/caller", any(caller))
        .route("/maybe-caller", any(async |caller: Option<Caller<User>>| caller.is_some().to_string()))
        .route("/scope", any(async |scope: Scope<User>| scope.user().email.clone()))
        .route("/option", any(async |scope: Option<Scope<User>>| scope.is_some().to_string()))
        .route("/sudo", any(async |Sudo(scope): Sudo<User>| scope.user().email.clone()))
        .route("/put", any(async |session: CookieSession| session.put("cart", &1).map(|()| "put")))
        .route("/tokens", post(create).get(list))
        .with_state(host.sigra.clone())
}

/// Takes everything but the name from the scope, whatever the body says.
async fn create(
    State(sigra): State<sigra::Sigra<User>>,
    session: CookieSession,
    sudo: Sudo<User>,
    Json(body): Json<serde_json::Value>,
) -> sigra::Result<String> {
    let name = body["name"].as_str().unwrap_or_default();
    let new = NewApiToken::new(name, READ.join(" ").parse().unwrap(), Expiry::After(DAY * 30));
    Ok(sigra.api_tokens().create(&sudo, &new, &session.client()).await?.secret.as_str().to_owned())
}

async fn list(State(sigra): State<sigra::Sigra<User>>, scope: Scope<User>) -> sigra::Result<String> {
    Ok(sigra.api_tokens().list(&scope).await?.len().to_string())
}

/// The routes behind each of the two layers.
fn routers(host: &Host) -> [Router; 2] {
    let layer = host.sigra.fetch_current_scope();
    [routes(host).layer(layer.clone()), routes(host).layer(layer.on_demand())]
}

fn router(host: &Host) -> Router {
    let [strict, _] = routers(host);
    strict
}

/// A program with a token, at the strict routes.
fn program(host: &Host, created: &CreatedApiToken) -> TestClient {
    TestClient::new(router(host)).bearer(created.secret.as_str())
}

/// A browser with the cookies of another, at these routes.
fn at(router: Router, browser: &TestClient) -> TestClient {
    let client = TestClient::new(router);
    browser.cookies().iter().for_each(|(name, value)| client.set_cookie(name, value));
    client
}

async fn sudo(host: &Host, browser: &TestClient) -> Sudo<User> {
    Sudo(host.sigra.fetch_session(&token(browser)).await.unwrap().unwrap())
}

fn new_token(permissions: &[&str]) -> NewApiToken {
    NewApiToken::new("Backup script", Permissions::of(permissions).unwrap(), Expiry::After(DAY * 30))
}

async fn create_in(host: &Host, browser: &TestClient, new: &NewApiToken) -> Result<CreatedApiToken, Error> {
    host.sigra.api_tokens().create(&sudo(host, browser).await, new, &Client::default()).await
}

/// A user with a browser and a token to read projects.
async fn with_token(host: &Host) -> (User, TestClient, CreatedApiToken) {
    let (user, browser) = host.authenticated_fixture().await;
    let created = create_in(host, &browser, &new_token(READ)).await.unwrap();
    (user, browser, created)
}

async fn send(client: &TestClient, method: Method, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request.body(Body::empty()).unwrap()).await
}

async fn count(host: &Host, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(&host.pool).await.unwrap()
}

#[track_caller]
fn assert_refused(response: &TestResponse, status: u16, challenge: &str, code: &str) {
    assert_status(response, status);
    assert_eq!(response.header("www-authenticate"), Some(challenge), "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.text().contains(&format!("\"code\":\"{code}\"")), "{response:?}");
    assert_sets_no_cookie(response);
}

#[track_caller]
fn assert_invalid(response: &TestResponse) {
    assert_refused(response, 401, "Bearer realm=\"my_app\", error=\"invalid_token\"", "invalid_token");
}

#[tokio::test]
async fn invariant_21_a_token_opens_what_its_permissions_say_and_nothing_else() {
    let host = host().await;
    let (user, _, created) = with_token(&host).await;
    for router in routers(&host) {
        let program = TestClient::new(router).bearer(created.secret.as_str());
        for path in ["/bearer", "/read"] {
            let response = program.get(path).await;
            assert_eq!(response.text(), user.email, "{path}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
            assert_sets_no_cookie(&response);
        }
        assert_eq!(program.get("/permissions").await.text(), "projects:read");
        assert_eq!(program.post("/caller", &[]).await.text(), format!("bearer {} false", user.email));
        for (path, scope) in [("/write", "projects:write"), ("/both", "projects:read projects:write")] {
            let challenge = format!("Bearer realm=\"my_app\", scope=\"{scope}\", error=\"insufficient_scope\"");
            assert_refused(&program.get(path).await, 403, &challenge, "insufficient_scope");
        }
    }
}

#[tokio::test]
async fn invariant_21_a_cookie_never_opens_a_bearer_route_and_a_token_never_a_page() {
    let host = host().await;
    let (user, browser, created) = with_token(&host).await;
    for router in routers(&host) {
        let browser = at(router.clone(), &browser);
        for path in ["/bearer", "/read", "/both"] {
            let response = browser.get(path).await;
            assert_refused(&response, 401, "Bearer realm=\"my_app\"", "authentication_required");
        }
        assert_eq!(browser.get("/maybe-bearer").await.text(), "false");
        assert_eq!(browser.get("/caller").await.text(), format!("session {}", user.email));

        let program = TestClient::new(router).bearer(created.secret.as_str());
        for path in ["/scope", "/sudo"] {
            assert_status(&program.get(path).await, StatusCode::UNAUTHORIZED);
            assert_status(&program.post(path, &[]).await, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(program.get("/option").await.text(), "false");
        assert_eq!(program.get("/maybe-caller").await.text(), "true");
    }
}

/// The original let a token create others, and better-auth read the owner from the body (CVE-2025-61928).
#[tokio::test]
async fn invariant_21_a_token_cannot_create_or_list_tokens_and_the_owner_is_never_from_the_body() {
    let host = host().await;
    let (user, browser, created) = with_token(&host).await;
    let other = host.registered_fixture().await;
    let program = program(&host, &created);
    let create = |client: &TestClient| {
        let body = serde_json::json!({ "name": "Mine", "user_id": other.id, "permissions": ["projects:write"] });
        let request = Request::post("/tokens").header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let client = client.fork();
        async move { client.send(request).await }
    };
    assert_status(&create(&program).await, StatusCode::UNAUTHORIZED);
    assert_status(&program.get("/tokens").await, StatusCode::UNAUTHORIZED);
    assert_eq!(count(&host, "api_tokens").await, 1);

    let made = create(&at(router(&host), &browser)).await.text();
    let mine = TestClient::new(router(&host)).bearer(&made);
    assert_eq!(mine.get("/bearer").await.text(), user.email, "not the user in the body");
    assert_eq!(mine.get("/permissions").await.text(), "projects:read", "not the permissions in the body");
}

/// A bearer token that shadows a cookie, or the reverse, is how restrictions were skipped elsewhere.
#[tokio::test]
async fn invariant_21_the_token_decides_when_a_cookie_comes_beside_it() {
    let host = host().await;
    let (user, _, created) = with_token(&host).await;
    let (other, browser) = host.authenticated_fixture().await;
    for router in routers(&host) {
        let both = at(router.clone(), &browser).bearer(created.secret.as_str());
        assert_eq!(both.get("/bearer").await.text(), user.email);
        assert_eq!(both.get("/caller").await.text(), format!("bearer {} false", user.email));
        assert_eq!(both.get("/scope").await.text(), other.email, "a page knows only the cookie");
        let invalid = at(router, &browser).bearer("my_app_pat_wrong");
        for path in ["/bearer", "/caller", "/maybe-bearer", "/maybe-caller"] {
            assert_invalid(&invalid.get(path).await);
        }
    }
    // Other schemes, such as that of a proxy, don't keep a cookie from counting.
    let basic = at(router(&host), &browser);
    let response = send(&basic, Method::GET, "/caller", &[("authorization", "Basic dXNlcjpwYXNz")]).await;
    assert_eq!(response.text(), format!("session {}", other.email));
}

#[tokio::test]
async fn invariant_21_a_request_has_one_token_and_it_is_in_the_header() {
    let host = host().await;
    let (_, _, created) = with_token(&host).await;
    let secret = created.secret.as_str();
    let stranger = TestClient::new(router(&host)).json();
    for query in [format!("/bearer?access_token={secret}"), format!("/bearer?token={secret}")] {
        let challenge = "Bearer realm=\"my_app\"";
        assert_refused(&stranger.get(&query).await, 401, challenge, "authentication_required");
    }
    let malformed = "Bearer realm=\"my_app\", error=\"invalid_request\"";
    let program = program(&host, &created);
    for query in ["access_token=other", "a=b&access_token=", "access_token"] {
        let response = program.get(&format!("/bearer?{query}")).await;
        assert_refused(&response, 400, malformed, "invalid_request");
    }
    assert_status(&program.get("/bearer?not_access_token=1").await, 200);
    let bearer = format!("Bearer {secret}");
    for second in [bearer.as_str(), "Basic dXNlcjpwYXNz"] {
        let headers = [("authorization", bearer.as_str()), ("authorization", second)];
        for path in ["/bearer", "/caller"] {
            let response = send(&stranger, Method::GET, path, &headers).await;
            assert_refused(&response, 400, malformed, "invalid_request");
        }
    }
    for value in ["Bearer", "Bearer a b", &format!("{bearer}, {bearer}")] {
        let response = send(&stranger, Method::GET, "/bearer", &[("authorization", value)]).await;
        assert_refused(&response, 400, malformed, "invalid_request");
    }
}

#[tokio::test]
async fn the_challenge_names_the_metadata_if_it_is_set() {
    let url = "https://app.example.com/.well-known/oauth-protected-resource";
    let host = Host::with(|config| config.resource_metadata(url.to_owned()).token_prefix("shop")).await;
    let response = TestClient::new(router(&host)).get("/bearer").await;
    let challenge = format!("Bearer realm=\"shop\", resource_metadata=\"{url}\"");
    assert_refused(&response, 401, &challenge, "authentication_required");
}

#[tokio::test]
async fn a_caller_without_a_token_gets_the_login_page_or_a_challenge() {
    let host = host().await;
    for router in routers(&host) {
        let visitor = TestClient::new(router);
        assert_redirected_to(&visitor.get("/caller").await, "/users/log-in");
        let response = visitor.json().get("/caller").await;
        assert_status(&response, StatusCode::UNAUTHORIZED);
        assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"my_app\""));
    }
}

#[tokio::test]
async fn invariant_2_an_access_token_is_valid_exactly_while_its_row_exists() {
    let host = host().await;
    host.sigra.catch_up().await;
    let (user, browser, _) = with_token(&host).await;
    host.sigra.catch_up().await;
    let tokens = host.sigra.api_tokens();
    let Sudo(scope) = sudo(&host, &browser).await;
    for round in 0..8 {
        let created = create_in(&host, &browser, &new_token(READ)).await.unwrap();
        let program = program(&host, &created);
        for _ in 0..3 {
            assert_eq!(program.get("/read").await.text(), user.email);
        }
        match round {
            0 => assert!(tokens.revoke(&scope, created.token.id, &Client::default()).await.unwrap()),
            1 => assert_ne!(tokens.revoke_all(&scope, &Client::default()).await.unwrap(), 0),
            2 => {
                let mut tx = host.sigra.begin().await.unwrap();
                tokens.revoke_all_in(&mut tx, &user.id, &Client::default()).await.unwrap();
                tx.commit().await.unwrap();
                host.sigra.sessions().announce_change(&user.id);
            }
            // As a password reset.
            3 => {
                let session = Some(scope.session().id);
                let mut tx = host.sigra.begin().await.unwrap();
                let revoked = host.sigra.sessions().end_all_access_in(&mut tx, &user.id, session).await.unwrap();
                tx.commit().await.unwrap();
                host.sigra.sessions().announce(revoked);
            }
            4 => drop(host.execute("DELETE FROM api_tokens").await),
            5 => drop(host.execute("UPDATE api_tokens SET permissions = 'projects:write'").await),
            6 => drop(host.execute("UPDATE users SET suspended = true").await),
            _ => drop(host.execute("DELETE FROM users").await),
        }
        match round {
            5 => assert_status(&program.get("/read").await, StatusCode::FORBIDDEN),
            _ => assert_invalid(&program.get("/read").await),
        }
        if round == 6 {
            host.execute("UPDATE users SET suspended = false").await;
            assert_invalid(&program.get("/read").await);
        }
    }
    assert_eq!(count(&host, "api_tokens").await, 0, "they go with the account");
}

#[tokio::test]
async fn invariant_9_a_password_change_in_a_session_keeps_tokens() {
    let host = host().await;
    let (user, browser, created) = with_token(&host).await;
    let kept = sudo(&host, &browser).await.0.session().id;
    let mut tx = host.sigra.begin().await.unwrap();
    let revoked = host.sigra.sessions().end_other_access_in(&mut tx, &user.id, kept).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);
    assert_status(&program(&host, &created).get("/read").await, 200);
}

#[tokio::test]
async fn invariant_17_the_token_of_a_suspended_user_is_revoked_when_it_is_presented() {
    let host = host().await;
    let (user, _, created) = with_token(&host).await;
    host.execute("UPDATE users SET suspended = true").await;
    assert_invalid(&program(&host, &created).get("/bearer").await);
    assert_eq!(count(&host, "api_tokens").await, 0);
    assert_audit_event(&host.sigra, &user, audit::API_TOKEN_REVOKED).await;
}

#[tokio::test]
async fn invariant_2_a_token_revoked_on_one_node_is_refused_by_another() {
    let host = host().await;
    let (user, browser, created) = with_token(&host).await;
    let other = host.restart(|config| config.permissions(both())).await;
    other.sigra.catch_up().await;
    let there = program(&other, &created);
    for _ in 0..3 {
        assert_eq!(there.get("/read").await.text(), user.email);
    }
    let Sudo(scope) = sudo(&host, &browser).await;
    assert!(host.sigra.api_tokens().revoke(&scope, created.token.id, &Client::default()).await.unwrap());
    other.sigra.catch_up().await;
    assert_invalid(&there.get("/read").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_2_under_load_a_revoked_token_is_refused_once_the_call_has_returned() {
    let host = host().await;
    let (_, browser) = host.authenticated_fixture().await;
    host.sigra.catch_up().await;
    let Sudo(scope) = sudo(&host, &browser).await;
    for trial in 0..100 {
        let created = create_in(&host, &browser, &new_token(READ)).await.unwrap();
        let mut readers = JoinSet::new();
        for _ in 0..2 {
            let (sigra, secret) = (host.sigra.clone(), created.secret.clone());
            readers.spawn(async move {
                while sigra.fetch_bearer(secret.as_str(), None).await.unwrap().is_some() {
                    tokio::task::yield_now().await;
                }
            });
        }
        tokio::task::yield_now().await;
        host.sigra.api_tokens().revoke(&scope, created.token.id, &Client::default()).await.unwrap();
        for _ in 0..2 {
            assert!(host.sigra.fetch_bearer(created.secret.as_str(), None).await.unwrap().is_none(), "trial {trial}");
        }
        readers.join_all().await;
    }
}

/// The pool is closed, so a request that queries the database gets a 503.
#[tokio::test]
async fn a_cached_token_and_a_mistyped_one_cost_no_query() {
    let host = host().await;
    let (user, browser, created) = with_token(&host).await;
    host.sigra.catch_up().await;
    let program = program(&host, &created);
    let uncached = create_in(&host, &browser, &new_token(READ)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(program.get("/read").await.text(), user.email);
    }
    host.pool.close().await;
    assert_eq!(program.get("/read").await.text(), user.email, "nothing has changed, so the cache responds");
    let secret = created.secret.as_str();
    let last = secret.len() - 1;
    let other_digit = if secret.ends_with('0') { '1' } else { '0' };
    for bad in [
        format!("{}{other_digit}", &secret[..last]),
        secret[..last].to_owned(),
        format!("{secret}0"),
        secret.replace("my_app", "other"),
        secret.replace("_pat_", "_xyz_"),
        "my_app_pat_".to_owned() + &"A".repeat(36),
        token(&browser).encode().to_string(),
    ] {
        assert_invalid(&TestClient::new(router(&host)).bearer(&bad).get("/read").await);
    }
    let response = self::program(&host, &uncached).get("/read").await;
    assert_status(&response, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn its_use_is_written_at_most_every_five_minutes() {
    let host = host().await;
    let (_, browser, created) = with_token(&host).await;
    let Sudo(scope) = sudo(&host, &browser).await;
    let listed = async || host.sigra.api_tokens().list(&scope).await.unwrap().remove(0);
    assert_eq!((listed().await.last_used_at, listed().await.last_used_ip), (None, None));
    let from = |ip: [u8; 4]| program(&host, &created).peer((ip, 443).into());
    let first = host.clock().now().unix_timestamp();
    for (after, ip, at, kept) in [
        (0, [203, 0, 113, 1], 0, "203.0.113.1"),
        (299, [203, 0, 113, 2], 0, "203.0.113.1"),
        (1, [203, 0, 113, 3], 300, "203.0.113.3"),
    ] {
        host.clock().advance(SECOND * after);
        assert_status(&from(ip).get("/read").await, 200);
        let token = listed().await;
        assert_eq!(token.last_used_at.unwrap().unix_timestamp() - first, at);
        assert_eq!(token.last_used_ip.unwrap().to_string(), kept);
    }
}

/// The original wrote an audit event for each bad token.
#[tokio::test]
async fn bad_tokens_write_nothing() {
    let host = host().await;
    let (_, browser, created) = with_token(&host).await;
    let Sudo(scope) = sudo(&host, &browser).await;
    host.sigra.api_tokens().revoke(&scope, created.token.id, &Client::default()).await.unwrap();
    let expired = create_in(&host, &browser, &new_token(READ)).await.unwrap();
    let events = count(&host, "audit_events").await;
    host.clock().advance(DAY * 31);
    for _ in 0..20 {
        assert_invalid(&program(&host, &created).get("/read").await);
        assert_invalid(&program(&host, &expired).get("/read").await);
        assert_status(&program(&host, &expired).get("/write").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(count(&host, "audit_events").await, events);
    assert_eq!(count(&host, "auth_attempts").await, 0);
    assert_eq!(count(&host, "api_tokens WHERE last_used_at IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_most_the_configured_number_of_tokens_exists_also_if_they_are_created_at_once() {
    let host = Host::with(|config| config.permissions(both()).api_tokens_per_user(5)).await;
    let (user, browser) = host.authenticated_fixture().await;
    let sudo = sudo(&host, &browser).await;
    let mut creations = JoinSet::new();
    for _ in 0..12 {
        let (sigra, sudo) = (host.sigra.clone(), sudo.clone());
        creations.spawn(async move {
            loop {
                match sigra.api_tokens().create(&sudo, &new_token(READ), &Client::default()).await {
                    Err(error) if error.is_temporary() => {}
                    created => return created,
                }
            }
        });
    }
    let created = creations.join_all().await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 5);
    let refused = created.into_iter().filter_map(Result::err);
    assert!(refused.into_iter().all(|error| matches!(error, Error::TooManyApiTokens { max: 5 })));
    assert_eq!(count(&host, "api_tokens").await, 5);
    let tokens = host.sigra.api_tokens();
    assert!(!tokens.can_create(&tokens.list(&sudo.0).await.unwrap()));

    host.clock().advance(DAY * 30);
    let browser = host.log_in(&user).await;
    create_in(&host, &browser, &new_token(READ)).await.expect("expired tokens don't count");
}

#[tokio::test]
async fn all_tokens_are_listed_and_of_the_expired_ones_50_are_kept() {
    let host = Host::with(|config| config.permissions(both()).api_tokens_per_user(300)).await;
    let (user, browser) = host.authenticated_fixture().await;
    for at in 0..60_u64 {
        let expiry = Expiry::After(SECOND * (at as u32 + 1));
        create_in(&host, &browser, &NewApiToken::new(format!("{at}"), Permissions::default(), expiry)).await.unwrap();
    }
    host.clock().advance(MINUTE);
    for _ in 0..250 {
        host.token_client(&user, READ).await;
    }
    create_in(&host, &browser, &new_token(READ)).await.unwrap();
    let sudo = sudo(&host, &browser).await;
    let tokens = host.sigra.api_tokens().list(&sudo.0).await.unwrap();
    let (expired, live): (Vec<_>, Vec<_>) = tokens.iter().partition(|token| token.is_expired(host.sigra.now()));
    assert_eq!((live.len(), expired.len()), (251, 50));
    assert!(expired.iter().all(|token| token.name.parse::<u64>().unwrap() >= 10), "those that expired last are kept");
    assert_eq!(count(&host, "api_tokens").await, 301);
}

#[tokio::test]
async fn a_user_can_have_50_tokens_unless_configured_otherwise() {
    let host = host().await;
    let (_, browser) = host.authenticated_fixture().await;
    for _ in 0..50 {
        create_in(&host, &browser, &new_token(&[])).await.unwrap();
    }
    let error = create_in(&host, &browser, &new_token(&[])).await.unwrap_err();
    assert!(matches!(error, Error::TooManyApiTokens { max: 50 }));
}

#[tokio::test]
async fn a_token_that_cannot_be_right_is_not_created() {
    let host = host().await;
    let (_, browser) = host.authenticated_fixture().await;
    let now = host.clock().now();
    let read = Permissions::of(READ).unwrap();
    let admin = Permissions::of(["admin", "projects:read"]).unwrap();
    for (new, problem) in [
        (NewApiToken::new(" ", read.clone(), Expiry::Never), ApiTokenProblem::Unnamed),
        (NewApiToken::new("a".repeat(61), read.clone(), Expiry::Never), ApiTokenProblem::LongName { max: 60 }),
        (NewApiToken::new("a", read.clone(), Expiry::At(now)), ApiTokenProblem::Expired),
        (NewApiToken::new("a", read.clone(), Expiry::After(Duration::ZERO)), ApiTokenProblem::Expired),
        (NewApiToken::new("a", admin, Expiry::Never), ApiTokenProblem::Unregistered("admin".to_owned())),
    ] {
        match create_in(&host, &browser, &new).await.unwrap_err() {
            Error::ApiToken(found) => assert_eq!(found, problem),
            error => panic!("{error}"),
        }
    }
    assert_eq!(count(&host, "api_tokens").await, 0);
    assert_eq!(count(&host, "audit_events WHERE action = 'auth.api_token.created'").await, 0);
}

#[tokio::test]
async fn a_token_expires_at_its_time_is_listed_for_30_more_days_and_is_then_purged() {
    let host = host().await;
    host.sigra.catch_up().await;
    let (user, browser, created) = with_token(&host).await;
    let Sudo(scope) = sudo(&host, &browser).await;
    let never = NewApiToken::new("Forever", Permissions::default(), Expiry::Never);
    let never = create_in(&host, &browser, &never).await.unwrap();
    let far = NewApiToken::new("Far", Permissions::default(), Expiry::After(Duration::MAX));
    let far = create_in(&host, &browser, &far).await.unwrap();
    assert!(never.token.expires_at.is_none() && far.token.expires_at.is_some());
    host.clock().advance(DAY * 30 - SECOND);
    let program = program(&host, &created);
    for _ in 0..3 {
        assert_eq!(program.get("/read").await.text(), user.email);
    }
    host.clock().advance(SECOND);
    assert_invalid(&program.get("/read").await);
    let names = async || {
        let tokens = host.sigra.api_tokens().list(&scope).await.unwrap();
        tokens.into_iter().map(|token| (token.name.clone(), token.is_expired(host.clock().now()))).collect::<Vec<_>>()
    };
    let (far, never) = (("Far".to_owned(), false), ("Forever".to_owned(), false));
    host.sigra.housekeeping().purge_expired().await.unwrap();
    assert_eq!(names().await, [far.clone(), never.clone(), ("Backup script".to_owned(), true)]);
    host.clock().advance(DAY * 30);
    host.sigra.housekeeping().purge_expired().await.unwrap();
    assert_eq!(names().await, [far, never]);
}

/// In the original, a date that could not be read meant that the token never expires.
#[tokio::test]
async fn invariant_2_an_expiry_that_cannot_be_read_never_means_never() {
    for time in INVALID_TIMES {
        let host = host().await;
        let (_, _, created) = with_token(&host).await;
        let update = format!("UPDATE api_tokens SET expires_at = {time}");
        sqlx::raw_sql(AssertSqlSafe(update)).execute(&host.pool).await.unwrap();
        host.sigra.catch_up().await;
        let response = program(&host, &created).get("/read").await;
        assert_ne!(response.status(), StatusCode::OK, "{time}");
        assert!(response.status() == 401 || response.status() == 500, "{time}: {response:?}");
    }
}

#[tokio::test]
async fn invariant_21_nobody_sees_or_revokes_the_token_of_another_user() {
    let host = host().await;
    let (user, browser, created) = with_token(&host).await;
    let (_, thief) = host.authenticated_fixture().await;
    let Sudo(scope) = sudo(&host, &thief).await;
    let tokens = host.sigra.api_tokens();
    assert!(tokens.list(&scope).await.unwrap().is_empty());
    for id in [created.token.id, Uuid::nil()] {
        assert!(!tokens.revoke(&scope, id, &Client::default()).await.unwrap());
    }
    assert_eq!(tokens.revoke_all(&scope, &Client::default()).await.unwrap(), 0);
    assert_eq!(program(&host, &created).get("/read").await.text(), user.email);
    let Sudo(own) = sudo(&host, &browser).await;
    assert_eq!(tokens.list(&own).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_permission_that_is_no_longer_registered_allows_nothing() {
    let host = host().await;
    let (_, browser) = host.authenticated_fixture().await;
    let all = new_token(&["projects:read", "projects:write"]);
    let created = create_in(&host, &browser, &all).await.unwrap();
    assert_status(&program(&host, &created).get("/both").await, 200);
    let only_read = PermissionList::new().with::<ReadProjects>();
    let restarted = host.restart(|config| config.permissions(only_read)).await;
    let program = program(&restarted, &created);
    assert_eq!(program.get("/permissions").await.text(), "projects:read");
    assert_status(&program.get("/read").await, 200);
    assert_status(&program.get("/write").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn invariant_12_a_token_from_before_a_second_factor_was_required_is_refused() {
    let host = host().await;
    let (user, _, created) = with_token(&host).await;
    let program = program(&host, &created);
    assert_eq!(program.get("/read").await.text(), user.email);
    host.execute("UPDATE users SET admin = true").await;
    assert_invalid(&program.get("/read").await);
    host.execute("UPDATE users SET admin = false").await;
    assert_eq!(program.get("/read").await.text(), user.email);

    let (admin, browser) = host.mfa_complete_fixture().await;
    host.execute("UPDATE users SET admin = true").await;
    let created = create_in(&host, &browser, &new_token(READ)).await.unwrap();
    assert_eq!(self::program(&host, &created).get("/read").await.text(), admin.email);
}

#[tokio::test]
async fn invariant_9_a_request_from_before_a_password_reset_creates_no_token_after_it() {
    let host = host().await;
    let (user, browser) = host.authenticated_fixture().await;
    let sudo = sudo(&host, &browser).await;
    let mut tx = host.sigra.begin().await.unwrap();
    let revoked = host.sigra.sessions().end_all_access_in(&mut tx, &user.id, None).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);
    let error = host.sigra.api_tokens().create(&sudo, &new_token(READ), &Client::default()).await.unwrap_err();
    assert!(matches!(error, Error::SessionEnded));
    assert_eq!(count(&host, "api_tokens").await, 0);
}

#[tokio::test]
async fn a_token_is_not_created_if_its_email_cannot_be_sent() {
    let host = host().await;
    let (_, browser) = host.authenticated_fixture().await;
    let fails = async |_: &mut sigra::Transaction<User>, _: &ApiToken| Err(Error::Encryption);
    let sudo = sudo(&host, &browser).await;
    let created = host.sigra.api_tokens().create_with(&sudo, &new_token(READ), &Client::default(), fails).await;
    assert!(matches!(created, Err(Error::Encryption)));
    assert_eq!(count(&host, "api_tokens").await, 0);
    assert_eq!(count(&host, "audit_events WHERE action = 'auth.api_token.created'").await, 0);
}

#[tokio::test]
async fn creating_and_revoking_are_in_the_audit_trail_with_the_client() {
    let host = host().await;
    let (user, browser, _) = with_token(&host).await;
    let client = Client::new([203, 0, 113, 7], "a browser");
    let sudo = sudo(&host, &browser).await;
    let created = host.sigra.api_tokens().create(&sudo, &new_token(READ), &client).await.unwrap();
    host.sigra.api_tokens().revoke(&sudo.0, created.token.id, &client).await.unwrap();
    let events = host.sigra.audit().list(&user.id, None, 2).await.unwrap();
    let [revoked, made] = &events[..] else { panic!("{events:?}") };
    assert_eq!((revoked.action.as_str(), made.action.as_str()), (audit::API_TOKEN_REVOKED, audit::API_TOKEN_CREATED));
    let id = created.token.id.to_string();
    let metadata = serde_json::json!({ "token": id, "name": "Backup script", "permissions": "projects:read" });
    assert_eq!((&made.metadata, &made.client, made.actor), (&metadata, &client, Some(user.id)));
    assert_eq!(revoked.metadata, serde_json::json!({ "token": id, "name": "Backup script" }));
}

#[tokio::test]
async fn invariant_1_neither_the_database_nor_debug_output_has_the_token() {
    let host = host().await;
    let (_, _, created) = with_token(&host).await;
    let program = program(&host, &created);
    assert_status(&program.get("/read").await, 200);
    let secret = created.secret.as_str();
    let random = &secret["my_app_pat_".len()..secret.len() - 4];
    for file in host.database_files().await {
        assert!(!file.windows(random.len()).any(|bytes| bytes == random.as_bytes()));
    }
    let bearer = host.sigra.fetch_bearer(secret, None).await.unwrap().unwrap();
    assert_eq!(bearer.token(), &BearerToken::Personal { id: created.token.id, name: "Backup script".to_owned() });
    for debug in [format!("{created:?}"), format!("{bearer:?}"), format!("{program:?}")] {
        assert!(!debug.contains(random), "{debug}");
    }
}

/// Headers that a browser sends from a page of another origin.
const FOREIGN: [(&str, &str); 2] = [("sec-fetch-site", "cross-site"), ("origin", "https://spa.example")];

#[tokio::test]
async fn invariant_8_a_token_from_another_origin_opens_bearer_routes_and_no_session() {
    let host = host().await;
    let (user, _, created) = with_token(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let bearer = format!("Bearer {}", created.secret.as_str());
    for router in routers(&host) {
        let page = at(router, &browser);
        let before = page.cookies();
        let with_token = [FOREIGN[0], FOREIGN[1], ("authorization", bearer.as_str())];
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            for path in ["/bearer", "/read"] {
                assert_eq!(send(&page, method.clone(), path, &with_token).await.text(), user.email, "{method} {path}");
            }
            let response = send(&page, method.clone(), "/caller", &with_token).await;
            assert_eq!(response.text(), format!("bearer {} false", user.email), "{method}");
            for path in ["/scope", "/option", "/sudo", "/put", "/tokens"] {
                if path == "/tokens" && method != Method::POST {
                    continue;
                }
                let response = send(&page, method.clone(), path, &with_token).await;
                assert_status(&response, StatusCode::FORBIDDEN);
                assert_sets_no_cookie(&response);
            }
            // The cookie alone, and a cookie beside another scheme.
            for headers in [&FOREIGN[..], &[FOREIGN[0], FOREIGN[1], ("authorization", "Basic YTpi")]] {
                for path in ["/scope", "/caller", "/put"] {
                    assert_status(&send(&page, method.clone(), path, headers).await, StatusCode::FORBIDDEN);
                }
            }
        }
        assert_eq!(page.cookies(), before);
    }
}

/// A token needs no `Origin`, no cookie and no anti-forgery token.
#[tokio::test]
async fn a_program_needs_no_headers_of_a_browser() {
    let host = host().await;
    let (user, _, created) = with_token(&host).await;
    for router in routers(&host) {
        let program = TestClient::new(router).bearer(created.secret.as_str());
        let response = program.post("/read", &[]).await;
        assert_eq!(response.text(), user.email);
    }
}

/// As `tower_http::cors` does for one origin.
async fn cors(request: AxumRequest, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS;
    let response = if is_preflight { StatusCode::OK.into_response() } else { next.run(request).await };
    let headers = [
        ("access-control-allow-origin", "https://spa.example"),
        ("access-control-allow-headers", "authorization"),
        ("access-control-allow-methods", "GET, POST"),
    ];
    (headers, response).into_response()
}

#[tokio::test]
async fn a_cors_layer_around_the_routes_answers_preflights_and_marks_refusals() {
    let host = host().await;
    let (_, _, created) = with_token(&host).await;
    for router in routers(&host) {
        let page = TestClient::new(router.layer(from_fn(cors)));
        let preflight = [FOREIGN[0], FOREIGN[1], ("access-control-request-method", "POST")];
        let response = send(&page, Method::OPTIONS, "/read", &preflight).await;
        assert_status(&response, 200);
        assert_eq!(response.header("access-control-allow-headers"), Some("authorization"));
        let bearer = format!("Bearer {}", created.secret.as_str());
        for (authorization, status) in [(bearer.as_str(), 200), ("Bearer my_app_pat_wrong", 401)] {
            let headers = [FOREIGN[0], FOREIGN[1], ("authorization", authorization)];
            let response = send(&page, Method::POST, "/read", &headers).await;
            assert_status(&response, status);
            assert_eq!(response.header("access-control-allow-origin"), Some("https://spa.example"));
            assert_eq!(response.header("access-control-allow-credentials"), None);
        }
    }
}

#[tokio::test]
async fn a_bearer_argument_without_the_layer_is_an_error_that_the_log_explains() {
    let host = host().await;
    let client = TestClient::new(routes(&host));
    for path in ["/bearer", "/caller", "/maybe-caller"] {
        assert_status(&client.get(path).await, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn the_fixture_is_a_program_with_a_token_and_without_a_session() {
    let host = host().await;
    let user = host.registered_fixture().await;
    let program = host.token_client(&user, READ).await;
    assert_eq!(who(&program).await, "anonymous");
    assert!(program.cookies().is_empty());
    assert_eq!(count(&host, "api_tokens").await, 1);
}
