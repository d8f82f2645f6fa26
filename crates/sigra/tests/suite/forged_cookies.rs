//! Requests with changed, forged, swapped or foreign cookies are anonymous, and never a 5xx.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use sigra::testing::{TestClient, TestHost, TestResponse, assert_status};

use super::host::{Host, KEY, REMEMBER_ME, assert_sets_no_cookie, secret, who, who_sends};

#[track_caller]
fn assert_anonymous(response: &TestResponse, attack: &str) {
    assert_eq!(
        (response.status(), response.text().as_str()),
        (StatusCode::OK, "anonymous"),
        "{attack:?}\n{response:?}"
    );
}

/// A remembered user who is logged in, and the values of their cookies.
struct Scene {
    host: Host,
    email: String,
    browser: TestClient,
    key: String,
    remember_me: String,
}

impl Scene {
    async fn new() -> Self {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        let (key, remember_me) = (browser.cookie(KEY).unwrap(), browser.cookie(REMEMBER_ME).unwrap());
        Self { host, email: user.email, browser, key, remember_me }
    }

    async fn send(&self, cookie: impl AsRef<[u8]>) -> TestResponse {
        who_sends(&self.host.client(), cookie).await
    }

    async fn assert_unharmed(&self) {
        assert_eq!(self.host.rows().await, 1);
        assert_eq!(who(&self.browser).await, self.email);
    }
}

