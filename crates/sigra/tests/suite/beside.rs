//! The layer around routes of an existing application: it protects handlers with extractors, and changes no others.

use axum::{
    Json, Router,
    body::Body,
    extract::FromRequestParts,
    http::request::Parts,
    middleware::{Next, from_extractor, from_fn},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{Method, Request, StatusCode, header};
use sigra::{
    CookieSession, LoginMethod, RememberMe, Scope, Sudo,
    mfa::{MfaChallenge, MfaEnrollment},
    scope::SameOrigin,
    testing::{TestClient, TestHost, TestResponse, assert_problem, assert_redirected_to, assert_status},
};

use super::host::{DAY, Host, KEY, MINUTE, User, assert_sets_no_cookie, token};

/// An extractor of the host, as in the guide.
struct Admin(Scope<User>);

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let scope = <Scope<User> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        scope.map(Self).map_err(IntoResponse::into_response)
    }
}

/// An extractor that reads the request's extensions itself.
struct Found(Option<CookieSession>);

impl<S: Send + Sync> FromRequestParts<S> for Found {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Ok(Self(parts.extensions.get::<CookieSession>().cloned()))
    }
}

/// A public API for any origin, beside handlers with extractors.
fn own_routes(host: &Host) -> Router {
    let (sigra, planted) = (host.sigra.clone(), host.sigra.clone());
    let guarded = Router::new().route("/guarded", any(async || "guarded")).route_layer(from_extractor::<SameOrigin>());
    let by_middleware = Router::new().route("/by-middleware", any(async || "changed")).route_layer(from_fn(
        async |_: Scope<User>, request: axum::extract::Request, next: Next| next.run(request).await,
    ));
    Router::new()
        .route("/plain", any(async || ([("vary", "accept-encoding"), ("x-own", "yes")], "plain")))
        .route("/only-get", get(async || "page"))
        .route("/scope", any(async |scope: Scope<User>| scope.user().email.clone()))
        .route("/option", any(async |scope: Option<Scope<User>>| email(scope)))
        .route("/sudo", any(async |Sudo(scope): Sudo<User>| scope.user().email.clone()))
        .route("/admin", any(async |Admin(scope): Admin| scope.user().email.clone()))
        .route("/result", any(async |scope: Result<Scope<User>, sigra::scope::ScopeRejection>| email(scope.ok())))
        .route("/enrollment", any(async |enrollment: MfaEnrollment<User>| enrollment.scope().user().email.clone()))
        .route("/pending", any(async |pending: Option<MfaChallenge<User>>| pending.is_some().to_string()))
        .route("/found", any(async |Found(session): Found| session.is_some().to_string()))
        .route("/put", any(async |session: CookieSession| session.put("cart", &1).map(|()| "put")))
        .route("/log-out", any(async move |session: CookieSession| sigra.log_out(&session).await.map(|()| "out")))
        .route(
            "/plant",
            post(async move |session: CookieSession, Json(email): Json<String>| {
                let user: User = sqlx::query_as("SELECT * FROM users WHERE email = $1")
                    .bind(email)
                    .fetch_one(planted.pool())
                    .await?;
                planted.log_in(&session, &user, LoginMethod::Password, RememberMe::Yes).await.map(|_| "planted")
            }),
        )
        .merge(guarded)
        .merge(by_middleware)
}

fn email(scope: Option<Scope<User>>) -> String {
    scope.map_or_else(|| "nobody".to_owned(), |scope| scope.user().email.clone())
}

fn beside(host: &Host) -> Router {
    own_routes(host).layer(host.sigra.fetch_current_scope().on_demand())
}

/// A browser with the cookies of another, at the host's own routes.
fn at_own_routes(host: &Host, browser: &TestClient) -> TestClient {
    let client = TestClient::new(beside(host));
    for (name, value) in browser.cookies() {
        client.set_cookie(&name, &value);
    }
    client
}

/// Headers that browsers send from pages of other origins.
const FOREIGN: [&[(&str, &str)]; 5] = [
    &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:5173")],
    &[("sec-fetch-site", "cross-site"), ("origin", "null")],
    &[("sec-fetch-site", ""), ("origin", "https://evil.example")],
    &[("sec-fetch-site", ""), ("origin", ""), ("referer", "https://evil.example/form")],
];

async fn send(browser: &TestClient, method: &Method, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    send_with(browser, method, path, headers, Body::empty()).await
}

async fn send_with(
    browser: &TestClient,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> TestResponse {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.send(request.body(body).unwrap()).await
}

const UNSAFE: [Method; 5] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE];

