//! Passkeys: as login method, as second factor, and used by attackers.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::Value;
use sigra::{
    EmailToken, audit,
    testing::{
        TestClient, TestHost, TestResponse, assert_audit_event, assert_problem, assert_redirected_to, assert_status,
    },
};
use tokio::task::JoinSet;

use super::{
    authenticator::Authenticator,
    host::{DAY, Host, MINUTE, SECOND, User, who},
    recovery::{link, recover},
};

pub async fn challenge(browser: &TestClient, path: &str) -> Value {
    let response = browser.get(path).await;
    assert_status(&response, 200);
    response.json()
}

fn request(path: &str, answer: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(answer.to_string().into()).expect("a request")
}

pub async fn send(browser: &TestClient, path: &str, answer: &Value) -> TestResponse {
    browser.send(request(path, answer)).await
}

/// Adds a passkey through the pages. Returns the new backup codes, or an empty string if there were codes before.
async fn register(browser: &TestClient, authenticator: &mut Authenticator) -> String {
    let answer = authenticator.register(&challenge(browser, "/passkeys/register").await);
    let response = send(browser, "/passkeys/register", &answer).await;
    assert_status(&response, 200);
    response.text()
}

/// Returns whether a passkey logs in on a new browser.
async fn logs_in(host: &Host, authenticator: &mut Authenticator) -> bool {
    let browser = host.client();
    let answer = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
    let response = send(&browser, "/passkeys/log-in", &answer).await;
    match response.status() {
        StatusCode::OK => assert_ne!(who(&browser).await, "anonymous"),
        StatusCode::UNPROCESSABLE_ENTITY => assert_eq!(who(&browser).await, "anonymous"),
        other => panic!("{other}: {response:?}"),
    }
    response.status() == StatusCode::OK
}

pub async fn user_with_passkey(host: &Host) -> (User, TestClient, Authenticator) {
    let (user, browser) = host.authenticated_fixture().await;
    let mut authenticator = Authenticator::new();
    assert_eq!(register(&browser, &mut authenticator).await.lines().count(), 10);
    (user, browser, authenticator)
}

/// A recovery link to another address than that of the first factor, so that it undoes only what happens from now on.
async fn link_to_another_address(host: &Host, user: &User) -> EmailToken {
    let user = User { email: format!("old-{}", user.email), ..user.clone() };
    link(&host.sigra, &user).await
}

async fn only_passkey(host: &Host, user: &User) -> sigra::mfa::Passkey {
    let passkeys = host.sigra.mfa().list(&user.id).await.unwrap().passkeys;
    assert_eq!(passkeys.len(), 1);
    passkeys.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_new_passkey_is_required_as_second_factor() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    let mut authenticator = Authenticator::new();
    assert_eq!(register(&browser, &mut authenticator).await.lines().count(), 10);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&other).await, "anonymous");
    assert_eq!(only_passkey(&host, &user).await.name, "Test key");
    assert_audit_event(host.sigra(), &user, audit::PASSKEY_ADDED).await;

    assert_redirected_to(&host.post_log_in(&other, &user, false).await, "/mfa-challenge");
    let answer = authenticator.sign(&challenge(&other, "/passkeys/challenge").await);
    host.clock().advance(SECOND);
    assert_eq!(send(&other, "/passkeys/challenge", &answer).await.text(), "Passkey");
    assert_eq!(who(&other).await, user.email);
    let passkey = only_passkey(&host, &user).await;
    assert!(passkey.last_used_at > passkey.inserted_at);
}

#[tokio::test]
async fn a_passkey_logs_in_without_a_password() {
    let host = Host::new().await;
    let (user, browser, mut authenticator) = user_with_passkey(&host).await;
    browser.post("/log-out", &[]).await;
    let before = browser.cookies();
    let answer = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
    assert_eq!(send(&browser, "/passkeys/log-in", &answer).await.text(), "Complete");
    assert_ne!(browser.cookies(), before);
    assert_eq!(who(&browser).await, user.email);
    assert_status(&browser.get("/sudo").await, 200);
    let events = host.sigra.audit().list(&user.id, None, 1).await.unwrap();
    assert_eq!(events[0].action, "auth.login.success");
    assert_eq!(events[0].metadata, serde_json::json!({ "method": "passkey" }));
}

