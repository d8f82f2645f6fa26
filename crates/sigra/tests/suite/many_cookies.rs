//! Thousands of cookies, and several of one name: set for different domains, or planted by a neighboring subdomain.

use std::sync::{Arc, RwLock};

use axum::{Router, body::Body, http::Request};
use sigra::{
    Config, telemetry,
    testing::{TestClient, TestHost, assert_status},
};
use tower::ServiceExt;

use super::host::{
    self, DAY, Host, KEY, MINUTE, REMEMBER_ME, SECOND, assert_sets_no_cookie, login_form, token, who, who_sends,
};

/// More cookies than browsers send: hyper accepts about 470 KB of headers.
const FLOOD: usize = 25_000;

fn flood(own: &TestClient) -> String {
    let planted = (0..FLOOD).map(|number| format!("{KEY}.{number:x}=x"));
    let own = own.cookies().into_iter().map(|(name, value)| format!("{name}={value}"));
    planted.chain(own).collect::<Vec<_>>().join(";")
}

async fn post(browser: &TestClient, path: &str, cookie: &str, form: &[(&str, &str)]) -> sigra::testing::TestResponse {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(path)
        .header("cookie", cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body));
    browser.send_without_storing(request.unwrap()).await
}

#[tokio::test]
async fn invariant_6_a_flood_of_cookies_hides_no_valid_cookie_and_few_are_set() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
    let flood = flood(&browser);
    assert!(flood.len() > 400_000);

    assert_eq!(who_sends(&browser, &flood).await.text(), user.email);
    let request = Request::get("/get?name=cart").header("cookie", &flood).body(Body::empty()).unwrap();
    assert_eq!(browser.send_without_storing(request).await.text(), "mine");

    for path in ["/log-in", "/renew", "/log-out"] {
        let response = post(&browser, path, &self::flood(&browser), &login_form(&user, true)).await;
        assert!(!response.status().is_client_error() && !response.status().is_server_error(), "{response:?}");
        let set: usize = response.headers().get_all("set-cookie").iter().map(|cookie| cookie.len()).sum();
        assert!(response.set_cookies().len() <= 36 && set < 8 * 1024, "{path}: {set} bytes");
        browser.store(&response);
    }
    assert_eq!(host.rows().await, 0, "the logout ended the session");
}

/// A value longer than any browser stores is not even hashed.
#[tokio::test]
async fn invariant_6_oversized_cookies_and_thousands_of_one_name_are_anonymous() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    let key = browser.cookie(KEY).unwrap();
    for cookie in [
        format!("{KEY}={key}{}", "A".repeat(400_000)),
        format!("{KEY}=x;").repeat(FLOOD),
        format!("{REMEMBER_ME}=x;").repeat(FLOOD),
        format!("{KEY}.flash-01890000000070008000000000000000=x;").repeat(FLOOD),
    ] {
        let response = who_sends(&host.client(), &cookie).await;
        assert_eq!(response.text(), "anonymous");
        assert_sets_no_cookie(&response);
    }
}

#[tokio::test]
async fn invariant_6_every_signed_cookie_of_one_name_is_tried() {
    let host = Host::new().await;
    let (user, dead) = host.logged_in(true).await;
    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    let browser = host.client();
    host.post_log_in(&browser, &user, true).await;
    for name in [KEY, REMEMBER_ME] {
        let (good, dead) = (browser.cookie(name).unwrap(), dead.cookie(name).unwrap());
        for cookie in [
            format!("{name}={dead}; {name}={good}"),
            format!("{name}={good}; {name}={dead}"),
            format!("{name}=forged; {name}={good}"),
            format!("{name}={good}; {name}=forged"),
            format!("{name}; {name}={good}; {name}={good}"),
            format!("{name}=; {name}={dead}; {name}={}; {name}={good}", &good[1..]),
        ] {
            assert_eq!(who_sends(&host.client(), &cookie).await.text(), user.email, "{cookie}");
        }
    }
    // The entry is valid in the cookie session of the valid session cookie.
    browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
    let entry = format!("{KEY}.cart=forged; {KEY}.cart={}", browser.cookie("_my_app_key.cart").unwrap());
    let cookie = format!("{KEY}={}; {KEY}={}; {entry}", dead.cookie(KEY).unwrap(), browser.cookie(KEY).unwrap());
    let request = Request::get("/get?name=cart").header("cookie", cookie).body(Body::empty()).unwrap();
    assert_eq!(host.client().send(request).await.text(), "mine");
}