#[tokio::test]
async fn invariant_6_a_cookie_with_any_changed_byte_is_anonymous() {
    let scene = Scene::new().await;
    for (name, value) in [(KEY, &scene.key), (REMEMBER_ME, &scene.remember_me)] {
        assert_eq!(scene.send(format!("{name}={value}")).await.text(), scene.email);
        for at in 0..value.len() {
            let mut tampered = value.clone().into_bytes();
            tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(tampered).unwrap();
            assert_anonymous(&scene.send(format!("{name}={tampered}")).await, &tampered);
        }
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn invariant_6_truncated_and_padded_cookies_are_anonymous() {
    let scene = Scene::new().await;
    for (name, value) in [(KEY, &scene.key), (REMEMBER_ME, &scene.remember_me)] {
        for len in 0..value.len() {
            assert_anonymous(&scene.send(format!("{name}={}", &value[..len])).await, &value[..len]);
            assert_anonymous(&scene.send(format!("{name}={}", &value[len..][1..])).await, &value[len..][1..]);
        }
        for padded in [format!("{value}A"), format!("{value}="), format!("A{value}"), format!("\"{value}\"")] {
            assert_anonymous(&scene.send(format!("{name}={padded}")).await, &padded);
        }
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn invariant_6_garbage_of_every_kind_is_anonymous() {
    let scene = Scene::new().await;
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        b";".to_vec(),
        b"=".to_vec(),
        b";;;=;=;".to_vec(),
        KEY.into(),
        format!("{KEY}=").into(),
        format!("{KEY}==").into(),
        format!("={}", scene.key).into(),
        format!(" {KEY} ={}", scene.key).into(),
        format!("{}={}", KEY.to_uppercase(), scene.key).into(),
        format!("{KEY}={}", "A".repeat(8 * 1024)).into(),
        format!("{KEY}={}{}", scene.key, "A".repeat(8 * 1024)).into(),
        format!("{REMEMBER_ME}={}", "=".repeat(8 * 1024)).into(),
        format!("{KEY}.={}", scene.key).into(),
        format!("{KEY}.flash={}", "x".repeat(8 * 1024)).into(),
        format!("{KEY}.flash; {KEY}.flash; {KEY}.flash=").into(),
        format!("{KEY}={}", "\u{e9}\u{1f600}".repeat(40)).into(),
        format!("{KEY}={}\u{e9}", &scene.key[..43]).into(),
    ];
    for name in [KEY, REMEMBER_ME, "_my_app_key.flash-01890000000070008000000000000000", "_my_app_key.\u{e9}", "other"]
    {
        garbage.push([name.as_bytes(), b"=\xff\xfe\x80 \xc3"].concat());
        garbage.push([name.as_bytes(), b"\xff=", scene.key.as_bytes()].concat());
    }
    for cookie in garbage {
        assert_anonymous(&scene.send(&cookie).await, &String::from_utf8_lossy(&cookie));
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn invariant_6_hundreds_of_foreign_cookies_are_ignored() {
    let scene = Scene::new().await;
    let mut many: Vec<u8> = Vec::new();
    for i in 0..100 {
        many.extend(format!("{KEY}.entry{i}=forged; ").bytes());
        many.extend(format!("other{i}=\"a, b\"; ").bytes());
    }
    many.extend(b"latin=\xe9t\xe9; odd; ");
    assert_anonymous(&scene.send(&many).await, "100 cookies");
    many.extend(format!("{KEY}={}", scene.key).bytes());
    assert_eq!(scene.send(&many).await.text(), scene.email);
}

#[tokio::test]
async fn invariant_6_a_forged_session_cookie_is_anonymous_even_with_a_valid_remember_me_cookie() {
    let scene = Scene::new().await;
    let other = Scene::new().await;
    let bad_key = format!("{KEY}=forged; {REMEMBER_ME}={}", scene.remember_me);
    let response = scene.send(&bad_key).await;
    assert_anonymous(&response, &bad_key);
    assert_sets_no_cookie(&response);

    // Signed with the same secret, but for another database.
    let foreign = format!("{KEY}={}; {REMEMBER_ME}={}", other.key, other.remember_me);
    assert_anonymous(&scene.send(&foreign).await, &foreign);
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn invariant_16_a_late_response_to_a_forged_cookie_does_not_undo_a_login() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.set_cookie(KEY, "forged");
    browser.set_cookie(REMEMBER_ME, "forged");
    let request = Request::get("/maybe").body(Body::empty()).expect("a request");
    let late = browser.send_without_storing(request).await;
    assert_eq!(late.text(), "anonymous");
    host.post_log_in(&browser, &user, true).await;
    browser.store(&late);
    assert_eq!(who(&browser).await, user.email);
}

/// The response was ready before the login, and arrives after it, when the forged cookie has been replaced.
#[tokio::test]
async fn invariant_16_a_late_response_to_forged_and_valid_cookies_does_not_undo_a_login() {
    for remember_me in [false, true] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        browser.set_cookie(KEY, "forged");
        let late = browser.send_without_storing(super::host::get_request("/maybe")).await;
        host.post_log_in(&browser, &user, remember_me).await;
        browser.store(&late);
        assert_eq!(who(&browser).await, user.email);

        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        browser.set_cookie(KEY, "forged");
        let log_in = host.post_log_in(&browser, &user, remember_me);
        let (late, _) = host.during_slow_request(&browser, "/slow", log_in).await;
        assert_eq!(late.text(), "anonymous");
        assert_sets_no_cookie(&late);
        browser.store(&late);
        assert_eq!(who(&browser).await, user.email);
    }
}

#[tokio::test]
async fn invariant_6_a_login_replaces_forged_cookies() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.set_cookie(KEY, "forged");
    browser.set_cookie(REMEMBER_ME, "forged");
    host.post_log_in(&browser, &user, false).await;
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(browser.cookie(REMEMBER_ME), None);
}

#[tokio::test]
async fn session_and_remember_me_cookies_are_not_interchangeable() {
    let scene = Scene::new().await;
    for swapped in [
        format!("{KEY}={}", scene.remember_me),
        format!("{REMEMBER_ME}={}", scene.key),
        format!("{KEY}={}; {REMEMBER_ME}={}", scene.remember_me, scene.key),
        format!("{KEY}.flash={}", scene.key),
    ] {
        assert_anonymous(&scene.send(&swapped).await, &swapped);
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn an_entry_is_valid_only_under_its_name_and_in_its_cookie_session() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let entry = async |browser: &TestClient, name: &str| browser.get(&format!("/get?name={name}")).await.text();
    browser.post("/put", &[("name", "role"), ("value", "admin")]).await;
    let value = browser.cookie("_my_app_key.role").unwrap();
    assert_eq!(entry(&browser, "role").await, "admin");

    browser.set_cookie("_my_app_key.theme", &value);
    assert_eq!(entry(&browser, "theme").await, "nothing", "another name");
    for other in [host.client(), host.log_in(&user).await] {
        other.set_cookie("_my_app_key.role", &value);
        assert_eq!(entry(&other, "role").await, "nothing", "another cookie session");
    }
    browser.set_cookie("_my_app_key.role", &value.replace('.', ""));
    assert_eq!(entry(&browser, "role").await, "nothing");

    let anonymous = host.client();
    anonymous.post("/put", &[("name", "role"), ("value", "guest")]).await;
    browser.set_cookie("_my_app_key.role", &anonymous.cookie("_my_app_key.role").unwrap());
    assert_eq!(entry(&browser, "role").await, "nothing", "from before a login");
    browser.set_cookie("_my_app_key.role", &anonymous.cookie("_my_app_key.role").unwrap().replace("role.", "role.x"));
    assert_eq!(entry(&browser, "role").await, "nothing");
    assert_eq!(who(&browser).await, user.email);
}

/// CVE-2024-51996: only the token in the cookie names the user, so splicing cookies gains nothing.
#[tokio::test]
async fn a_remember_me_cookie_spliced_from_two_users_is_anonymous() {
    let host = Host::new().await;
    let (_, one) = host.logged_in(true).await;
    let (_, two) = host.logged_in(true).await;
    let (one, two) = (one.cookie(REMEMBER_ME).unwrap(), two.cookie(REMEMBER_ME).unwrap());
    for at in 1..one.len() {
        let spliced = format!("{REMEMBER_ME}={}{}", &one[..at], &two[at..]);
        if spliced.ends_with(&one) || spliced.ends_with(&two) {
            continue;
        }
        assert_anonymous(&who_sends(&host.client(), &spliced).await, &spliced);
    }
}

#[tokio::test]
async fn with_cookies_of_two_users_the_session_cookie_decides() {
    let host = Host::new().await;
    let (first, one) = host.logged_in(true).await;
    let (_, two) = host.logged_in(true).await;
    let cookie = format!("{REMEMBER_ME}={}; {KEY}={}", two.cookie(REMEMBER_ME).unwrap(), one.cookie(KEY).unwrap());
    assert_eq!(who_sends(&host.client(), &cookie).await.text(), first.email, "the session cookie decides");
}

#[tokio::test]
async fn cookies_signed_with_another_secret_are_anonymous() {
    let scene = Scene::new().await;
    let stranger = scene.host.restart(with_secret("z", &[], &scene.host)).await;
    for name in [KEY, REMEMBER_ME] {
        let cookie = format!("{name}={}", scene.browser.cookie(name).unwrap());
        assert_anonymous(&who_sends(&stranger.client(), &cookie).await, &cookie);
    }
}

fn with_secret(
    letter: &'static str,
    older: &'static [&'static str],
    host: &Host,
) -> impl FnOnce(sigra::Config) -> sigra::Config + use<> {
    let clock = host.clock().clone();
    move |_| {
        sigra::Config::new("my_app", secret(letter))
            .older_secrets(older.iter().map(|letter| secret(letter)))
            .clock(clock)
            .argon2(sigra::config::Argon2Params::INSECURE_FOR_TESTS)
    }
}

#[tokio::test]
async fn rotating_the_secret_key_logs_no_user_out() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let (_, absent) = host.logged_in(true).await;
    browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;

    let rotated = host.restart(with_secret("b", &["a"], &host)).await;
    let browser = rotated.take_over(&browser);
    let response = browser.get("/maybe").await;
    assert_eq!(response.text(), user.email);
    let signed_again: Vec<String> = response.set_cookies().iter().map(|cookie| cookie.name().to_owned()).collect();
    assert_eq!(signed_again, [KEY, REMEMBER_ME]);
    assert_sets_no_cookie(&browser.get("/maybe").await);
    assert_eq!(browser.get("/get?name=cart").await.text(), "mine");

    let finished = host.restart(with_secret("b", &[], &host)).await;
    let browser = finished.take_over(&browser);
    assert_eq!(who(&browser).await, user.email);
    let absent = finished.take_over(&absent);
    assert_eq!(who(&absent).await, "anonymous", "signed with a removed secret");
}

#[tokio::test]
async fn a_closed_remembered_browser_stays_logged_in_after_a_rotation() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    browser.close_and_reopen();
    let rotated = host.restart(with_secret("b", &["a"], &host)).await;
    let browser = rotated.take_over(&browser);
    assert_eq!(who(&browser).await, user.email);

    let finished = host.restart(with_secret("b", &[], &host)).await;
    let again = finished.client();
    again.set_cookie(REMEMBER_ME, &browser.cookie(REMEMBER_ME).unwrap());
    assert_eq!(who(&again).await, user.email, "the cookie was signed again");
}

#[tokio::test]
async fn invariant_6_forged_cookies_cause_no_error_for_forms_and_json() {
    let host = Host::new().await;
    let browser = host.client();
    for path in ["/log-out", "/put"] {
        browser.set_cookie(KEY, "forged");
        let response = browser.post(path, &[("name", "a"), ("value", "b")]).await;
        assert!(response.status().is_success() || response.status().is_redirection(), "{response:?}");
    }
    browser.set_cookie(KEY, "forged");
    assert_status(&browser.json().get("/me").await, 401);
}
