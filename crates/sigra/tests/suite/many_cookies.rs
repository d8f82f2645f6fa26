//! Cookies by the thousand, and several of one name: from another domain than before, or planted by a neighbour.

use std::sync::{Arc, RwLock};

use axum::{Router, body::Body, http::Request};
use sigra::{
    Config, telemetry,
    testing::{TestClient, TestHost, assert_status},
};
use tower::ServiceExt;

use super::host::{
    self, DAY, Host, KEY, MINUTE, REMEMBER_ME, SECOND, assert_sets_no_cookie, log_in_form, token, who, who_sends,
};

/// What browsers can be made to send: hyper takes about 470 KB of headers.
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
async fn invariant_6_a_flood_of_cookies_is_answered_with_few_and_hides_nothing() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
    let flood = flood(&browser);
    assert!(flood.len() > 400_000);

    assert_eq!(who_sends(&browser, &flood).await.text(), user.email);
    let request = Request::get("/get?name=cart").header("cookie", &flood).body(Body::empty()).unwrap();
    assert_eq!(browser.send_without_storing(request).await.text(), "mine");

    for path in ["/log-in", "/renew", "/log-out"] {
        let response = post(&browser, path, &self::flood(&browser), &log_in_form(&user, true)).await;
        assert!(!response.status().is_client_error() && !response.status().is_server_error(), "{response:?}");
        let set: usize = response.headers().get_all("set-cookie").iter().map(|cookie| cookie.len()).sum();
        assert!(response.set_cookies().len() <= 36 && set < 8 * 1024, "{path}: {set} bytes");
        browser.store(&response);
    }
    assert_eq!(host.rows().await, 0, "the log out was one");
}