/// An attacker who can set cookies, as on a neighboring subdomain, can't log the user in to the attacker's account.
#[tokio::test]
async fn invariant_6_valid_cookies_of_two_users_make_the_request_anonymous() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let (_, tosser) = host.logged_in(true).await;
    for name in [KEY, REMEMBER_ME] {
        let (own, planted) = (browser.cookie(name).unwrap(), tosser.cookie(name).unwrap());
        for (one, two) in [(&own, &planted), (&planted, &own)] {
            let response = who_sends(&host.client(), format!("{name}={one}; {name}={two}")).await;
            assert_eq!(response.text(), "anonymous");
            assert_sets_no_cookie(&response);
            let mut request = host::get_request("/maybe");
            for value in [one, two] {
                request.headers_mut().append("cookie", format!("a=b; {name}={value}").parse().unwrap());
            }
            assert_eq!(host.client().send(request).await.text(), "anonymous");
        }
    }
    assert_eq!((host.rows().await, who(&browser).await), (2, user.email));
}

#[tokio::test]
async fn invariant_6_a_logout_ends_every_session_whose_token_was_sent() {
    for planted_first in [true, false] {
        let host = Host::new().await;
        let (_, browser) = host.logged_in(false).await;
        let (_, other) = host.logged_in(true).await;
        let (_, third) = host.logged_in(true).await;
        let key = |browser: &TestClient| format!("{KEY}={}", browser.cookie(KEY).unwrap());
        let (one, two) = if planted_first { (&other, &browser) } else { (&browser, &other) };
        let remembered = third.cookie(REMEMBER_ME).unwrap();
        let cookie = format!("{KEY}=forged; {}; {}; {REMEMBER_ME}={remembered}", key(one), key(two));
        assert_status(&post(&host.client(), "/log-out", &cookie, &[]).await, 303);
        assert_eq!(host.rows().await, 0);
    }
}

/// The application that a browser uses. It can be restarted with other settings.
#[derive(Clone, Default)]
struct Deployed(Arc<RwLock<Router>>);

impl Deployed {
    fn browser(&self) -> TestClient {
        let deployed = self.0.clone();
        let router = Router::new().fallback_service(tower::service_fn(move |request| {
            let router = deployed.read().unwrap().clone();
            async move { router.oneshot(request).await }
        }));
        TestClient::new(router).origin("https://app.example.com")
    }

    async fn deploy(&self, host: &Host, domain: Option<&'static str>) {
        let clock = host.clock().clone();
        let configure = move |config: Config| {
            let config = config.clock(clock).trusted_origins(["https://app.example.com"]);
            config.cookie_domain(domain.map(str::to_owned))
        };
        *self.0.write().unwrap() = host.restart(configure).await.router();
    }
}

fn cookies_named(response: &sigra::testing::TestResponse, name: &str) -> Vec<String> {
    let cookies = response.set_cookies();
    cookies.iter().filter(|cookie| cookie.name() == name).map(|cookie| format!("{:?}", cookie.domain())).collect()
}

