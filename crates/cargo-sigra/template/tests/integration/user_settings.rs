//! Changing the email address and the password.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{Host, email_form, password_form, seen};
use axum::{Router, routing::get};
use my_app::accounts::AccountError;
use sigra::{
    CookieSession, Error, Password,
    config::Argon2Params,
    testing::{TestClient, TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status},
};
use tokio::task::JoinSet;

const NEW: &str = "a quite different password";
const EMAIL: &str = "/users/settings/email";
const PASSWORD: &str = "/users/settings/password";

#[tokio::test]
async fn settings_require_a_recent_login() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_status(&browser.get("/users/settings").await, 200);
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_status(&browser.get("/users/settings").await, 200);
    for section in [EMAIL, PASSWORD, "/users/settings/delete"] {
        assert_redirected_to(&browser.get(section).await, "/users/sudo");
    }
    assert_redirected_to(&browser.put(PASSWORD, &password_form(NEW, NEW)).await, "/users/sudo");
    assert_redirected_to(&browser.put(EMAIL, &email_form("new@example.com")).await, "/users/sudo");
    assert_redirected_to(&browser.delete("/users/settings").await, "/users/sudo");
    assert_redirected_to(&browser.put(EMAIL, &email_form("new@example.com")).await, "/users/sudo");
    assert_eq!(host.mails_to(&user.email).await.len(), 0);
    // The form can't be sent again automatically, so its user returns to it.
    assert_redirected_to(&browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await, EMAIL);
    assert_redirected_to(&browser.put(PASSWORD, &password_form(NEW, NEW)).await, "/users/settings");
    assert_redirected_to(&host.client().get("/users/settings").await, "/users/log-in");
}

// <magic_link>
/// OWASP ASVS 6.2.3.
#[tokio::test]
async fn a_user_who_logged_in_without_the_password_must_enter_it_to_change_it() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.confirm(&user).await;
    let browser = host.client();
    browser.post("/users/log-in/link", &email_form(&user.email)).await;
    browser.post(&host.link_to(&user.email).await, &[]).await;
    assert_contains(&browser.get(PASSWORD).await, "Current password");

    let with = |current| [password_form(NEW, NEW), vec![("user[current_password]", current)]].concat();
    for form in [password_form(NEW, NEW), with(""), with("a guess of somebody else")] {
        let refused = browser.put(PASSWORD, &form).await;
        assert_status(&refused, 422);
        assert_contains(&refused, "That isn&#39;t your current password.");
    }
    // <api>
    let program = sigra::testing::TestClient::new(host.api.clone()).json();
    browser.cookies().iter().for_each(|(name, value)| program.set_cookie(name, value));
    let change = |body: String| {
        let request = axum::http::Request::put(PASSWORD).header("content-type", "application/json");
        request.body(body.into()).expect("a request")
    };
    let refused = program.send(change(format!(r#"{{"password":"{NEW}"}}"#))).await;
    assert_status(&refused, 422);
    assert_contains(&refused, "current_password");
    // </api>
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_redirected_to(&browser.put(PASSWORD, &with(VALID_PASSWORD)).await, "/users/settings");
    assert!(host.can_log_in(&user.email, NEW).await);

    // A password that was entered at login or for sudo mode isn't asked for again.
    let browser = host.client();
    browser.post("/users/log-in", &crate::support::login_form(&user.email, NEW)).await;
    assert!(!browser.get(PASSWORD).await.text().contains("Current password"));
    assert_redirected_to(
        &browser.put(PASSWORD, &password_form(VALID_PASSWORD, VALID_PASSWORD)).await,
        "/users/settings",
    );
}
// </magic_link>

#[tokio::test]
async fn a_form_sent_after_sudo_mode_expired_returns_to_its_page_and_says_why() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    let confirm = [("user[password]", VALID_PASSWORD)];
    host.clock().advance(Duration::from_secs(20 * 60));
    let sent = browser.put(PASSWORD, &password_form(NEW, NEW)).await;
    assert_redirected_to(&sent, "/users/sudo");
    assert_contains(&browser.follow(&sent).await, "then send the form again.");
    assert_redirected_to(&browser.post("/users/sudo", &confirm).await, PASSWORD);
    // <mfa>
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_redirected_to(&browser.post("/users/settings/mfa/totp", &[("user[code]", "1")]).await, "/users/sudo");
    assert_redirected_to(&browser.post("/users/sudo", &confirm).await, "/users/settings/mfa");
    // </mfa>
}

#[tokio::test]
async fn invariant_9_a_new_password_ends_all_other_sessions() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let (other, thief) = (host.log_in(&user).await, browser.fork());
    let cookies = browser.cookies();

    assert_redirected_to(&browser.put(PASSWORD, &password_form(NEW, NEW)).await, "/users/settings");

    assert_status(&browser.get("/dashboard").await, 200);
    assert_ne!(browser.cookies(), cookies, "the session has a new token");
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert!(host.can_log_in(&user.email, NEW).await && !host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.mails_to(&user.email).await.iter().any(|mail| mail.subject == "Your password was changed"));
}

