//! Registration, which must reveal nothing about other accounts.

use crate::support::{Host, as_long_as, email_form, login_form, seen, seen_apart_from};
use my_app::web::user_auth::AFTER_LOGIN_PATH;
use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};

const ANOTHER: &str = "another good password";

#[tokio::test]
async fn a_new_user_gets_an_email_and_can_log_in() {
    let host = Host::new().await;
    let browser = host.client();
    let response = browser.post("/users/register", &login_form("ada@example.com", VALID_PASSWORD)).await;
    assert_redirected_to(&response, "/users/check-email");
    for _ in 0..2 {
        let page = browser.get("/users/check-email").await;
        assert_contains(&page, "Open the link in the email to <strong>ada@example.com</strong>");
        assert_contains(&page, "action=\"/users/confirm\" method=\"post\"");
        assert_contains(&page, "href=\"/users/register\">Wrong email address?");
        assert_contains(&page, "href=\"/dev/mailbox\"");
    }
    let again = browser.post("/users/confirm", &email_form("ada@example.com")).await;
    assert_redirected_to(&again, "/users/check-email");
    assert_contains(&browser.follow(&again).await, "We received your request again.");
    assert_redirected_to(&host.client().get("/users/check-email").await, "/users/log-in");
    assert!(host.link_to("ada@example.com").await.starts_with("/users/confirm/"));
    assert_eq!(host.count_tokens().await, 2, "links, and no session yet");
    assert!(host.can_log_in("ada@example.com", VALID_PASSWORD).await);
}

#[tokio::test]
async fn the_form_works_without_javascript_and_with_password_managers() {
    let host = Host::new().await;
    let page = host.client().get("/users/register").await;
    for part in [
        "action=\"/users/register\" method=\"post\"",
        "<label for=\"user_email\">",
        "<label for=\"user_password\">",
        "autocomplete=\"username\"",
        "autocomplete=\"new-password\"",
    ] {
        assert_contains(&page, part);
    }
    let (_, browser) = host.authenticated_fixture().await;
    assert_redirected_to(&browser.get("/users/register").await, AFTER_LOGIN_PATH);
}

#[tokio::test]
async fn invariant_5_a_taken_address_looks_like_a_free_one() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let hash = host.reload(&user).await.hashed_password;
    let visitor = host.client();
    let unknown = as_long_as(&user.email);
    let free = visitor.post("/users/register", &login_form(&unknown, ANOTHER)).await;
    let then = seen_apart_from(&visitor.follow(&free).await, &unknown);
    for typed in [user.email.clone(), user.email.to_uppercase(), format!(" {} ", user.email)] {
        let visitor = host.client();
        let taken = visitor.post("/users/register", &login_form(&typed, ANOTHER)).await;
        assert_eq!(seen(&taken), seen(&free), "{typed:?}");
        assert_eq!(seen_apart_from(&visitor.follow(&taken).await, &typed), then, "{typed:?}");
    }
    assert_eq!(host.reload(&user).await.hashed_password, hash, "the owner's password still works");
    let mails = host.mails_to(&user.email).await;
    assert!(!mails.is_empty() && mails.iter().all(|mail| mail.subject == "You already have an account"));
    assert!(!host.can_log_in(&user.email, ANOTHER).await && host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn invariant_5_an_invalid_password_gets_the_same_response_for_taken_and_free_addresses() {
    let host = Host::new().await;
    host.register("taken@example.com", &sigra::Password::new(VALID_PASSWORD)).await;
    let refused = async |email: &str| {
        let response = host.client().post("/users/register", &login_form(email, "tooshort")).await;
        let (status, headers, page) = seen(&response);
        (status, headers, page.replace(email, "an address"))
    };
    assert_eq!(refused("taken@example.com").await, refused("other@example.com").await);
    assert!(host.mails_to("taken@example.com").await.is_empty());
}

/// Repeated registrations must not flood the owner's mailbox.
#[tokio::test]
async fn the_owner_of_a_taken_address_gets_at_most_three_emails() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for _ in 0..5 {
        host.client().post("/users/register", &login_form(&user.email, ANOTHER)).await;
        host.mails_to(&user.email).await;
    }
    assert_eq!(host.mails_to(&user.email).await.len(), 3);
}

#[tokio::test]
async fn a_setting_reveals_taken_addresses() {
    let host = Host::with(&[("REVEAL_TAKEN_ADDRESSES", "true")]).await;
    let user = host.registered_fixture().await;
    for typed in [user.email.clone(), user.email.to_uppercase()] {
        let response = host.client().post("/users/register", &login_form(&typed, ANOTHER)).await;
        assert_status(&response, 422);
        assert_contains(
            &response,
            "<p id=\"email_problem\" class=\"problem\">This email address has already been taken.</p>",
        );
        assert_contains(&response, &format!("value=\"{typed}\""));
        assert!(!response.text().contains(ANOTHER));
    }
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.mails_to(&user.email).await.is_empty());
}