/// The browser sends both cookies, in any order, until the old one expires.
#[tokio::test]
async fn invariant_6_a_changed_cookie_domain_locks_no_user_out() {
    let domains = [None, Some("example.com"), Some("app.example.com")];
    for (old, new) in domains.into_iter().flat_map(|old| domains.map(|new| (old, new))).filter(|(old, new)| old != new)
    {
        for revoked in [false, true] {
            let (host, deployed) = (Host::new().await, Deployed::default());
            let (user, browser) = (host.registered_fixture().await, deployed.browser());
            deployed.deploy(&host, old).await;
            browser.post("/log-in", &login_form(&user, true)).await;
            browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
            deployed.deploy(&host, new).await;
            assert_eq!(who(&browser).await, user.email, "{old:?} -> {new:?}");
            if revoked {
                host.sigra().delete_all_sessions(&user.id).await.unwrap();
            }

            let form = login_form(&user, true);
            let response = browser.post("/log-in", &form).await;
            assert_eq!(
                cookies_named(&response, KEY).last(),
                Some(&format!("{new:?}")),
                "the cookie of the new domain is set last"
            );
            assert_eq!(browser.cookies().iter().filter(|(name, _)| name == KEY).count(), 1, "{old:?} -> {new:?}");
            assert_eq!(browser.cookies().iter().filter(|(name, _)| name == REMEMBER_ME).count(), 1);
            assert_eq!(who(&browser).await, user.email, "{old:?} -> {new:?}");
            assert_eq!(browser.get("/get?name=cart").await.text(), "nothing");
            browser.close_and_reopen();
            assert_eq!(who(&browser).await, user.email, "{old:?} -> {new:?}");
            assert_eq!(host.rows().await, 1);

            assert_status(&browser.post("/log-out", &[]).await, 303);
            assert_eq!(browser.cookie(KEY).or(browser.cookie(REMEMBER_ME)), None, "{old:?} -> {new:?}");
            assert_eq!((who(&browser).await, host.rows().await), ("anonymous".to_owned(), 0));
        }
    }
}

/// Otherwise the message would be shown on every page.
#[tokio::test]
async fn a_flash_message_set_for_another_domain_is_shown_once() {
    let (host, deployed) = (Host::new().await, Deployed::default());
    let (user, browser) = (host.registered_fixture().await, deployed.browser());
    deployed.deploy(&host, Some("app.example.com")).await;
    browser.post("/log-in", &login_form(&user, true)).await;
    deployed.deploy(&host, Some("example.com")).await;
    assert_eq!(browser.get("/flash").await.text(), "info: Welcome back!\n");
    assert_eq!(browser.get("/flash").await.text(), "");
}

#[tokio::test]
async fn a_host_prefixed_cookie_is_expired_only_without_a_domain() {
    let host = Host::with(|config| config.secure_cookies(true).trusted_origins(["https://app.example.com"])).await;
    let (_, browser) = host.logged_in(true).await;
    let response = browser.post("/log-out", &[]).await;
    assert_eq!(cookies_named(&response, "__Host-_my_app_key"), ["None"]);
}

/// A thief with a copy of the cookies gets the reissued token, each time that it is due.
async fn token_reissued_to_a_thief(times: usize) -> (Host, host::User, TestClient, TestClient) {
    let host = Host::new().await;
    let (user, owner) = host.logged_in(true).await;
    let thief = owner.fork();
    for _ in 0..times {
        host.clock().advance(DAY * 7);
        assert_eq!((who(&thief).await, who(&thief).await), (user.email.clone(), user.email.clone()));
    }
    host.clock().advance(MINUTE + SECOND);
    let before = owner.cookies();
    assert_eq!(who(&owner).await, "anonymous", "the thief has the valid token");
    assert_eq!(owner.cookies(), before, "the next login must send the old token");
    assert_eq!(who(&thief).await, user.email, "an old token alone does not end a session");
    (host, user, owner, thief)
}

async fn reuses(host: &Host, user: &host::User) -> Vec<sigra::audit::AuditEvent<uuid::Uuid>> {
    let mut events = host.sigra().audit().list(&user.id, None, 50).await.unwrap();
    events.retain(|event| event.action == telemetry::TOKEN_REUSED);
    events
}