/// A thief in the account keeps changing its password. The reset links in the owner's mailbox must stay valid.
#[tokio::test]
async fn invariant_9_a_new_password_leaves_a_reset_link_valid() {
    let host = Host::new().await;
    let (user, thief) = host.authenticated_fixture().await;
    let mut links = Vec::new();
    for number in 0..3 {
        host.client().post("/users/reset-password", &email_form(&user.email)).await;
        links.push(host.link_to(&user.email).await);
        let password = format!("the thief's password {number}");
        assert_redirected_to(&thief.put(PASSWORD, &password_form(&password, &password)).await, "/users/settings");
    }
    let owner = host.client();
    for link in &links {
        assert_status(&owner.get(link).await, 200);
    }
    assert_redirected_to(&owner.put(&links[0], &password_form(NEW, NEW)).await, "/users/log-in");
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert!(host.can_log_in(&user.email, NEW).await);
    assert_redirected_to(&owner.get(&links[1]).await, "/users/reset-password");
}

/// CVE-2021-41268: a remembered browser stayed logged in.
#[tokio::test]
async fn invariant_9_a_remember_me_cookie_does_not_survive_a_new_password() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let remembered = host.client();
    let mut form = crate::support::login_form(&user.email, VALID_PASSWORD);
    form.push(("user[remember_me]", "true"));
    remembered.post("/users/log-in", &form).await;
    browser.put(PASSWORD, &password_form(NEW, NEW)).await;
    remembered.close_and_reopen();
    assert_redirected_to(&remembered.get("/dashboard").await, "/users/log-in");
}

/// The first one ends the other sessions, and with them their pending changes.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_9_the_first_of_several_concurrent_password_changes_wins() {
    let host = Host::new().await;
    for _ in 0..5 {
        let user = host.registered_fixture().await;
        let mut browsers = Vec::new();
        for _ in 0..6 {
            browsers.push(host.log_in(&user).await);
        }
        let mut changes = JoinSet::new();
        for (number, browser) in browsers.into_iter().enumerate() {
            changes.spawn(async move {
                let password = format!("the password of number {number}");
                let response = browser.put(PASSWORD, &password_form(&password, &password)).await;
                let is_in = browser.get("/dashboard").await.status() == 200;
                (password, response.location() == Some("/users/settings") && is_in)
            });
        }
        let kept: Vec<String> =
            changes.join_all().await.into_iter().filter_map(|(password, is_in)| is_in.then_some(password)).collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(host.sigra().sessions().list(&user.id).await.expect("sessions").len(), 1);
        assert!(host.can_log_in(&user.email, &kept[0]).await);
    }
}

#[tokio::test]
async fn the_forms_work_without_javascript() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for action in [EMAIL, PASSWORD] {
        assert_contains(&browser.get("/users/settings").await, &format!("href=\"{action}\""));
        assert_contains(&browser.get(action).await, &format!("action=\"{action}\" method=\"post\""));
    }
    let mut form = password_form(NEW, NEW);
    form.push(("_method", "put"));
    assert_redirected_to(&browser.post(PASSWORD, &form).await, "/users/settings");
    assert!(host.can_log_in(&user.email, NEW).await);
}