/// Nothing but its length makes a value costly: what no browser could keep is not even hashed.
#[tokio::test]
async fn invariant_6_a_cookie_past_every_size_and_many_of_one_name_are_anonymous() {
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
async fn invariant_6_of_several_cookies_of_one_name_each_that_verifies_is_tried() {
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
    // In the cookie session that its own cookie began.
    browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
    let entry = format!("{KEY}.cart=forged; {KEY}.cart={}", browser.cookie("_my_app_key.cart").unwrap());
    let cookie = format!("{KEY}={}; {KEY}={}; {entry}", dead.cookie(KEY).unwrap(), browser.cookie(KEY).unwrap());
    let request = Request::get("/get?name=cart").header("cookie", cookie).body(Body::empty()).unwrap();
    assert_eq!(host.client().send(request).await.text(), "mine");
}

/// Somebody who can write cookies, such as a neighbouring subdomain, can't put the user into an account of theirs.
#[tokio::test]
async fn invariant_6_two_good_cookies_of_different_users_make_the_request_anonymous() {
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
async fn invariant_6_a_log_out_ends_every_session_whose_token_is_presented() {
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

/// The application behind a browser, which is started again with other settings.
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

/// Both cookies are sent, in an order that nobody chose, for as long as the old one lives.
#[tokio::test]
async fn invariant_6_a_changed_cookie_domain_locks_nobody_out() {
    let domains = [None, Some("example.com"), Some("app.example.com")];
    for (old, new) in domains.into_iter().flat_map(|old| domains.map(|new| (old, new))).filter(|(old, new)| old != new)
    {
        for revoked in [false, true] {
            let (host, deployed) = (Host::new().await, Deployed::default());
            let (user, browser) = (host.registered_fixture().await, deployed.browser());
            deployed.deploy(&host, old).await;
            browser.post("/log-in", &log_in_form(&user, true)).await;
            browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
            deployed.deploy(&host, new).await;
            assert_eq!(who(&browser).await, user.email, "{old:?} -> {new:?}");
            if revoked {
                host.sigra().delete_all_sessions(&user.id).await.unwrap();
            }

            let form = log_in_form(&user, true);
            let response = browser.post("/log-in", &form).await;
            assert_eq!(cookies_named(&response, KEY).last(), Some(&format!("{new:?}")), "its own is the last one set");
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

/// A flash that nobody can take away would be shown on every page.
#[tokio::test]
async fn an_entry_of_another_domain_is_taken_like_any_other() {
    let (host, deployed) = (Host::new().await, Deployed::default());
    let (user, browser) = (host.registered_fixture().await, deployed.browser());
    deployed.deploy(&host, Some("app.example.com")).await;
    browser.post("/log-in", &log_in_form(&user, true)).await;
    deployed.deploy(&host, Some("example.com")).await;
    assert_eq!(browser.get("/flash").await.text(), "info: Welcome back!\n");
    assert_eq!(browser.get("/flash").await.text(), "");
}

#[tokio::test]
async fn a_cookie_that_only_this_host_can_set_is_left_nowhere_else() {
    let host = Host::with(|config| config.secure(true).trusted_origins(["https://app.example.com"])).await;
    let (_, browser) = host.logged_in(true).await;
    let response = browser.post("/log-out", &[]).await;
    assert_eq!(cookies_named(&response, "__Host-_my_app_key"), ["None"]);
}

/// What a thief does who has a copy of the cookies, each time that the token is due for a new one.
async fn renewed_by_a_thief(times: usize) -> (Host, host::User, TestClient, TestClient) {
    let host = Host::new().await;
    let (user, owner) = host.logged_in(true).await;
    let thief = owner.fork();
    for _ in 0..times {
        host.clock().advance(DAY * 7);
        assert_eq!((who(&thief).await, who(&thief).await), (user.email.clone(), user.email.clone()));
    }
    host.clock().advance(MINUTE + SECOND);
    let before = owner.cookies();
    assert_eq!(who(&owner).await, "anonymous", "the thief has the token now");
    assert_eq!(owner.cookies(), before, "the next log-in must bring it along");
    assert_eq!(who(&thief).await, user.email, "a tab that slept is no reason to end a session");
    (host, user, owner, thief)
}

async fn reuses(host: &Host, user: &host::User) -> Vec<sigra::audit::AuditEvent<uuid::Uuid>> {
    let mut events = host.sigra().audit().list(&user.id, None, 50).await.unwrap();
    events.retain(|event| event.action == telemetry::TOKEN_REUSED);
    events
}

#[tokio::test]
async fn invariant_2_a_token_that_was_replaced_however_often_ends_its_session_at_log_out_and_log_in() {
    for times in [1, 2, 8] {
        for (path, rows) in [("/log-out", 0), ("/log-in", 1)] {
            let (host, user, owner, thief) = renewed_by_a_thief(times).await;
            assert_status(&owner.post(path, &log_in_form(&user, true)).await, 303);
            let left = (who(&thief).await, host.rows().await);
            assert_eq!(left, ("anonymous".to_owned(), rows), "{path} after {times}");
            let reuses = reuses(&host, &user).await;
            assert_eq!(reuses.len(), 1, "{path} after {times}");
            assert_eq!((reuses[0].actor, reuses[0].client.ip.is_some()), (None, true), "nobody knows which it was");
        }
        let (host, _, owner, thief) = renewed_by_a_thief(times).await;
        host.sigra().delete_session(&token(&owner)).await.unwrap();
        assert_eq!(who(&thief).await, "anonymous");
    }
}

/// A thief who can confirm the password, too, or leads the application to renew the session.
#[tokio::test]
async fn invariant_2_a_renewal_in_between_hides_no_reuse() {
    let (host, user, owner, thief) = renewed_by_a_thief(1).await;
    for _ in 0..20 {
        assert_status(&thief.post("/renew", &[]).await, 204);
    }
    host.clock().advance(MINUTE + SECOND);
    assert_status(&owner.post("/log-in", &log_in_form(&user, true)).await, 303);
    assert_eq!((who(&thief).await, host.rows().await), ("anonymous".to_owned(), 1));
    assert_eq!(reuses(&host, &user).await.len(), 1);
}

/// A request within the grace time, and one whose token was replaced by a log-in, prove no theft.
#[tokio::test]
async fn an_honest_log_out_is_no_reuse() {
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
    assert_eq!(who(&browser).await, user.email, "what a log-in replaced ends nothing");
    assert!(reuses(&host, &user).await.is_empty());
}

/// A tab that is behind by two tokens, for they were replaced within the same minute.
#[tokio::test]
async fn a_late_log_out_beside_a_reissue_and_a_renewal_is_no_reuse() {
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

/// The browser holds the old token, and nobody the new one.
#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_no_reuse_and_leaves_no_session_behind() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    browser.send_without_storing(Request::post("/renew").body(Body::empty()).unwrap()).await;
    host.clock().advance(MINUTE + SECOND);
    assert_eq!(who(&browser).await, "anonymous");
    assert_status(&browser.post("/log-in", &log_in_form(&user, true)).await, 303);
    assert_eq!((who(&browser).await, host.rows().await), (user.email.clone(), 1));
    assert!(reuses(&host, &user).await.is_empty());
}