#[tokio::test]
async fn invariant_2_logout_or_login_with_a_replaced_token_ends_the_stolen_session() {
    for times in [1, 2, 8] {
        for (path, rows) in [("/log-out", 0), ("/log-in", 1)] {
            let (host, user, owner, thief) = token_reissued_to_a_thief(times).await;
            assert_status(&owner.post(path, &login_form(&user, true)).await, 303);
            let left = (who(&thief).await, host.rows().await);
            assert_eq!(left, ("anonymous".to_owned(), rows), "{path} after {times}");
            let reuses = reuses(&host, &user).await;
            assert_eq!(reuses.len(), 1, "{path} after {times}");
            assert_eq!((reuses[0].actor, reuses[0].client.ip.is_some()), (None, true), "the actor is unknown");
        }
        let (host, _, owner, thief) = token_reissued_to_a_thief(times).await;
        host.sigra().delete_session(&token(&owner)).await.unwrap();
        assert_eq!(who(&thief).await, "anonymous");
    }
}

/// The thief knows the password too, or makes the application renew the session.
#[tokio::test]
async fn invariant_2_token_reuse_is_detected_after_renewals() {
    let (host, user, owner, thief) = token_reissued_to_a_thief(1).await;
    for _ in 0..20 {
        assert_status(&thief.post("/renew", &[]).await, 204);
    }
    host.clock().advance(MINUTE + SECOND);
    assert_status(&owner.post("/log-in", &login_form(&user, true)).await, 303);
    assert_eq!((who(&thief).await, host.rows().await), ("anonymous".to_owned(), 1));
    assert_eq!(reuses(&host, &user).await.len(), 1);
}

/// Requests within the grace time, and with a token that a login replaced, do not indicate theft.
#[tokio::test]
async fn an_ordinary_logout_is_not_token_reuse() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let tab = browser.fork();
    host.clock().advance(DAY * 7);
    assert_eq!((who(&browser).await, who(&browser).await), (user.email.clone(), user.email.clone()));
    assert_status(&tab.post("/log-out", &[]).await, 303);
    assert_eq!((who(&browser).await, host.rows().await), ("anonymous".to_owned(), 0));

    let late = host.log_in(&user).await;
    let browser = late.fork();
    host.post_log_in(&browser, &user, true).await;
    assert_status(&late.post("/log-out", &[]).await, 303);
    assert_eq!(who(&browser).await, user.email, "a token that a login replaced ends no session");
    assert!(reuses(&host, &user).await.is_empty());
}

/// The tab has a token that was replaced twice within a minute.
#[tokio::test]
async fn a_late_logout_after_a_reissue_and_a_renewal_is_not_token_reuse() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let tab = browser.fork();
    host.clock().advance(DAY * 7);
    assert_eq!((who(&browser).await, who(&browser).await), (user.email.clone(), user.email.clone()));
    assert_status(&browser.post("/renew", &[]).await, 204);
    host.clock().advance(MINUTE - SECOND);
    assert_status(&tab.post("/log-out", &[]).await, 303);
    assert_eq!((who(&browser).await, host.rows().await), ("anonymous".to_owned(), 0));
    assert!(reuses(&host, &user).await.is_empty());
}

/// The browser still has the old token, and no client has the new one.
#[tokio::test]
async fn a_renewal_whose_response_was_lost_is_not_token_reuse_and_leaves_no_session() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    browser.send_without_storing(Request::post("/renew").body(Body::empty()).unwrap()).await;
    host.clock().advance(MINUTE + SECOND);
    assert_eq!(who(&browser).await, "anonymous");
    assert_status(&browser.post("/log-in", &login_form(&user, true)).await, 303);
    assert_eq!((who(&browser).await, host.rows().await), (user.email.clone(), 1));
    assert!(reuses(&host, &user).await.is_empty());
}