#[tokio::test]
async fn an_invalid_password_changes_nothing() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    for (password, confirmation, problem) in [
        ("tooshort", "tooshort", "at least 15 characters"),
        (NEW, "something else", "The passwords don&#39;t match."),
        ("tooshort", "shorter", "at least 15 characters"),
        ("tooshort", "shorter", "The passwords don&#39;t match."),
    ] {
        let response = browser.put(PASSWORD, &password_form(password, confirmation)).await;
        assert_status(&response, 422);
        assert_contains(&response, problem);
    }
    assert_status(&other.get("/dashboard").await, 200);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn an_email_address_is_changed_with_a_link_to_the_new_one() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_redirected_to(&browser.put(EMAIL, &email_form("New@example.com")).await, "/users/settings");
    let link = host.link_to("new@example.com").await;
    assert_eq!(host.mails_to(&user.email).await[0].subject, "Request to change your email address");
    assert_status(&browser.get(&link).await, 200);
    assert_eq!(host.reload(&user).await.email, user.email, "opening the link changes nothing");

    assert_redirected_to(&host.client().get(&link).await, "/users/log-in");
    let (_, stranger) = host.authenticated_fixture().await;
    assert_redirected_to(&stranger.post(&link, &[]).await, "/users/settings");
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/settings");

    assert!(host.can_log_in("new@example.com", VALID_PASSWORD).await);
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_contains(&browser.get("/dashboard").await, "new@example.com");
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/settings");
    assert_eq!(
        host.mails_to(&user.email).await.last().map(|mail| &*mail.subject),
        Some("Your email address was changed")
    );
}

#[tokio::test]
async fn an_address_that_is_stored_with_capitals_can_be_changed_to_its_normal_form() {
    let host = Host::new().await;
    for is_confirmed in [false, true] {
        let (user, browser) = host.authenticated_fixture().await;
        let stored = host.capitalize(&user).await;
        if is_confirmed {
            host.confirm(&stored).await;
        }
        assert_redirected_to(&browser.put(EMAIL, &email_form(&user.email)).await, "/users/settings");
        assert_redirected_to(&browser.post(&host.link_to(&user.email).await, &[]).await, "/users/settings");
        assert_eq!(host.reload(&stored).await.email, user.email);
    }
}

#[tokio::test]
async fn a_reset_link_to_the_old_address_becomes_invalid() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let reset = host.link_to(&user.email).await;
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    let log_in = host.link_to(&user.email).await;
    // </magic_link>
    browser.put(EMAIL, &email_form("new@example.com")).await;
    browser.post(&host.link_to("new@example.com").await, &[]).await;

    assert_redirected_to(&host.client().put(&reset, &password_form(NEW, NEW)).await, "/users/reset-password");
    // <magic_link>
    let reader = host.client();
    reader.post(&log_in, &[]).await;
    assert_redirected_to(&reader.get("/dashboard").await, "/users/log-in");
    // </magic_link>
    assert!(host.can_log_in("new@example.com", VALID_PASSWORD).await);
}

#[tokio::test]
async fn a_link_is_invalid_after_another_request_or_a_day() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    browser.put(EMAIL, &email_form("first@example.com")).await;
    let first = host.link_to("first@example.com").await;
    browser.put(EMAIL, &email_form("second@example.com")).await;
    let second = host.link_to("second@example.com").await;
    assert_redirected_to(&browser.get(&first).await, "/users/settings");
    assert_redirected_to(&browser.post(&first, &[]).await, "/users/settings");
    assert_eq!(host.reload(&user).await.email, user.email);

    host.clock().advance(Duration::from_secs(24 * 60 * 60));
    let later = host.log_in(&user).await;
    assert_redirected_to(&later.post(&second, &[]).await, "/users/settings");
    assert_eq!(host.reload(&user).await.email, user.email);
}