#[tokio::test]
async fn sudo_mode_accepts_a_passkey_answer_once() {
    let host = Host::new().await;
    let (_, browser, mut authenticator) = user_with_passkey(&host).await;
    host.clock().advance(MINUTE * 20);
    assert_redirected_to(&browser.get("/sudo").await, "/users/sudo");
    let answer = authenticator.sign(&challenge(&browser, "/passkeys/sudo").await);
    assert_status(&send(&browser, "/passkeys/sudo", &answer).await, 200);
    assert_status(&browser.get("/sudo").await, 200);
    assert_status(&send(&browser, "/passkeys/sudo", &answer).await, 422);
}

#[tokio::test]
async fn a_passkey_answer_is_valid_once_and_only_in_its_browser() {
    let host = Host::new().await;
    let (user, _, mut authenticator) = user_with_passkey(&host).await;
    let (browser, thief) = (host.client(), host.client());
    let answer = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
    challenge(&thief, "/passkeys/log-in").await;
    assert_status(&send(&thief, "/passkeys/log-in", &answer).await, 422);
    assert_status(&send(&browser, "/passkeys/log-in", &answer).await, 200);
    assert_status(&send(&browser, "/passkeys/log-in", &answer).await, 422);
    assert_status(&send(&browser.fork(), "/passkeys/log-in", &answer).await, 422);
    assert_eq!(who(&thief).await, "anonymous");
    assert_eq!(who(&browser).await, user.email);

    let late = host.client();
    let answer = authenticator.sign(&challenge(&late, "/passkeys/log-in").await);
    host.clock().advance(Duration::from_secs(5 * 60));
    assert_status(&send(&late, "/passkeys/log-in", &answer).await, 422);
    host.sigra.housekeeping().purge_expired().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM passkey_ceremonies").fetch_one(&host.pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_10_only_one_of_many_copies_of_a_passkey_answer_succeeds() {
    let host = Arc::new(Host::new().await);
    let (_, _, mut authenticator) = user_with_passkey(&host).await;
    for _ in 0..10 {
        let browser = Arc::new(host.client());
        let answer = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
        let mut requests = JoinSet::new();
        for _ in 0..16 {
            let (browser, answer) = (browser.clone(), answer.clone());
            let send = async move { browser.send_without_storing(request("/passkeys/log-in", &answer)).await.status() };
            requests.spawn(send);
        }
        let answers = requests.join_all().await;
        assert_eq!(answers.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{answers:?}");
    }
}

/// The second challenge to arrive must not replace the first.
#[tokio::test]
async fn invariant_16_passkey_challenges_of_two_tabs_at_once_both_work() {
    let host = Host::new().await;
    let (user, _, mut authenticator) = user_with_passkey(&host).await;
    let browser = host.client();
    let ask = || browser.send_without_storing(super::host::get_request("/passkeys/log-in"));
    let (one, two) = tokio::join!(ask(), ask());
    browser.store(&one);
    browser.store(&two);
    for page in [one, two] {
        let tab = browser.fork();
        let answer = authenticator.sign(&page.json());
        assert_status(&send(&tab, "/passkeys/log-in", &answer).await, 200);
        assert_eq!(who(&tab).await, user.email);
    }
}

/// Otherwise opening the page often would fill the browser with cookies.
#[tokio::test]
async fn a_browser_keeps_at_most_eight_passkey_challenges() {
    let host = Host::new().await;
    let browser = host.client();
    for _ in 0..20 {
        challenge(&browser, "/passkeys/log-in").await;
        host.clock().advance(SECOND);
    }
    assert_eq!(browser.cookies().len(), 8);
}

#[tokio::test]
async fn eight_tabs_can_have_passkey_challenges_at_once() {
    let host = Host::new().await;
    let (user, _, mut authenticator) = user_with_passkey(&host).await;
    let browser = host.client();
    let first = challenge(&browser, "/passkeys/log-in").await;
    for _ in 0..7 {
        challenge(&browser, "/passkeys/log-in").await;
    }
    assert_status(&send(&browser, "/passkeys/log-in", &authenticator.sign(&first)).await, 200);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn dishonest_authenticators_are_refused() {
    let host = Host::new().await;
    let (_, _, honest) = user_with_passkey(&host).await;
    let mut phished = Authenticator { origin: "https://localhost.evil.example", ..honest.clone() };
    assert!(!logs_in(&host, &mut phished).await, "signed for another origin");
    let mut elsewhere = Authenticator { domain: "evil.example", ..honest.clone() };
    assert!(!logs_in(&host, &mut elsewhere).await, "signed for another domain");
    let mut unlocked = Authenticator { verifies: false, ..honest.clone() };
    assert!(!logs_in(&host, &mut unlocked).await, "the user was not verified");
    let mut stranger = Authenticator { credential_id: honest.credential_id.clone(), ..Authenticator::new() };
    assert!(!logs_in(&host, &mut stranger).await, "another key with the same credential ID");
    assert!(!logs_in(&host, &mut Authenticator::new()).await, "an unknown passkey");
    let (_, _, others) = user_with_passkey(&host).await;
    let mut misled = Authenticator { user_handle: others.user_handle, ..honest.clone() };
    assert!(!logs_in(&host, &mut misled).await, "with the user handle of another user");

    let mut clone = honest.clone();
    assert!(logs_in(&host, &mut honest.clone()).await);
    assert!(!logs_in(&host, &mut clone).await, "its counter has not increased");

    let (user, _, mut honest) = user_with_passkey(&host).await;
    let asked_before = host.client();
    host.post_log_in(&asked_before, &user, false).await;
    let asked = challenge(&asked_before, "/passkeys/challenge").await;
    let mut clone = honest.clone();
    assert!(logs_in(&host, &mut honest).await);
    let response = send(&asked_before, "/passkeys/challenge", &clone.sign(&asked)).await;
    assert_status(&response, 422);
}

#[tokio::test]
async fn a_passkey_of_another_user_is_refused() {
    let host = Host::new().await;
    let (ada, adas, mut ada_key) = user_with_passkey(&host).await;
    let (grace, graces, mut grace_key) = user_with_passkey(&host).await;

    let pending = host.client();
    host.post_log_in(&pending, &ada, false).await;
    let asked = challenge(&pending, "/passkeys/challenge").await;
    assert_status(&send(&pending, "/passkeys/challenge", &grace_key.sign(&asked)).await, 422);
    assert_eq!(who(&pending).await, "anonymous");

    let taken = ada_key.register(&challenge(&graces, "/passkeys/register").await);
    assert_status(&send(&graces, "/passkeys/register", &taken).await, 422);
    let id = only_passkey(&host, &ada).await.id;
    assert_status(&graces.post(&format!("/passkeys/{id}/delete"), &[]).await, 422);
    assert!(!host.sigra.passkeys().rename(&grace.id, id, "Mine").await.unwrap());

    let asked = challenge(&adas, "/passkeys/register").await;
    let answer = Authenticator::new().register(&asked);
    assert_status(&send(&graces, "/passkeys/register", &answer).await, 422);
    assert_status(&send(&adas, "/passkeys/sudo", &answer).await, 422);
}

#[tokio::test]
async fn a_removed_passkey_is_refused() {
    let host = Host::new().await;
    let (user, browser, mut authenticator) = user_with_passkey(&host).await;
    let id = only_passkey(&host, &user).await.id;
    assert!(host.sigra.passkeys().rename(&user.id, id, "  Ada's phone ").await.unwrap());
    assert_eq!(only_passkey(&host, &user).await.name, "Ada's phone");

    let asked_before = host.client();
    let answer = authenticator.sign(&challenge(&asked_before, "/passkeys/log-in").await);
    assert_status(&browser.post(&format!("/passkeys/{id}/delete"), &[]).await, 200);
    assert_status(&send(&asked_before, "/passkeys/log-in", &answer).await, 422);
    assert!(!logs_in(&host, &mut authenticator).await);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
    assert_audit_event(host.sigra(), &user, audit::PASSKEY_REMOVED).await;
    assert_redirected_to(&host.post_log_in(&host.client(), &user, false).await, "/");
}

/// A security key without room for another passkey makes one that only works with an email address.
#[tokio::test]
async fn invariant_20_a_passkey_that_browsers_do_not_find_is_no_way_to_log_in() {
    let host = Host::new().await;
    let (user, browser, _) = user_with_passkey(&host).await;
    let first = only_passkey(&host, &user).await.id;
    let mut hidden = Authenticator { is_discoverable: Some(false), ..Authenticator::new() };
    register(&browser, &mut hidden).await;
    host.execute("UPDATE users SET hashed_password = NULL").await;
    let delete = format!("/passkeys/{first}/delete");
    assert_problem(&browser.post(&delete, &[]).await, StatusCode::CONFLICT);
    assert!(logs_in(&host, &mut hidden).await, "it was found after all");
    assert_status(&browser.post(&delete, &[]).await, 200);
    let second = only_passkey(&host, &user).await.id;
    assert_problem(&browser.post(&format!("/passkeys/{second}/delete"), &[]).await, StatusCode::CONFLICT);
}

/// A thief may have added it long before the change that the owner undoes.
#[tokio::test]
async fn invariant_11_after_a_recovery_an_older_passkey_logs_in_only_once_it_was_a_second_factor() {
    let host = Host::new().await;
    let (user, browser, mut owners) = user_with_passkey(&host).await;
    let mut thiefs = Authenticator::new();
    register(&browser, &mut thiefs).await;
    host.clock().advance(DAY);
    let verified = host.client();
    let answer = thiefs.sign(&challenge(&verified, "/passkeys/log-in").await);
    assert!(recover(&host.sigra, &link_to_another_address(&host, &user).await).await);

    assert_status(&send(&verified, "/passkeys/log-in", &answer).await, 422);
    for authenticator in [&mut owners, &mut thiefs] {
        assert!(!logs_in(&host, authenticator).await);
    }
    let owner = host.client();
    assert_redirected_to(&host.post_log_in(&owner, &user, false).await, "/mfa-challenge");
    let answer = owners.sign(&challenge(&owner, "/passkeys/challenge").await);
    assert_status(&send(&owner, "/passkeys/challenge", &answer).await, 200);
    assert!(logs_in(&host, &mut owners).await);
    assert!(!logs_in(&host, &mut thiefs).await);
}

/// Otherwise a user without a password could be left with no way to log in.
#[tokio::test]
async fn invariant_20_a_passkey_that_is_only_a_second_factor_is_no_way_to_log_in() {
    let host = Host::new().await;
    let (user, _, mut kept) = user_with_passkey(&host).await;
    host.clock().advance(DAY);
    assert!(recover(&host.sigra, &link_to_another_address(&host, &user).await).await);
    let browser = host.client();
    host.post_log_in(&browser, &user, false).await;
    let answer = kept.sign(&challenge(&browser, "/passkeys/challenge").await);
    assert_status(&send(&browser, "/passkeys/challenge", &answer).await, 200);
    let kept = only_passkey(&host, &user).await.id;
    register(&browser, &mut Authenticator::new()).await;
    host.execute("UPDATE users SET hashed_password = NULL").await;
    let passkeys = host.sigra.mfa().list(&user.id).await.unwrap().passkeys;
    let added = passkeys.into_iter().find(|passkey| passkey.id != kept).expect("the new one").id;
    host.execute("UPDATE users_passkeys SET second_factor_only = true").await;
    assert_problem(&browser.post(&format!("/passkeys/{added}/delete"), &[]).await, StatusCode::CONFLICT);
    host.execute("UPDATE users_passkeys SET second_factor_only = false").await;
    assert_status(&browser.post(&format!("/passkeys/{added}/delete"), &[]).await, 200);
}

/// A login that was verified before the recovery commits after it, or is ended by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_a_recovery_locks_out_a_passkey_that_logs_in_at_the_same_moment() {
    let host = Host::new().await;
    for _ in 0..10 {
        let (user, _, mut thiefs) = user_with_passkey(&host).await;
        host.clock().advance(DAY);
        let link = link_to_another_address(&host, &user).await;
        let browser = host.client();
        let answer = thiefs.sign(&challenge(&browser, "/passkeys/log-in").await);
        let (is_back, _) = tokio::join!(recover(&host.sigra, &link), send(&browser, "/passkeys/log-in", &answer));
        assert!(is_back);
        host.sigra().catch_up().await;
        assert_eq!(who(&browser).await, "anonymous");
    }
}

#[tokio::test]
async fn a_required_second_factor_can_be_removed_only_while_another_remains() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    assert_eq!(register(&browser, &mut Authenticator::new()).await, "", "there are backup codes already");
    host.execute("UPDATE users SET admin = true").await;
    assert_status(&browser.post("/mfa/disable", &[]).await, 200);
    let factors = host.sigra.mfa().list(&user.id).await.unwrap();
    assert_eq!((factors.count(), factors.backup_codes), (1, 10));
    let id = only_passkey(&host, &user).await.id;
    assert_status(&browser.post(&format!("/passkeys/{id}/delete"), &[]).await, 403);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(host.sigra.mfa().list(&user.id).await.unwrap().count(), 1);
}