#[tokio::test]
async fn invariant_8_other_origins_cannot_act_as_a_user_at_the_hosts_own_routes() {
    let host = Host::new().await;
    let (user, logged_in) = host.logged_in(true).await;
    let browser = at_own_routes(&host, &logged_in);
    let before = browser.cookies();
    for headers in FOREIGN {
        for method in UNSAFE {
            for path in [
                "/scope",
                "/option",
                "/sudo",
                "/admin",
                "/enrollment",
                "/pending",
                "/put",
                "/log-out",
                "/guarded",
                "/by-middleware",
            ] {
                for accept in ["text/html", "application/json"] {
                    let headers = &[headers, &[("accept", accept)]].concat();
                    let response = send(&browser, &method, path, headers).await;
                    assert_problem(&response, 403);
                    assert_eq!(response.text(), "Forbidden", "{method} {path}");
                    assert_sets_no_cookie(&response);
                }
            }
            assert_eq!(send(&browser, &method, "/result", headers).await.text(), "nobody", "{method}");
            assert_eq!(send(&browser, &method, "/found", headers).await.text(), "false", "{method}");
        }
    }
    assert_eq!((browser.cookies(), host.rows().await), (before, 1));
    assert_eq!(browser.get("/scope").await.text(), user.email);
}

/// Login CSRF: the attacker logs the victim in to the attacker's account, which needs no cookie.
#[tokio::test]
async fn invariant_8_other_origins_cannot_log_a_visitor_in() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let visitor = TestClient::new(beside(&host));
    let json = || Body::from(format!("\"{}\"", user.email));
    for headers in FOREIGN {
        let headers = &[headers, &[("content-type", "application/json")]].concat();
        let response = send_with(&visitor, &Method::POST, "/plant", headers, json()).await;
        assert_problem(&response, 403);
        for path in ["/put", "/log-out", "/scope", "/guarded"] {
            assert_problem(&send(&visitor, &Method::POST, path, headers).await, 403);
        }
    }
    assert!(visitor.cookies().is_empty() && host.rows().await == 0);
    let own = [("content-type", "application/json"), ("origin", "https://localhost")];
    assert_status(&send_with(&visitor, &Method::POST, "/plant", &own, json()).await, 200);
    assert_eq!(visitor.get("/scope").await.text(), user.email);
}

/// The pool is closed, so a request that queries the database gets a 503.
#[tokio::test]
async fn invariant_8_a_forged_request_to_the_hosts_own_routes_does_not_query_the_database() {
    let host = Host::new().await;
    let (_, logged_in) = host.logged_in(true).await;
    let browser = at_own_routes(&host, &logged_in);
    host.pool.close().await;
    for headers in FOREIGN {
        for path in ["/scope", "/option", "/sudo", "/put", "/guarded"] {
            assert_status(&send(&browser, &Method::POST, path, headers).await, StatusCode::FORBIDDEN);
        }
    }
    let asked = browser.post("/scope", &[]).await;
    assert_problem(&asked, 503);
    assert_eq!((asked.header("retry-after"), asked.header("vary")), (Some("1"), Some("cookie")));
    assert_sets_no_cookie(&asked);
    assert_problem(&browser.post("/put", &[]).await, 503);
    assert_problem(&browser.get("/option").await, 503);
    assert_status(&browser.get("/plain").await, 200);
}

/// The strict layer of the accounts can be inside the other one.
#[tokio::test]
async fn invariant_8_the_strict_layer_works_inside_the_layer_that_acts_only_where_asked() {
    let host = Host::new().await;
    let (user, logged_in) = host.logged_in(true).await;
    let nested = host.router().layer(host.sigra.fetch_current_scope().on_demand());
    let client = TestClient::new(nested);
    for (name, value) in logged_in.cookies() {
        client.set_cookie(&name, &value);
    }
    for headers in FOREIGN {
        assert_problem(&send(&client, &Method::POST, "/log-out", headers).await, 403);
        assert_problem(&send(&client, &Method::POST, "/nowhere", headers).await, 403);
    }
    assert_eq!(client.get("/maybe").await.text(), user.email);
    assert_status(&client.post("/log-out", &[]).await, StatusCode::SEE_OTHER);
    assert_eq!(client.get("/maybe").await.text(), "anonymous");
}

/// A request without cookies could have been sent by any program, so it is safe to serve.
#[tokio::test]
async fn a_foreign_request_without_cookies_reaches_public_handlers() {
    let host = Host::new().await;
    let visitor = TestClient::new(beside(&host));
    for headers in FOREIGN {
        let response = send(&visitor, &Method::POST, "/option", headers).await;
        assert_eq!((response.text().as_str(), response.header("vary")), ("nobody", Some("cookie")));
        assert_eq!(send(&visitor, &Method::POST, "/pending", headers).await.text(), "false");
    }
    // It is refused before its cookie is verified.
    visitor.set_cookie(KEY, "forged");
    assert_problem(&send(&visitor, &Method::POST, "/option", FOREIGN[0]).await, 403);
}