/// The change also renews the session, so that a stolen cookie becomes invalid.
#[tokio::test]
async fn invariant_3_a_new_address_gives_the_session_a_new_token() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    browser.put(EMAIL, &email_form("new@example.com")).await;
    let link = host.link_to("new@example.com").await;
    let thief = browser.fork();
    browser.post(&link, &[]).await;
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert_status(&browser.get("/dashboard").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_only_one_of_many_concurrent_uses_of_a_link_changes_the_address() {
    let host = Host::new().await;
    for round in 0..5 {
        let (user, browser) = host.authenticated_fixture().await;
        let new = format!("new{round}@example.com");
        browser.put(EMAIL, &email_form(&new)).await;
        let link = host.link_to(&new).await;
        let mut tries = JoinSet::new();
        for _ in 0..16 {
            let (device, link) = (host.log_in(&user).await, link.clone());
            tries.spawn(async move {
                let response = device.post(&link, &[]).await;
                device.follow(&response).await.text().contains("Your email address was changed.")
            });
        }
        assert_eq!(tries.join_all().await.into_iter().filter(|changed| *changed).count(), 1);
        let notices = host.mails_to(&user.email).await;
        assert_eq!(notices.iter().filter(|mail| mail.subject == "Your email address was changed").count(), 1);
    }
}

/// Two users get links to the same address. The first to use theirs gets it.
#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_several_concurrent_claims_to_an_address_succeeds() {
    let host = Host::new().await;
    for round in 0..5 {
        let wanted = format!("wanted{round}@example.com");
        let mut claims = JoinSet::new();
        for _ in 0..6 {
            let (_, browser) = host.authenticated_fixture().await;
            browser.put(EMAIL, &email_form(&wanted)).await;
            let (link, wanted) = (host.link_to(&wanted).await, wanted.clone());
            claims.spawn(async move {
                browser.post(&link, &[]).await;
                browser.get("/dashboard").await.text().contains(&wanted)
            });
        }
        assert_eq!(claims.join_all().await.into_iter().filter(|has_it| *has_it).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_several_concurrent_email_changes_stays_pending() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..5 {
        let (user, _) = host.authenticated_fixture().await;
        let mut browsers = Vec::new();
        for _ in 0..8 {
            browsers.push(host.log_in(&user).await);
        }
        let mut requests = JoinSet::new();
        for (number, browser) in browsers.into_iter().enumerate() {
            let email = format!("new{round}-{number}@example.com");
            requests.spawn(async move { browser.put(EMAIL, &email_form(&email)).await.status() });
        }
        assert!(requests.join_all().await.iter().all(|status| *status == 303));
        host.mails_to(&user.email).await;
        let pending = "SELECT count(*) FROM users_tokens WHERE user_id = $1 AND context LIKE 'change:%'";
        let pending: i64 = sqlx::query_scalar(pending).bind(user.id).fetch_one(&host.pool).await.expect("a count");
        assert_eq!(pending, 1);
    }
}

/// CVE-2026-32700: an address was confirmed with the link that was sent to another.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_sets_only_the_address_that_it_was_sent_to() {
    let host = Host::new().await;
    for round in 0..10 {
        let (_, browser) = host.authenticated_fixture().await;
        let (theirs, mine) = (format!("victim{round}@example.com"), format!("mine{round}@example.com"));
        let (a, b) = (email_form(&theirs), email_form(&mine));
        let (one, two) = tokio::join!(browser.put(EMAIL, &a), browser.put(EMAIL, &b));
        assert!(one.status() == 303 && two.status() == 303);
        let link = host.link_to(&mine).await;
        let page = browser.get(&link).await;
        assert!(!page.text().contains(&theirs), "the page shows the other address");
        browser.post(&link, &[]).await;
        assert!(!browser.get("/dashboard").await.text().contains(&theirs), "the link to {theirs} was not opened");
    }
}

#[tokio::test]
async fn a_taken_address_looks_the_same_and_its_owner_is_notified() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let owner = host.registered_fixture().await;
    host.confirm(&owner).await;
    let ask = async |email: &str| {
        let response = browser.put(EMAIL, &email_form(email)).await;
        assert_redirected_to(&response, "/users/settings");
        (seen(&response), seen(&browser.follow(&response).await))
    };
    assert_eq!(ask(&owner.email.to_uppercase()).await, ask("free@example.com").await);
    assert_eq!(host.mails_to(&owner.email).await[0].subject, "You already have an account");

    assert_redirected_to(&browser.put(EMAIL, &email_form("soon@example.com")).await, "/users/settings");
    let link = host.link_to("soon@example.com").await;
    let first = host.register("soon@example.com", &sigra::Password::new(VALID_PASSWORD)).await;
    host.confirm(&first).await;
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/settings");
    assert!(!browser.get("/dashboard").await.text().contains("soon@example.com"));
}

