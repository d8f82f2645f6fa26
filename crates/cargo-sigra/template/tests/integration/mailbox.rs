//! The page of sent emails.

use crate::support::{Host, PROD, email_form, login_form};
use axum::{body::Body, http::Request};
use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_problem, assert_status};

#[tokio::test]
async fn emails_can_be_read_and_their_links_opened() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    assert_contains(&host.client().get("/dev/mailbox").await, "No emails yet");
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = format!("href=\"http://localhost:4000{}\"", host.link_to(&user.email).await);
    let page = host.client().get("/dev/mailbox?text=true").await;
    assert_contains(&page, "Reset your password");
    assert_contains(&page, &link);
    assert_contains(&host.client().get("/dev/mailbox").await, "<iframe class=\"mail-html\" src=\"/dev/mailbox/0\"");
    assert_contains(&host.client().get("/dev/mailbox/0").await, &link);
    assert_status(&host.client().get("/dev/mailbox/1").await, 404);
    let mails: serde_json::Value = host.client().json().get("/dev/mailbox").await.json();
    assert_eq!(mails[0]["to"], user.email);
}

#[tokio::test]
async fn an_older_email_can_be_opened() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for path in ["/users/confirm", "/users/reset-password"] {
        host.client().post(path, &email_form(&user.email)).await;
        host.mails_to(&user.email).await;
    }
    for (query, subject) in [
        ("", "Reset your password"),
        ("?mail=1", "Reset your password"),
        ("?mail=0", "Confirm your email address"),
        ("?mail=7", "Reset your password"),
        ("?mail=18446744073709551615", "Reset your password"),
    ] {
        let page = host.client().get(&format!("/dev/mailbox{query}")).await;
        assert_contains(&page, &format!("<h2>{subject}</h2>"));
    }
}

/// The HTML of an email may have texts of other people in it.
#[tokio::test]
async fn the_html_of_an_email_runs_no_script_and_only_our_own_page_can_frame_it() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    host.mails_to(&user.email).await;
    let html = host.client().get("/dev/mailbox/0").await;
    let policy = html.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "frame-ancestors 'self'", "sandbox allow-top-navigation-by-user-activation"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script"), "{policy}");
    let page = host.client().get("/dev/mailbox").await;
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("frame-src 'self'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!host.client().get("/").await.header("content-security-policy").expect("a policy").contains("frame-src"));
}

#[tokio::test]
async fn there_is_no_mailbox_in_production() {
    let host = Host::with(&PROD).await;
    assert_status(&host.client().get("/dev/mailbox/0").await, 404);
    assert_status(&host.client().get("/dev/mailbox").await, 404);
    assert_problem(&host.client().json().get("/dev/mailbox").await, 404);
    let kept_in_memory = Host::with(&[&PROD[..], &[("SMTP_URL", "memory:")]].concat()).await;
    assert_status(&kept_in_memory.client().get("/dev/mailbox").await, 404);
}

/// Another site can point its domain at this machine (DNS rebinding), send requests and read the responses.
#[tokio::test]
async fn the_mailbox_opens_only_at_localhost() {
    let host = Host::with(&[("PUBLIC_URL", "http://app.example.com")]).await;
    let asked_by = async |name: &str| {
        let request = Request::get("/dev/mailbox").header("host", name).body(Body::empty());
        host.client().send(request.expect("a request")).await
    };
    for name in ["localhost", "LOCALHOST:4000", "app.localhost", "127.0.0.1:4000", "127.9.9.9", "[::1]:4000"] {
        assert_status(&asked_by(name).await, 200);
    }
    let others =
        ["evil.example:4000", "localhost.evil.example", "192.168.1.5", "0.0.0.0", "[::2]", "app.example.com", ""];
    for name in others {
        let response = asked_by(name).await;
        assert_status(&response, 421);
        assert_contains(&response, "only opens at localhost");
    }
}

#[tokio::test]
async fn there_is_no_mailbox_when_emails_are_sent() {
    let host = Host::with(&[("SMTP_URL", "none:")]).await;
    assert_status(&host.client().get("/dev/mailbox").await, 404);
}

#[tokio::test]
async fn json_clients_get_the_newest_email_first() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for path in ["/users/confirm", "/users/reset-password"] {
        host.client().post(path, &email_form(&user.email)).await;
        host.mails_to(&user.email).await;
    }
    let mails: serde_json::Value = host.client().json().get("/dev/mailbox").await.json();
    let subjects: Vec<&str> =
        mails.as_array().expect("a list").iter().filter_map(|mail| mail["subject"].as_str()).collect();
    assert_eq!(subjects, ["Reset your password", "Confirm your email address"]);
    assert!(mails[0]["text"].as_str().expect("a text").contains("http://localhost:4000/users/reset-password/"));
}

/// An address is user input. It can't contain markup, but it can contain `&`.
#[tokio::test]
async fn an_email_address_cannot_inject_markup() {
    let host = Host::new().await;
    let email = "o'brien&copy@example.com";
    host.client().post("/users/register", &login_form(email, VALID_PASSWORD)).await;
    assert_eq!(host.mails_to(email).await.len(), 1);
    let page = host.client().get("/dev/mailbox").await;
    assert_contains(&page, "Confirm your email address");
    assert_contains(&page, "o&#39;brien&#38;copy@example.com");
    assert!(!page.text().contains(email));
}

#[tokio::test]
async fn emails_say_when_their_links_expire() {
    for (env, path, said) in [
        (&[][..], "/users/reset-password", "60 minutes."),
        (&[], "/users/confirm", "24 hours."),
        // <magic_link>
        (&[], "/users/log-in/link", "15 minutes."),
        // </magic_link>
        (&[("RESET_TTL", "60")], "/users/reset-password", "1 minute."),
        (&[("CONFIRM_TTL", "172800")], "/users/confirm", "48 hours."),
    ] {
        let host = Host::with(env).await;
        let user = host.registered_fixture().await;
        host.client().post(path, &email_form(&user.email)).await;
        let mail = host.mails_to(&user.email).await.remove(0);
        assert!(mail.text.contains(&format!("The link works once and expires in {said}")), "{}", mail.text);
        assert!(mail.html.expect("HTML too").contains(&format!("The link works once and expires in {said}")));
    }
}
