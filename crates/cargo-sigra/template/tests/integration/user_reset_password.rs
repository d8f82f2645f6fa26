//! Resetting a password with a link.

use std::time::Duration;

use crate::support::{Host, as_long_as, email_form, login_form, password_form, seen, seen_apart_from};
use axum::{body::Body, http::Request};
use sigra::testing::{
    TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_sessions_invalidated, assert_status,
};
use tokio::task::JoinSet;

const NEW: &str = "a quite different password";

async fn requested_link(host: &Host) -> (my_app::accounts::User, String) {
    let user = host.registered_fixture().await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    (user, link)
}

#[tokio::test]
async fn invariant_5_requesting_a_link_gets_the_same_response_for_every_address() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let ask = async |email: &str| {
        let browser = host.client();
        let response = browser.post("/users/reset-password", &email_form(email)).await;
        assert_redirected_to(&response, "/users/check-email");
        let page = browser.follow(&response).await;
        assert_contains(&page, "If there is an account for");
        (seen(&response), seen_apart_from(&page, email))
    };
    assert_eq!(ask(&user.email).await, ask(&as_long_as(&user.email)).await);
    for email in ["nobody@example.com", "no address", "", "\0", "a@b\r\nBcc: eve@example.com", &"a".repeat(10_000)] {
        ask(email).await;
    }
    let mails = host.mails_to(&user.email).await;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].html.as_deref().expect("HTML too").contains("/users/reset-password/"));
}

/// CVE-2019-19844: a lookalike address finds no user, and emails go to the stored address.
#[tokio::test]
async fn the_email_goes_only_to_the_stored_address() {
    let host = Host::new().await;
    host.register("mike@example.com", &sigra::Password::new(VALID_PASSWORD)).await;
    for typed in [
        "mi\u{212a}e@example.com",
        "m\u{131}ke@example.com",
        "mike\u{ff20}example.com",
        "mike@example.com,eve@example.com",
        "mike@example.com\neve@example.com",
        "mike@example.com\0eve@example.com",
    ] {
        host.client().post("/users/reset-password", &email_form(typed)).await;
        assert!(host.mails_to(typed).await.is_empty() && host.mails_to("mike@example.com").await.is_empty(), "{typed}");
    }
    host.client().post("/users/reset-password", &email_form(" MIKE@example.com")).await;
    assert_eq!(host.mails_to("mike@example.com").await.len(), 1);
}

#[tokio::test]
async fn invariant_14_links_are_built_only_from_the_public_url() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let request = Request::post("/users/reset-password")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("user%5Bemail%5D={}", user.email.replace('@', "%40"))));
    host.client().send(request.expect("a request")).await;
    let mails = host.mails_to(&user.email).await;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].text.contains("http://localhost:4000/users/reset-password/"), "{}", mails[0].text);
    let html = mails[0].html.as_deref().expect("HTML too");
    assert!(!mails[0].text.contains("evil") && !html.contains("evil"), "{html}");

    let host = Host::with(&[("PUBLIC_URL", "https://app.example.com")]).await;
    let user = host.registered_fixture().await;
    let browser = host.client().origin("https://app.example.com");
    browser.post("/users/reset-password", &email_form(&user.email)).await;
    assert!(host.mails_to(&user.email).await[0].text.contains("https://app.example.com/users/reset-password/"));
}

