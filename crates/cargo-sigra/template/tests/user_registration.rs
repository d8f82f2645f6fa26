//! Registering, and what it tells of other people's accounts: nothing.

mod support;

use sigra::testing::{TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};
use support::{Host, log_in_form};

/// All that a visitor can see of an answer, but for what is random.
fn seen(answer: &TestResponse) -> (u16, Option<String>, String, Vec<String>) {
    let mut headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
    headers.sort();
    headers.extend(answer.set_cookies().iter().map(|cookie| cookie.name().to_owned()));
    (answer.status().as_u16(), answer.location().map(str::to_owned), answer.text(), headers)
}

#[tokio::test]
async fn who_registers_gets_a_mail_and_can_log_in() {
    let host = Host::new().await;
    let browser = host.client();
    let answer = browser.post("/users/register", &log_in_form("ada@example.com", VALID_PASSWORD)).await;
    assert_redirected_to(&answer, "/users/log-in");
    assert_contains(&browser.follow(&answer).await, "open the link in the mail");
    assert!(host.link_to("ada@example.com").await.starts_with("/users/confirm/"));
    assert_eq!(host.count_tokens().await, 1, "a link, and no session yet");
    assert!(host.can_log_in("ada@example.com", VALID_PASSWORD).await);
}

#[tokio::test]
async fn invariant_5_a_taken_address_is_not_told_from_a_free_one() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let hash = host.reload(&user).await.hashed_password;
    let free = host.client().post("/users/register", &log_in_form("free@example.com", "another good password")).await;
    for typed in [user.email.clone(), user.email.to_uppercase(), format!(" {} ", user.email)] {
        let taken = host.client().post("/users/register", &log_in_form(&typed, "another good password")).await;
        assert_eq!(seen(&taken), seen(&free), "{typed:?}");
    }
    assert_eq!(host.reload(&user).await.hashed_password, hash, "the password is its owner's");
    let mails = host.mails_to(&user.email).await;
    assert!(!mails.is_empty() && mails.iter().all(|mail| mail.subject == "You already have an account"));
    assert!(!host.can_log_in(&user.email, "another good password").await);
}

#[tokio::test]
async fn who_prefers_it_is_told_that_an_address_is_taken() {
    let host = Host::with(&[("REVEAL_TAKEN_ADDRESSES", "true")]).await;
    let user = host.user_fixture().await;
    let answer = host.client().post("/users/register", &log_in_form(&user.email, "another good password")).await;
    assert_status(&answer, 422);
    assert_contains(&answer, "has already been taken");
    assert!(host.mails_to(&user.email).await.is_empty());
}

#[tokio::test]
async fn problems_stand_beside_their_fields_and_no_password_is_shown_again() {
    let host = Host::new().await;
    let answer = host.client().post("/users/register", &log_in_form("not an address", "tooshort")).await;
    assert_status(&answer, 422);
    for part in ["id=\"email_problem\"", "id=\"password_problem\"", "value=\"not an address\"", "aria-invalid=\"true\""]
    {
        assert_contains(&answer, part);
    }
    assert!(!answer.text().contains("tooshort"));
}

#[tokio::test]
async fn invariant_15_a_password_is_not_made_of_the_address_or_of_this_site() {
    let host = Host::new().await;
    for password in ["ada.lovelace1815", "Ada.Lovelace-Ada.Lovelace", "my_app my_app 2026", "example.com12345"] {
        let form = log_in_form("ada.lovelace@example.com", password);
        let answer = host.client().post("/users/register", &form).await;
        assert_status(&answer, 422);
        assert_contains(&answer, "too close to your address");
    }
}

#[tokio::test]
async fn of_many_who_register_one_address_at_once_one_succeeds() {
    let host = Host::new().await;
    let browsers: Vec<_> = (0..8).map(|_| host.client()).collect();
    let passwords: Vec<String> = (0..8).map(|at| format!("a password of number {at}")).collect();
    let mut answers = tokio::task::JoinSet::new();
    for (browser, password) in browsers.into_iter().zip(passwords.clone()) {
        answers.spawn(async move {
            browser.post("/users/register", &log_in_form("ada@example.com", &password)).await.status()
        });
    }
    assert!(answers.join_all().await.iter().all(|status| *status == 303));
    let mut good = 0;
    for password in &passwords {
        good += usize::from(host.can_log_in("ada@example.com", password).await);
    }
    assert_eq!(good, 1);
}