#[tokio::test]
async fn errors_appear_beside_their_fields_and_passwords_are_not_shown_again() {
    let host = Host::new().await;
    let response = host.client().post("/users/register", &login_form("not an address", "tooshort")).await;
    assert_status(&response, 422);
    for part in ["id=\"email_problem\"", "id=\"password_problem\"", "value=\"not an address\"", "aria-invalid=\"true\""]
    {
        assert_contains(&response, part);
    }
    assert!(!response.text().contains("tooshort"));

    let script = "\"><script>alert(1)</script>@example.com";
    let response = host.client().post("/users/register", &login_form(script, "tooshort")).await;
    assert!(!response.text().contains("<script>alert"), "{}", response.text());
}

/// Otherwise the user would wait for an email that can't arrive.
#[tokio::test]
async fn undeliverable_addresses_are_refused() {
    let host = Host::new().await;
    for email in ["ada@example..com", "a@b@example.com", "<ada@example.com>", "ada@example.com.", ".ada@example.com"] {
        let response = host.client().post("/users/register", &login_form(email, ANOTHER)).await;
        assert_status(&response, 422);
        assert_contains(&response, "<p id=\"email_problem\" class=\"problem\">Enter a valid email address.</p>");
    }
}

#[tokio::test]
async fn a_domain_is_the_same_in_unicode_and_ascii() {
    const UNICODE: &str = "ada@b\u{fc}cher.example";
    const ASCII: &str = "ada@xn--bcher-kva.example";
    for (first, second) in [(UNICODE, ASCII), (ASCII, UNICODE)] {
        let host = Host::with(&[("NOTIFY_NEW_DEVICES", "false")]).await;
        host.client().post("/users/register", &login_form(first, ANOTHER)).await;
        assert_eq!(host.mails_to(ASCII).await.len(), 1);
        assert!(host.can_log_in(second, ANOTHER).await && host.can_log_in(first, ANOTHER).await);
        host.client().post("/users/register", &login_form(second, VALID_PASSWORD)).await;
        let subjects: Vec<_> = host.mails_to(ASCII).await.into_iter().map(|mail| mail.subject).collect();
        assert_eq!(subjects, ["Confirm your email address", "You already have an account"]);
        assert!(!host.can_log_in(second, VALID_PASSWORD).await);
        host.client().post("/users/reset-password", &email_form(UNICODE)).await;
        assert_eq!(host.mails_to(ASCII).await.len(), 3);
    }
}

#[tokio::test]
async fn invariant_15_a_password_made_of_the_address_or_the_site_name_is_refused() {
    let host = Host::new().await;
    let of_this_site = "my_app ".repeat(6);
    let mut passwords = vec!["ada.lovelace1815", "Ada.Lovelace-Ada.Lovelace", "example.com12345"];
    // Shorter names appear in too many words.
    passwords.extend((of_this_site.len() >= 6 * "four ".len()).then_some(&*of_this_site));
    for password in passwords {
        for email in ["ada.lovelace@example.com", "  Ada.Lovelace@Example.com "] {
            let response = host.client().post("/users/register", &login_form(email, password)).await;
            assert_status(&response, 422);
            assert_contains(&response, "too close to your email address");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_many_concurrent_registrations_of_an_address_succeeds() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let browsers: Vec<_> = (0..8).map(|_| host.client()).collect();
    let passwords: Vec<String> = (0..8).map(|at| format!("a password of number {at}")).collect();
    let mut responses = tokio::task::JoinSet::new();
    for (browser, password) in browsers.into_iter().zip(passwords.clone()) {
        responses.spawn(async move {
            browser.post("/users/register", &login_form("ada@example.com", &password)).await.status()
        });
    }
    assert!(responses.join_all().await.iter().all(|status| *status == 303));
    let mut good = 0;
    for password in &passwords {
        good += usize::from(host.can_log_in("ada@example.com", password).await);
    }
    assert_eq!(good, 1);
}

#[tokio::test]
async fn a_closed_registration_creates_no_account_and_answers_the_same_for_every_address() {
    let host = Host::with(&[("REGISTRATION", "closed")]).await;
    let user = host.registered_fixture().await;
    let page = host.client().get("/users/register").await;
    assert_redirected_to(&page, "/users/log-in");
    let refused = async |email: &str, password: &str| {
        let visitor = host.client();
        let response = visitor.post("/users/register", &login_form(email, password)).await;
        assert_redirected_to(&response, "/users/log-in");
        assert_eq!(visitor.cookies().len(), 1, "only the message");
        assert_contains(&visitor.get("/users/log-in").await, "Registration is closed.");
        seen(&response)
    };
    let free = refused("new@example.com", ANOTHER).await;
    for (email, password) in [(&*user.email, ANOTHER), (&user.email, VALID_PASSWORD), ("not an address", "short")] {
        assert_eq!(refused(email, password).await, free, "{email}");
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&host.pool).await.expect("a count");
    assert_eq!(count, 1);
    for email in ["new@example.com", &user.email] {
        assert_eq!(host.mails_to(email).await.len(), 0, "{email}");
    }
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn no_page_links_to_a_closed_registration() {
    for (registration, is_open) in [("open", true), ("closed", false)] {
        let host = Host::with(&[("REGISTRATION", registration)]).await;
        for path in ["/", "/users/log-in", "/users/reset-password", "/users/confirm", "/missing"] {
            let page = host.client().get(path).await.text();
            assert_eq!(page.contains("href=\"/users/register\""), is_open, "{registration} {path}");
        }
    }
}