#[tokio::test]
async fn a_trusted_origin_can_use_the_session() {
    let host = Host::with(|config| config.trusted_origins(["http://localhost:5173"])).await;
    let (user, logged_in) = host.logged_in(false).await;
    let browser = at_own_routes(&host, &logged_in);
    for path in ["/scope", "/option", "/sudo", "/admin", "/result", "/enrollment"] {
        assert_eq!(send(&browser, &Method::POST, path, FOREIGN[1]).await.text(), user.email, "{path}");
    }
    assert_eq!(send(&browser, &Method::POST, "/guarded", FOREIGN[1]).await.text(), "guarded");
    assert_problem(&send(&browser, &Method::POST, "/scope", FOREIGN[0]).await, 403);
}

/// Status, headers and body.
fn comparable(response: &TestResponse) -> (StatusCode, http::HeaderMap, String) {
    (response.status(), response.headers().clone(), response.text())
}

#[tokio::test]
async fn routes_without_extractors_respond_as_they_did_without_the_layer() {
    let host = Host::new().await;
    let (_, logged_in) = host.logged_in(true).await;
    host.clock().advance(DAY * 8);
    let before = TestClient::new(own_routes(&host));
    let methods = [Method::GET, Method::HEAD, Method::OPTIONS, Method::CONNECT, Method::from_bytes(b"BREW").unwrap()];
    for browser in [TestClient::new(beside(&host)), at_own_routes(&host, &logged_in)] {
        for headers in FOREIGN.into_iter().chain([&[][..]]) {
            for method in methods.iter().chain(&UNSAFE) {
                for path in ["/plain", "/only-get", "/missing"] {
                    let (was, is) = (send(&before, method, path, headers), send(&browser, method, path, headers));
                    assert_eq!(comparable(&is.await), comparable(&was.await), "{method} {path} {headers:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn responses_of_routes_with_extractors_are_not_cached_for_others() {
    let host = Host::new().await;
    let (_, logged_in) = host.logged_in(true).await;
    let (browser, visitor) = (at_own_routes(&host, &logged_in), TestClient::new(beside(&host)));
    for path in ["/scope", "/option", "/put", "/by-middleware"] {
        let page = browser.get(path).await;
        assert_eq!((page.header("cache-control"), page.header("vary")), (Some("no-store"), Some("cookie")), "{path}");
    }
    for (path, cache_control) in [("/option", None), ("/scope", Some("no-store")), ("/put", Some("no-store"))] {
        let page = visitor.fork().get(path).await;
        assert_eq!((page.header("cache-control"), page.header("vary")), (cache_control, Some("cookie")), "{path}");
    }
}

/// Sends the same requests through the strict layer, and through the one that acts only where asked.
#[tokio::test]
async fn the_layer_that_acts_only_where_asked_finds_the_same_scope_as_the_strict_one() {
    let host = Host::new().await;
    let (user, logged_in) = host.logged_in(true).await;
    let always = TestClient::new(own_routes(&host).layer(host.sigra.fetch_current_scope()));
    let asked = TestClient::new(beside(&host));
    for client in [&always, &asked] {
        assert_redirected_to(&client.get("/scope").await, "/users/log-in");
        let is_kept = |entry: &str| {
            let beginning = format!("{KEY}.{entry}");
            client.cookies().iter().any(|(name, _)| name.starts_with(&beginning))
        };
        assert!(is_kept("return_to") && is_kept("flash-"));
        for (name, value) in logged_in.cookies() {
            client.set_cookie(&name, &value);
        }
        assert_eq!(client.get("/scope").await.text(), user.email);
    }
    host.clock().advance(MINUTE * 20);
    for client in [&always, &asked] {
        assert_redirected_to(&client.get("/sudo").await, "/users/sudo");
        assert_eq!(client.get("/option").await.text(), user.email);
    }
    host.clock().advance(DAY * 8);
    for client in [&always.fork(), &asked.fork()] {
        host.clock().advance(MINUTE * 2);
        let old = token(client);
        assert_eq!(client.get("/option").await.text(), user.email);
        assert_ne!(token(client).hash(), old.hash(), "the token is reissued");
    }
    assert_status(&asked.post("/log-out", &[]).await, 200);
    for client in [&always, &asked] {
        assert_eq!(client.get("/option").await.text(), "nobody");
    }
}

#[tokio::test]
async fn the_same_origin_extractor_requires_the_layer() {
    let host = Host::new().await;
    let client = TestClient::new(own_routes(&host));
    assert_status(&client.get("/guarded").await, 500);
    let always = TestClient::new(own_routes(&host).layer(host.sigra.fetch_current_scope()));
    assert_eq!(always.get("/guarded").await.text(), "guarded");
    let asked = TestClient::new(beside(&host));
    let page = asked.get("/guarded").await;
    assert_eq!((page.text().as_str(), page.header(header::VARY.as_str())), ("guarded", None));
}