#[tokio::test]
async fn an_invalid_address_is_refused_beside_its_field() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for (email, problem) in [
        ("none", "Enter a valid email address."),
        ("a@b@example.com", "Enter a valid email address."),
        (&*user.email, "This is already your email address."),
    ] {
        let response = browser.put(EMAIL, &email_form(email)).await;
        assert_status(&response, 422);
        assert_contains(&response, problem);
    }
}

/// Someone registered the address and never confirmed it.
#[tokio::test]
async fn an_address_goes_to_the_user_who_proves_ownership_and_the_unconfirmed_account_is_deleted() {
    let host = Host::new().await;
    let (squatter, theirs) = host.authenticated_fixture().await;
    let (user, browser) = host.authenticated_fixture().await;
    browser.put(EMAIL, &email_form(&squatter.email)).await;
    assert_status(&theirs.get("/dashboard").await, 200);
    browser.post(&host.link_to(&squatter.email).await, &[]).await;

    assert_contains(&browser.get("/dashboard").await, &squatter.email);
    assert_eq!(host.reload(&squatter).await.id, user.id);
    assert_redirected_to(&theirs.get("/dashboard").await, "/users/log-in");
    let events = host.accounts.list_user_activity(&squatter, None).await.expect("events").events;
    assert_eq!(events[0].action, "auth.account.deleted");
}

/// Neither has confirmed their own address. The first to use their link gets the other's address, and the other account
/// is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn two_users_who_claim_each_others_addresses_get_no_error_and_one_succeeds() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..10 {
        let (ada, adas) = host.authenticated_fixture().await;
        let (bea, beas) = host.authenticated_fixture().await;
        adas.put(EMAIL, &email_form(&bea.email)).await;
        let to_bea = host.link_to(&bea.email).await;
        beas.put(EMAIL, &email_form(&ada.email)).await;
        let to_ada = host.link_to(&ada.email).await;
        let (first, second) = tokio::join!(
            tokio::spawn(async move { (adas.post(&to_bea, &[]).await.status(), adas) }),
            tokio::spawn(async move { (beas.post(&to_ada, &[]).await.status(), beas) }),
        );
        let ((first, adas), (second, beas)) = (first.expect("a result"), second.expect("a result"));
        assert!(!first.is_server_error() && !second.is_server_error(), "round {round}: {first} {second}");
        let has_it = [(&adas, &bea), (&beas, &ada)].map(async |(browser, wanted)| {
            let page = browser.get("/dashboard").await;
            page.status() == 200 && page.text().contains(&wanted.email)
        });
        let [adas, beas] = has_it;
        assert_eq!(usize::from(adas.await) + usize::from(beas.await), 1, "round {round}");
    }
}

/// A concurrent confirmation and claim: one of the two gets the address, and has an account.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_concurrent_claim_and_confirmation_give_an_address_to_one_user() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..10 {
        let (squatter, theirs) = host.authenticated_fixture().await;
        let (user, browser) = host.authenticated_fixture().await;
        host.client().post("/users/confirm", &email_form(&squatter.email)).await;
        let confirm = host.link_to(&squatter.email).await;
        browser.put(EMAIL, &email_form(&squatter.email)).await;
        let claim = host.link_to(&squatter.email).await;
        tokio::join!(theirs.post(&confirm, &[]), browser.post(&claim, &[]));
        let holder = host.reload(&squatter).await;
        assert!(holder.confirmed_at.is_some(), "round {round}");
        assert_eq!(theirs.get("/dashboard").await.status() == 200, holder.id == squatter.id, "round {round}");
        let claimed = browser.get("/dashboard").await.text().contains(&squatter.email);
        assert_eq!(claimed, holder.id == user.id, "round {round}");
    }
}