#[tokio::test]
async fn invariant_9_a_reset_ends_every_session_and_every_link() {
    let host = Host::new().await;
    let (user, first) = requested_link(&host).await;
    let (laptop, phone) = (host.log_in(&user).await, host.log_in(&user).await);
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let second = host.link_to(&user.email).await;
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    let log_in = host.link_to(&user.email).await;
    // </magic_link>

    let browser = host.client();
    assert_redirected_to(&browser.put(&first, &password_form(NEW, NEW)).await, "/users/log-in");

    assert_sessions_invalidated(host.sigra(), &user).await;
    assert_eq!(host.count_tokens().await, 0);
    for device in [&laptop, &phone] {
        assert_redirected_to(&device.get("/dashboard").await, "/users/log-in");
    }
    assert_redirected_to(
        &browser.put(&second, &password_form(VALID_PASSWORD, VALID_PASSWORD)).await,
        "/users/reset-password",
    );
    // <magic_link>
    assert_redirected_to(&browser.post(&log_in, &[]).await, "/users/log-in");
    // </magic_link>
    assert!(host.can_log_in(&user.email, NEW).await && !host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.reload(&user).await.confirmed_at.is_some(), "using the link confirms the address");
    assert!(host.mails_to(&user.email).await.iter().any(|mail| mail.subject == "Your password was changed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_only_one_of_many_concurrent_uses_of_a_link_succeeds() {
    let host = Host::new().await;
    for _ in 0..5 {
        let (user, link) = requested_link(&host).await;
        let mut tries = JoinSet::new();
        for number in 0..16 {
            let (browser, link) = (host.client(), link.clone());
            tries.spawn(async move {
                let password = format!("the password of number {number}");
                let response = browser.put(&link, &password_form(&password, &password)).await;
                (response.location() == Some("/users/log-in")).then_some(password)
            });
        }
        let winners: Vec<String> = tries.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert!(host.can_log_in(&user.email, &winners[0]).await);
    }
}

#[tokio::test]
async fn a_refused_password_leaves_the_link_valid() {
    let host = Host::new().await;
    let (user, link) = requested_link(&host).await;
    let browser = host.client();
    for (password, confirmation, problem) in [
        ("tooshort", "tooshort", "should be at least 15 characters"),
        ("passwordpassword", "passwordpassword", "This password is too common."),
        (NEW, "something else entirely", "The passwords don&#39;t match."),
        (&*user.email, &*user.email, "too close to your email address"),
        ("tooshort", "shorter", "should be at least 15 characters"),
        ("tooshort", "shorter", "The passwords don&#39;t match."),
    ] {
        let response = browser.put(&link, &password_form(password, confirmation)).await;
        assert_status(&response, 422);
        assert_contains(&response, problem);
        assert!(!response.text().contains(NEW));
    }
    assert_redirected_to(&browser.put(&link, &password_form(NEW, NEW)).await, "/users/log-in");
}

#[tokio::test]
async fn a_link_expires_after_an_hour_and_its_page_is_not_cached() {
    let host = Host::new().await;
    let (_, link) = requested_link(&host).await;
    let browser = host.client();
    let refused = browser.put(&link, &password_form("tooshort", "tooshort")).await;
    for page in [browser.get(&link).await, refused] {
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("strict-origin"), "the token goes to no other site");
    }
    host.clock().advance(Duration::from_secs(60 * 60));
    assert_redirected_to(&host.client().get(&link).await, "/users/reset-password");
    assert_redirected_to(&host.client().put(&link, &password_form(NEW, NEW)).await, "/users/reset-password");

    let host = Host::with(&[("RESET_TTL", "60")]).await;
    let (user, link) = requested_link(&host).await;
    host.clock().advance(Duration::from_secs(60));
    assert_redirected_to(&host.client().put(&link, &password_form(NEW, NEW)).await, "/users/reset-password");
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn the_form_works_without_javascript() {
    let host = Host::new().await;
    let (user, link) = requested_link(&host).await;
    let browser = host.client();
    let page = browser.get(&link).await;
    assert_contains(&page, &format!("action=\"{link}\" method=\"post\""));
    assert_contains(&page, "<input type=\"hidden\" name=\"_method\" value=\"put\">");
    let mut form = password_form(NEW, NEW);
    form.push(("_method", "put"));
    assert_redirected_to(&browser.post(&link, &form).await, "/users/log-in");
    assert!(host.can_log_in(&user.email, NEW).await);
}

/// A link that was sent to an old address of the user, which someone else may read now.
#[tokio::test]
async fn a_link_to_an_old_address_is_invalid() {
    let host = Host::new().await;
    let (user, link) = requested_link(&host).await;
    let change = sqlx::query("UPDATE users SET email = 'new@example.com' WHERE id = $1").bind(user.id);
    change.execute(&host.pool).await.expect("updated");
    assert_redirected_to(&host.client().get(&link).await, "/users/reset-password");
    assert_redirected_to(&host.client().put(&link, &password_form(NEW, NEW)).await, "/users/reset-password");
    assert!(host.can_log_in("new@example.com", VALID_PASSWORD).await);
}

/// An attacker registers the victim's address and requests to change it to their own. The link must not outlive the
/// victim's reset, or the attacker could take the account over.
#[tokio::test]
async fn invariant_9_a_reset_revokes_a_pending_email_change() {
    let host = Host::new().await;
    let (victim, attacker) = host.authenticated_fixture().await;
    attacker.put("/users/settings/email", &email_form("eve@example.com")).await;
    let takeover = host.link_to("eve@example.com").await;
    host.client().post("/users/reset-password", &email_form(&victim.email)).await;
    let link = host.link_to(&victim.email).await;
    host.client().put(&link, &password_form(NEW, NEW)).await;

    assert_status(&attacker.post(&takeover, &[]).await, 401);
    let owner = host.client();
    owner.post("/users/log-in", &login_form(&victim.email, NEW)).await;
    assert_redirected_to(&owner.post(&takeover, &[]).await, "/users/settings");
    assert!(host.can_log_in(&victim.email, NEW).await);
}

/// A thief who sent most of a form before the reset must not change the password after it.
#[tokio::test]
async fn invariant_9_a_request_from_before_the_reset_does_not_change_the_password_after_it() {
    const THIEFS: &str = "the password of a thief";
    let host = Host::new().await;
    let (user, link) = requested_link(&host).await;
    let (thief, owner) = (host.log_in(&user).await, host.client());
    let body = async move {
        owner.put(&link, &password_form(NEW, NEW)).await;
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(password_form(THIEFS, THIEFS)).finish();
        Ok::<_, std::convert::Infallible>(form)
    };
    let slow = Request::put("/users/settings/password")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from_stream(futures_util::stream::once(body)));
    assert_status(&thief.send(slow.expect("a request")).await, 401);

    assert_sessions_invalidated(host.sigra(), &user).await;
    assert!(!host.can_log_in(&user.email, THIEFS).await);
    assert!(host.can_log_in(&user.email, NEW).await);
}

/// Both lock the same rows: on PostgreSQL they must not deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_succeeds_during_concurrent_logins() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for _ in 0..10 {
        let (user, link) = requested_link(&host).await;
        let mut logins = JoinSet::new();
        for _ in 0..6 {
            let (browser, email) = (host.log_in(&user).await, user.email.clone());
            logins.spawn(async move {
                for _ in 0..3 {
                    let response = browser.post("/users/log-in", &login_form(&email, VALID_PASSWORD)).await;
                    assert!(!response.status().is_server_error(), "{response:?}");
                }
            });
        }
        tokio::task::yield_now().await;
        assert_redirected_to(&host.client().put(&link, &password_form(NEW, NEW)).await, "/users/log-in");
        logins.join_all().await;
        assert_sessions_invalidated(host.sigra(), &user).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_9_the_first_of_several_concurrent_resets_revokes_the_other_links() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for _ in 0..10 {
        let (user, link) = requested_link(&host).await;
        let mut links = vec![link];
        for _ in 0..5 {
            host.client().post("/users/reset-password", &email_form(&user.email)).await;
            links.push(host.link_to(&user.email).await);
        }
        let mut resets = JoinSet::new();
        for link in links {
            let browser = host.client();
            resets.spawn(async move {
                let response = browser.put(&link, &password_form(NEW, NEW)).await;
                assert!(!response.status().is_server_error(), "{response:?}");
                response.location() == Some("/users/log-in")
            });
        }
        assert_eq!(resets.join_all().await.into_iter().filter(|is_reset| *is_reset).count(), 1);
    }
}