#[tokio::test]
async fn a_suspended_user_is_not_logged_in() {
    let host = Host::new().await;
    let (_, _, mut authenticator) = user_with_passkey(&host).await;
    host.execute("UPDATE users SET suspended = true").await;
    assert!(!logs_in(&host, &mut authenticator).await);
}

#[tokio::test]
async fn malformed_passkey_answers_are_refused_without_a_server_error() {
    let host = Host::new().await;
    let (_, browser, mut authenticator) = user_with_passkey(&host).await;
    let good = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
    for (field, value) in [
        ("clientDataJSON", "bm90IGpzb24"),
        ("clientDataJSON", ""),
        ("authenticatorData", "AAAA"),
        ("signature", "AAAA"),
        ("userHandle", "AAAA"),
    ] {
        let mut bad = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
        bad["response"][field] = value.into();
        assert_status(&send(&browser, "/passkeys/log-in", &bad).await, 422);
    }
    let mut other = good.clone();
    other["rawId"] = "AAAA".into();
    assert_status(&send(&browser, "/passkeys/log-in", &other).await, 422);
}

#[tokio::test]
async fn a_user_cannot_exceed_the_limit_of_passkeys() {
    let host = Host::with(|config| config.passkeys_per_user(1)).await;
    let (user, _) = host.mfa_fixture().await;
    let [here, there] = [host.client(), host.client()];
    for browser in [&here, &there] {
        host.post_log_in(browser, &user, false).await;
        let code = host.totp_code(&user).await;
        assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, 200);
        host.clock().advance(30 * SECOND);
    }
    // The challenge is from before the limit was reached.
    let late = Authenticator::new().register(&challenge(&there, "/passkeys/register").await);
    register(&here, &mut Authenticator::new()).await;
    assert_status(&send(&there, "/passkeys/register", &late).await, 409);
    assert_status(&here.get("/passkeys/register").await, 409);
    let factors = host.sigra.mfa().list(&user.id).await.unwrap();
    assert_eq!((factors.passkeys.len(), host.sigra.passkeys().can_add(&factors)), (1, false));
}