/// Requests an email change. Returns the subjects of the emails to the user, and the status of their earlier link.
async fn request_email_change(host: &Host, wanted: &str) -> (Vec<String>, u16) {
    let (user, browser) = host.authenticated_fixture().await;
    let own = host.unique_email();
    browser.put(EMAIL, &email_form(&own)).await;
    let pending = host.link_to(&own).await;
    assert_redirected_to(&browser.put(EMAIL, &email_form(wanted)).await, "/users/settings");
    let subjects = host.mails_to(&user.email).await.into_iter().map(|mail| mail.subject).collect();
    (subjects, browser.get(&pending).await.status().as_u16())
}

#[tokio::test]
async fn invariant_5_requesting_an_email_change_does_not_reveal_whether_the_address_is_taken() {
    let host = Host::new().await;
    let taken = host.registered_fixture().await;
    host.confirm(&taken).await;
    let free = host.unique_email();
    assert_eq!(request_email_change(&host, &taken.email).await, request_email_change(&host, &free).await);
    assert_eq!(host.mails_to(&taken.email).await[0].subject, "You already have an account");
    assert_eq!(host.mails_to(&free).await[0].subject, "Confirm your new email address");
}

#[tokio::test]
async fn messages_of_two_tabs_at_the_same_moment_are_both_shown() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let send = |path: &str, form: &'static str| {
        let form_type = "application/x-www-form-urlencoded";
        axum::http::Request::post(path).header("content-type", form_type).body(form.into()).expect("a request")
    };
    let tabs = [browser.fork(), browser.fork()];
    let asked = tabs[0].send_without_storing(send(EMAIL, "_method=put&user%5Bemail%5D=new%40example.com")).await;
    let ended = tabs[1].send_without_storing(send("/users/sessions/others", "_method=delete")).await;
    browser.store(&asked);
    browser.store(&ended);
    let page = browser.get("/users/settings").await;
    assert_contains(&page, "Open the link in the email that is on its way to your new address.");
    assert_contains(&page, "You are logged in on this device only.");
    assert!(!browser.get("/users/settings").await.text().contains("this device only"), "the message is shown once");
}

/// One account must not keep the password workers busy or fill a table.
#[tokio::test]
async fn changes_to_an_account_are_limited_by_user() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for number in 0..20 {
        let password = format!("the password of number {number}");
        let response = browser.put(PASSWORD, &password_form(&password, &password)).await;
        assert_redirected_to(&response, "/users/settings");
    }
    let refused = browser.put(PASSWORD, &password_form(NEW, NEW)).await;
    assert_status(&refused, 429);
    assert_contains(&refused, "Too many attempts. Try again in 10 seconds.");
    host.clock().advance(Duration::from_secs(10));
    assert_redirected_to(&browser.put(PASSWORD, &password_form(NEW, NEW)).await, "/users/settings");
    assert!(host.can_log_in(&user.email, NEW).await);

    for number in 0..20 {
        let response = browser.put(EMAIL, &email_form(&format!("number{number}@example.com"))).await;
        assert_redirected_to(&response, "/users/settings");
    }
    assert_status(&browser.put(EMAIL, &email_form("another@example.com")).await, 429);
}

/// Returns the session of a visitor's request.
async fn session(host: &Host) -> CookieSession {
    let (found, session) = tokio::sync::oneshot::channel();
    let found = Arc::new(Mutex::new(Some(found)));
    let handler = get(async move |session: CookieSession| {
        let found = found.lock().expect("no panic").take().expect("one request");
        assert!(found.send(session).is_ok(), "the test waits for the session");
    });
    TestClient::new(Router::new().route("/", handler).layer(host.sigra().fetch_current_scope())).get("/").await;
    session.await.expect("a session")
}

