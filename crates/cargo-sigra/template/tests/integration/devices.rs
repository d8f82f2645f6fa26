//! The page of a user's devices.

use crate::support::{Host, login_form};
use my_app::web::user_auth::AFTER_LOGOUT_PATH;
use sigra::{
    SessionToken,
    testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status},
};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/18.0 Mobile/15E148 Safari/604.1";

#[tokio::test]
async fn an_unreadable_session_does_not_hide_the_others() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let this_one = host.sigra().sessions().list(&user.id).await.expect("sessions").remove(0).id;
    host.log_in(&user).await;
    let spoil = sqlx::query("UPDATE users_tokens SET last_used_at = 'infinity' WHERE id <> $1").bind(this_one);
    spoil.execute(&host.pool).await.expect("spoiled");
    let page = browser.get("/users/sessions").await;
    assert_status(&page, 200);
    assert_eq!(page.text().matches("This device").count(), 1);
    assert_contains(&page, "Log out everywhere");
}

#[tokio::test]
async fn the_page_names_devices_and_hides_tokens() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let form = login_form(&user.email, VALID_PASSWORD);
    let laptop = host.client().user_agent(FIREFOX).peer(([203, 0, 113, 7], 4711).into());
    let phone = host.client().user_agent(SAFARI);
    phone.post("/users/log-in", &form).await;
    laptop.post("/users/log-in", &form).await;

    let page = laptop.get("/users/sessions").await;
    for part in ["Firefox on Linux", "Safari on iPhone", "203.0.113.7", "127.0.0.1", "Log out everywhere"] {
        assert_contains(&page, part);
    }
    assert_eq!(page.text().matches("This device").count(), 1);

    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT token FROM users_tokens").fetch_all(&host.pool).await.expect("rows");
    for browser in [&laptop, &phone] {
        let cookie = browser.cookie("_my_app_key").expect("logged in");
        let (_, token) = cookie.rsplit_once('.').expect("id and token");
        let hash = SessionToken::parse(token).expect("a token").hash();
        assert!(hashes.contains(&hash.as_bytes().to_vec()), "the database has this session");
        let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        for secret in [token, &hex, &hex.to_uppercase()] {
            assert!(!page.text().contains(secret), "a token or its hash is on the page");
        }
    }
}

/// The page lists at most 100 devices, and mentions that there are more.
#[tokio::test]
async fn a_user_with_many_devices_sees_the_most_recently_used_ones() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for _ in 0..99 {
        host.open_session(&user).await;
    }
    let page = browser.get("/users/sessions").await;
    assert_contains(&page, "these 100 devices");
    assert_eq!(
        page.text().matches("class=\"device\"").count() + page.text().matches("class=\"device current\"").count(),
        100
    );
    // <api>
    let program = sigra::testing::TestClient::new(host.api.clone());
    program.set_cookie("_my_app_key", &browser.cookie("_my_app_key").expect("logged in"));
    let listed = async || program.get("/users/sessions").await.json::<serde_json::Value>();
    assert_eq!(listed().await["has_more"], false);
    // </api>

    host.clock().advance(std::time::Duration::from_secs(1));
    host.open_session(&user).await;
    let page = browser.get("/users/sessions").await;
    assert_contains(&page, "more than 100 devices");
    assert_contains(&page, "Log out of all other devices");
    // <api>
    let listed = listed().await;
    assert_eq!((listed["has_more"].clone(), listed["sessions"].as_array().expect("a list").len()), (true.into(), 100));
    // </api>
    browser.delete("/users/sessions/others").await;
    assert_contains(&browser.get("/users/sessions").await, "this device only");
}

#[tokio::test]
async fn one_device_can_be_logged_out_from_another() {
    let host = Host::new().await;
    let (user, laptop) = host.authenticated_fixture().await;
    let this_one = host.sigra().sessions().list(&user.id).await.expect("sessions").remove(0);
    let phone = host.log_in(&user).await;
    let sessions = host.sigra().sessions().list(&user.id).await.expect("sessions");
    let other = sessions.iter().find(|session| session.id != this_one.id).expect("the phone");

    let response = laptop.delete(&format!("/users/sessions/{}", other.id)).await;
    assert_redirected_to(&response, "/users/sessions");
    assert_contains(&laptop.get("/users/sessions").await, "Logged out of that device.");
    assert_redirected_to(&phone.get("/dashboard").await, "/users/log-in");
    assert_status(&laptop.get("/dashboard").await, 200);
}

#[tokio::test]
async fn logging_out_this_device_is_logging_out() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let session = host.sigra().sessions().list(&user.id).await.expect("sessions").remove(0);
    assert_redirected_to(&browser.delete(&format!("/users/sessions/{}", session.id)).await, AFTER_LOGOUT_PATH);
    assert!(browser.cookie("_my_app_key").is_none());
    assert_contains(&browser.get("/").await, "Logged out successfully.");
}

#[tokio::test]
async fn users_cannot_log_out_the_devices_of_others() {
    let host = Host::new().await;
    let (victim, browser) = host.authenticated_fixture().await;
    let (_, attacker) = host.authenticated_fixture().await;
    let session = host.sigra().sessions().list(&victim.id).await.expect("sessions").remove(0);
    assert_status(&attacker.delete(&format!("/users/sessions/{}", session.id)).await, 404);
    assert_status(&attacker.delete("/users/sessions/00000000-0000-0000-0000-000000000000").await, 404);
    assert_status(&attacker.delete("/users/sessions/nonsense").await, 400);
    assert_status(&browser.get("/dashboard").await, 200);
}

#[tokio::test]
async fn invariant_17_a_failed_action_is_not_reported_as_done_on_the_next_page() {
    let host = Host::new().await;
    for path in ["/users/log-out", "this device", "/users/sessions", "/users/settings"] {
        let (user, browser) = host.authenticated_fixture().await;
        let this_device =
            format!("/users/sessions/{}", host.sigra().sessions().list(&user.id).await.expect("one")[0].id);
        let path = if path == "this device" { &this_device } else { path };
        let break_it = sqlx::raw_sql("ALTER TABLE audit_events RENAME TO elsewhere").execute(&host.pool);
        break_it.await.expect("broken");
        let form = [("_method", "delete"), ("user[email]", &*user.email)];
        assert_status(&browser.post(path, &form).await, 500);
        sqlx::raw_sql("ALTER TABLE elsewhere RENAME TO audit_events").execute(&host.pool).await.expect("mended");

        let page = browser.get("/").await;
        assert_contains(&page, &user.email);
        for said in ["Logged out", "deleted"] {
            assert!(!page.text().contains(said), "{path} failed, and the next page says {said}\n{page:?}");
        }
    }
}

#[tokio::test]
async fn all_other_devices_are_logged_out_and_this_one_stays() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    assert_contains(&browser.get("/users/sessions").await, "Log out of all other devices");
    let response = browser.delete("/users/sessions/others").await;
    assert_redirected_to(&response, "/users/sessions");
    assert_contains(&browser.follow(&response).await, "Logged out of all other devices.");
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
    assert_status(&browser.get("/dashboard").await, 200);
    let again = browser.delete("/users/sessions/others").await;
    assert_contains(&browser.follow(&again).await, "You are logged in on this device only.");
    // <api>
    let program = sigra::testing::TestClient::new(host.api.clone()).json();
    browser.cookies().iter().for_each(|(name, value)| program.set_cookie(name, value));
    host.log_in(&user).await;
    assert_contains(&program.delete("/users/sessions/others").await, r#"{"ended":1}"#);
    // </api>
}