/// Ends every session in the transaction that writes an audit event, as if it ended concurrently.
async fn end_sessions_with(host: &Host, action: &str) {
    // <sqlite>
    // <template>
    #[cfg(not(feature = "postgres"))]
    // </template>
    let trigger = format!(
        "CREATE TRIGGER \"end sessions with {action}\" AFTER INSERT ON audit_events WHEN NEW.action = '{action}'
         BEGIN DELETE FROM users_tokens WHERE context = 'session'; END"
    );
    // </sqlite>
    // <postgres>
    // <template>
    #[cfg(feature = "postgres")]
    // </template>
    let trigger = format!(
        "CREATE OR REPLACE FUNCTION end_sessions() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN DELETE FROM users_tokens WHERE context = 'session'; RETURN NULL; END $$;
         CREATE TRIGGER \"end sessions with {action}\" AFTER INSERT ON audit_events
         FOR EACH ROW WHEN (NEW.action = '{action}')
         EXECUTE FUNCTION end_sessions()"
    );
    // </postgres>
    sqlx::raw_sql(sqlx::AssertSqlSafe(trigger)).execute(&host.pool).await.expect("a trigger");
}

/// Renewing the session is part of the change: if it fails, nothing is changed and no email is sent.
#[tokio::test]
async fn invariant_17_a_change_fails_if_its_session_ends_in_the_meantime() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    browser.put(EMAIL, &email_form("new@example.com")).await;
    let link = host.link_to("new@example.com").await;
    let mails = host.mails_to(&user.email).await.len();
    for action in [sigra::audit::PASSWORD_CHANGED, sigra::audit::EMAIL_CHANGED] {
        end_sessions_with(&host, action).await;
        let changes_password = action == sigra::audit::PASSWORD_CHANGED;
        let response = match changes_password {
            true => browser.put(PASSWORD, &password_form(NEW, NEW)).await,
            false => browser.post(&link, &[]).await,
        };
        assert_status(&response, 401);
        // <api>
        let program = TestClient::new(host.api.clone()).json();
        browser.cookies().iter().for_each(|(name, value)| program.set_cookie(name, value));
        let request = match changes_password {
            true => axum::http::Request::put(PASSWORD).body(format!(r#"{{"password":"{NEW}"}}"#).into()),
            false => axum::http::Request::post(&link).body(axum::body::Body::empty()),
        };
        let mut request = request.expect("a request");
        request.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("application/json"));
        assert_status(&program.send(request).await, 401);
        // </api>
    }
    assert_eq!(host.mails_to(&user.email).await.len(), mails);
    assert_status(&browser.get("/dashboard").await, 200);
    assert_status(&browser.get(&link).await, 200);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

/// Requests whose session ended while they waited compute no password hash.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_hashed_for_a_session_that_has_ended() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = host.open_session(&user).await;
    let scope = host.scope_of(&token).await.expect("logged in");
    // The only worker is busy for longer than the test takes on a slow machine.
    let slow = Argon2Params::new(32 * 1024, 1000, 1);
    let accounts = host.with_password_worker(slow, Duration::from_millis(10));
    let (session, new) = (session(&host).await, Password::new(NEW));
    let current = Password::new(VALID_PASSWORD);
    let mut hash = std::pin::pin!(accounts.sigra().hash_password(&new));
    assert!(tokio::time::timeout(Duration::ZERO, &mut hash).await.is_err(), "it has begun");
    let refused = accounts.update_user_password(&session, &scope, Some(&current), &new, &new).await;
    assert!(matches!(refused, Err(AccountError::Sigra(Error::PasswordWorkersBusy))), "{refused:?}");
    host.sigra().delete_session(&token).await.expect("logged out");
    let refused = accounts.update_user_password(&session, &scope, Some(&current), &new, &new).await;
    assert!(matches!(refused, Err(AccountError::Sigra(Error::SessionEnded))), "{refused:?}");
    let refused = accounts.confirm_sudo_by_password(&session, &scope, &new).await;
    assert!(matches!(refused, Err(Error::SessionEnded)), "{refused:?}");
    assert!(tokio::time::timeout(Duration::ZERO, &mut hash).await.is_err(), "the worker was busy all the time");
}
