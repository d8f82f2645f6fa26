//! Logging in with an account at a provider.

use std::time::Duration;

use crate::support::{Host, as_long_as, email_form, login_form, password_form, seen_apart_from};
use axum::{body::Body, http::Request};
use my_app::web::user_auth::AFTER_LOGIN_PATH;
use sigra::{
    telemetry,
    testing::{
        ProviderAccount, TestClient, TestHost, TestProvider, TestResponse, VALID_PASSWORD, assert_audit_event,
        assert_contains, assert_redirected_to, assert_status,
    },
};

const METHODS: &str = "/users/settings/log-in-methods";
const PENDING: &str = "/users/register/provider";

/// The application with two providers. `corp` is trusted to verify email addresses, and `weak` isn't.
struct Site {
    host: Host,
    corp: TestProvider,
    weak: TestProvider,
}

impl Site {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(env: &[(&str, &str)]) -> Self {
        let (corp, weak) = (TestProvider::start().await, TestProvider::start().await);
        let (of_corp, of_weak) = (corp.issuer().to_owned(), weak.issuer().to_owned());
        let given = [
            ("OAUTH_PROVIDERS", "corp,weak"),
            ("OAUTH_CORP_ISSUER", &*of_corp),
            ("OAUTH_CORP_LABEL", "Corp"),
            ("OAUTH_CORP_CLIENT_ID", TestProvider::CLIENT_ID),
            ("OAUTH_CORP_CLIENT_SECRET", TestProvider::CLIENT_SECRET),
            ("OAUTH_CORP_TRUST_EMAILS", "true"),
            ("OAUTH_WEAK_ISSUER", &*of_weak),
            ("OAUTH_WEAK_CLIENT_ID", TestProvider::CLIENT_ID),
            ("OAUTH_WEAK_CLIENT_SECRET", TestProvider::CLIENT_SECRET),
        ];
        let host = Host::with(&[&given[..], env].concat()).await;
        let clock = host.clock();
        Self { corp: corp.clock(clock.clone()), weak: weak.clock(clock.clone()), host }
    }

    /// Presses a button, and returns where the provider sends the browser.
    async fn visit(&self, browser: &TestClient, path: &str) -> String {
        let begun = browser.post(path, &[("user[remember_me]", "true")]).await;
        assert_status(&begun, 303);
        let url = begun.location().expect("a URL");
        let provider = if url.starts_with(self.corp.issuer()) { &self.corp } else { &self.weak };
        provider.approve(url).path_and_query()
    }

    async fn log_in(&self, browser: &TestClient, path: &str) -> TestResponse {
        let back = self.visit(browser, path).await;
        browser.get(&back).await
    }

    async fn count(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.host.pool).await.expect("a count")
    }
}

fn jane(email: &str) -> ProviderAccount {
    ProviderAccount::new("jane").email(email, true)
}

/// The value of the hidden field that names the identity that waits.
fn pending_on(page: &TestResponse) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("name=\"user[pending]\" value=\"").expect("an identity waits");
    rest.split_once('"').expect("the end").0.to_owned()
}

#[tokio::test]
async fn an_application_without_providers_has_no_buttons_and_no_routes_for_them() {
    let host = Host::new().await;
    for page in ["/users/log-in", "/users/register"] {
        assert!(!host.client().get(page).await.text().contains("/users/auth/"));
    }
    assert_status(&host.client().post("/users/auth/google", &[]).await, 404);
    assert_status(&host.client().get("/users/auth/google/callback?state=x&code=x").await, 404);
    let policy = host.client().get("/").await.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("form-action 'self';"), "{policy}");
}

#[tokio::test]
async fn a_button_registers_and_logs_in_and_the_account_is_confirmed() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("Jane@Example.COM"));
    let browser = site.host.client();
    assert_contains(&browser.get("/users/log-in").await, "Continue with Corp");
    assert_contains(&browser.get("/users/register").await, "formaction=\"/users/auth/corp\"");
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
    assert_redirected_to(&site.log_in(&browser, "/users/auth/corp").await, "/dashboard");
    assert_contains(&browser.get("/dashboard").await, "jane@example.com");
    let user = site.host.accounts.get_user_by_email("jane@example.com").await.unwrap().expect("registered");
    assert!(user.confirmed_at.is_some() && user.hashed_password.is_none());
    browser.close_and_reopen();
    assert_status(&browser.get("/dashboard").await, 200);

    let again = site.host.client();
    assert_redirected_to(&site.log_in(&again, "/users/auth/corp").await, AFTER_LOGIN_PATH);
    assert_eq!((site.count("users").await, site.count("user_identities").await), (1, 1));
    assert_eq!(site.host.mails_to("jane@example.com").await.len(), 1, "about the new browser");
}

#[tokio::test]
async fn the_login_page_hints_at_the_provider_of_the_last_login_in_this_browser() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example.com"));
    let browser = site.host.client();
    site.log_in(&browser, "/users/auth/corp").await;
    browser.delete("/users/log-out").await;
    let page = browser.get("/users/log-in").await.text();
    assert!(page.contains("Continue with Corp <span class=\"badge on last-used\">Last used"), "{page}");
    assert_eq!(page.matches("Last used").count(), 1, "{page}");
}

/// A provider can be trusted to verify addresses and still have one at which nobody can receive email.
#[tokio::test]
async fn a_proven_address_that_is_not_valid_is_asked_for_like_an_unproven_one() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example..com"));
    let browser = site.host.client();
    let response = site.log_in(&browser, "/users/auth/corp").await;
    assert_redirected_to(&response, PENDING);
    let page = browser.follow(&response).await;
    let form = [("user[pending]", &*pending_on(&page)), ("user[email]", "jane@example.com")];
    assert_redirected_to(&browser.post(PENDING, &form).await, "/users/check-email");
    assert_eq!(site.count("user_identities").await, 1);
}

/// The address belongs to somebody: they log in, and say whether to link it.
#[tokio::test]
async fn invariant_18_a_proven_address_of_a_confirmed_account_is_linked_only_after_a_login() {
    let site = Site::new().await;
    let user = site.host.registered_fixture().await;
    site.host.confirm(&user).await;
    site.corp.log_in_as(jane(&user.email));
    let browser = site.host.client();
    let response = site.log_in(&browser, "/users/auth/corp").await;
    assert_redirected_to(&response, PENDING);
    assert_contains(&browser.follow(&response).await, "You already have an account");
    assert_eq!(site.count("user_identities").await, 0);

    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&response, "/users/settings/log-in-methods/link");
    let page = browser.follow(&response).await;
    assert_contains(&page, "Link your Corp account?");
    assert_eq!(site.count("user_identities").await, 0);
    let response = browser.post("/users/settings/log-in-methods/link", &[("user[pending]", &pending_on(&page))]).await;
    assert_redirected_to(&response, METHODS);
    assert_contains(&browser.get(METHODS).await, r#"Unlink<span class="visually-hidden"> Corp</span>"#);
    assert_contains_mail(&site.host, &user.email, "An account was linked to yours").await;
    assert_audit_event(site.host.sigra(), &user, "auth.identity.linked").await;
    assert_redirected_to(&site.log_in(&site.host.client(), "/users/auth/corp").await, AFTER_LOGIN_PATH);
}

async fn assert_contains_mail(host: &Host, email: &str, subject: &str) {
    let mails = host.mails_to(email).await;
    assert!(mails.iter().any(|mail| mail.subject == subject), "{mails:?}");
}

#[tokio::test]
async fn an_identity_that_waits_can_be_declined() {
    let site = Site::new().await;
    let user = site.host.registered_fixture().await;
    site.host.confirm(&user).await;
    site.corp.log_in_as(jane(&user.email));
    let browser = site.host.client();
    site.log_in(&browser, "/users/auth/corp").await;
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    let declined = browser.post("/users/settings/log-in-methods/link", &[("_method", "delete")]).await;
    assert_redirected_to(&declined, METHODS);
    assert_redirected_to(&browser.get("/users/settings/log-in-methods/link").await, METHODS);
    assert_eq!(site.count("user_identities").await, 0);
}

#[tokio::test]
async fn invariant_18_a_proven_address_takes_an_unconfirmed_account_from_whoever_registered_it() {
    let site = Site::new().await;
    let (user, stranger) = site.host.authenticated_fixture().await;
    site.corp.log_in_as(jane(&user.email));
    let owner = site.host.client();
    let response = site.log_in(&owner, "/users/auth/corp").await;
    assert_redirected_to(&response, AFTER_LOGIN_PATH);
    assert_contains(&owner.follow(&response).await, "removed their password");
    assert_redirected_to(&stranger.get("/dashboard").await, "/users/log-in");
    assert!(!site.host.can_log_in(&user.email, VALID_PASSWORD).await);
    let owned = site.host.reload(&user).await;
    assert!(owned.confirmed_at.is_some() && owned.hashed_password.is_none());
    assert_contains_mail(&site.host, &user.email, "Your account was linked, and its password removed").await;
}

/// An attacker whose account at a provider has the address of a victim must not learn whether the victim has an
/// account.
#[tokio::test]
async fn invariant_18_an_unproven_address_gets_the_same_pages_whether_or_not_it_has_an_account() {
    let site = Site::new().await;
    let user = site.host.registered_fixture().await;
    site.host.confirm(&user).await;
    let mut seen = Vec::new();
    for (subject, email) in [("one", user.email.as_str()), ("two", "nobody@example.com")] {
        site.weak.log_in_as(ProviderAccount::new(subject).email(email, true));
        let browser = site.host.client();
        let response = site.log_in(&browser, "/users/auth/weak").await;
        assert_redirected_to(&response, PENDING);
        let page = browser.follow(&response).await;
        assert_contains(&page, "Which email address should your new account have?");
        let form = [("user[pending]", &*pending_on(&page)), ("user[email]", email)];
        let response = browser.post(PENDING, &form).await;
        assert_redirected_to(&response, "/users/check-email");
        let names: Vec<String> = response.set_cookies().iter().map(|cookie| cookie.name().to_owned()).collect();
        seen.push((response.status(), names, browser.follow(&response).await.text().replace(email, "EMAIL").len()));
    }
    assert_eq!(seen[0].0, seen[1].0);
    assert_eq!(seen[0].1, seen[1].1);
    assert_eq!(seen[0].2, seen[1].2);
    assert_contains_mail(&site.host, &user.email, "You already have an account").await;
    assert_contains_mail(&site.host, "nobody@example.com", "Confirm your email address").await;
    assert_eq!(site.count("user_identities").await, 1, "of the new account");
}

/// An attacker lets one identity wait in several browsers, and links it in one of them.
#[tokio::test]
async fn invariant_5_an_identity_that_is_linked_meanwhile_does_not_show_who_has_an_account() {
    let site = Site::new().await;
    let user = site.host.registered_fixture().await;
    site.weak.log_in_as(ProviderAccount::new("mallory"));
    let mut browsers = Vec::new();
    for _ in 0..3 {
        let browser = site.host.client();
        let page = browser.follow(&site.log_in(&browser, "/users/auth/weak").await).await;
        browsers.push((browser, pending_on(&page)));
    }
    let register = async |(browser, pending): &(TestClient, String), email: &str| {
        let response = browser.post(PENDING, &[("user[pending]", pending), ("user[email]", email)]).await;
        seen_apart_from(&response, email)
    };
    register(&browsers[0], "mallory@example.com").await;
    let free = as_long_as(&user.email);
    assert_eq!(register(&browsers[1], &user.email).await, register(&browsers[2], &free).await);
    for email in [&user.email, &free] {
        assert_eq!(site.host.mails_to(email).await.len(), 0);
    }
    assert_eq!(site.count("users").await, 2);
}

#[tokio::test]
async fn who_registered_at_a_provider_confirms_their_address_with_the_link_in_the_same_browser_only() {
    let site = Site::new().await;
    site.weak.log_in_as(ProviderAccount::new("jane"));
    let browser = site.host.client();
    let page = browser.follow(&site.log_in(&browser, "/users/auth/weak").await).await;
    let pending = pending_on(&page);
    let refused = browser.post(PENDING, &[("user[pending]", &pending), ("user[email]", "no address")]).await;
    assert_status(&refused, 422);
    browser.post(PENDING, &[("user[pending]", &pending), ("user[email]", "jane@example.com")]).await;
    let link = site.host.link_to("jane@example.com").await;
    assert_redirected_to(&site.host.client().get(&link).await, &format!("{link}/new-password"));
    assert_contains(&browser.get(&link).await, "Is jane@example.com your email address?");
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/log-in");
    let user = site.host.accounts.get_user_by_email("jane@example.com").await.unwrap().expect("registered");
    assert!(user.confirmed_at.is_some());
    assert_redirected_to(&site.log_in(&site.host.client(), "/users/auth/weak").await, AFTER_LOGIN_PATH);
}

/// A stranger's identity in an account with somebody else's address is gone once its owner has set a password.
#[tokio::test]
async fn invariant_18_the_owner_of_a_mailbox_removes_a_strangers_identity() {
    let site = Site::new().await;
    site.weak.log_in_as(ProviderAccount::new("the stranger's"));
    let stranger = site.host.client();
    let page = stranger.follow(&site.log_in(&stranger, "/users/auth/weak").await).await;
    stranger.post(PENDING, &[("user[pending]", &pending_on(&page)), ("user[email]", "owner@example.com")]).await;
    let owner = site.host.client();
    owner.post("/users/reset-password", &email_form("owner@example.com")).await;
    let link = site.host.link_to("owner@example.com").await;
    let fields = [&[("_method", "put")][..], &password_form(VALID_PASSWORD, VALID_PASSWORD)].concat();
    assert_redirected_to(&owner.post(&link, &fields).await, "/users/log-in");
    assert_eq!(site.count("user_identities").await, 0);
    assert_redirected_to(&site.log_in(&stranger, "/users/auth/weak").await, PENDING);
}

#[tokio::test]
async fn a_login_at_a_provider_needs_a_confirmed_address_where_the_application_does() {
    let site = Site::with(&[("REQUIRE_CONFIRMATION", "true")]).await;
    site.weak.log_in_as(ProviderAccount::new("jane"));
    let browser = site.host.client();
    let page = browser.follow(&site.log_in(&browser, "/users/auth/weak").await).await;
    browser.post(PENDING, &[("user[pending]", &pending_on(&page)), ("user[email]", "jane@example.com")]).await;
    let link = site.host.link_to("jane@example.com").await;
    // In another browser, the identity proves that the account is theirs.
    let other = site.host.client();
    assert_redirected_to(&site.log_in(&other, "/users/auth/weak").await, "/users/confirm");
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
    assert_contains(&other.get(&link).await, "Is jane@example.com your email address?");
    assert_redirected_to(&other.post(&link, &[]).await, "/users/log-in");
    assert_redirected_to(&site.log_in(&other, "/users/auth/weak").await, "/dashboard");
}

// <mfa>
#[tokio::test]
async fn invariant_12_a_login_at_a_provider_leads_to_the_challenge() {
    let site = Site::new().await;
    let (user, browser) = site.host.mfa_complete_fixture().await;
    site.host.confirm(&user).await;
    site.corp.log_in_as(jane(&user.email));
    assert_redirected_to(&site.log_in(&browser, &format!("{METHODS}/identities/corp")).await, METHODS);
    let stranger = site.host.client();
    assert_redirected_to(&site.log_in(&stranger, "/users/auth/corp").await, "/users/mfa-challenge");
    assert_redirected_to(&stranger.get("/dashboard").await, "/users/mfa-challenge");
}
// </mfa>

#[tokio::test]
async fn accounts_are_linked_and_unlinked_in_the_settings() {
    let site = Site::new().await;
    let (user, browser) = site.host.authenticated_fixture().await;
    site.host.confirm(&user).await;
    site.corp.log_in_as(jane("another@example.com"));
    assert_contains(&browser.get("/users/settings").await, METHODS);
    let response = site.log_in(&browser, &format!("{METHODS}/identities/corp")).await;
    assert_redirected_to(&response, METHODS);
    let page = browser.follow(&response).await;
    assert_contains(&page, "You can now log in with Corp.");
    assert_contains(&page, "another@example.com");
    assert_eq!(page.text().matches("Last used").count(), 1, "the account");
    let log_in = login_form(&user.email, VALID_PASSWORD);
    assert_redirected_to(&site.host.client().post("/users/log-in", &log_in).await, AFTER_LOGIN_PATH);
    assert_eq!(browser.get(METHODS).await.text().matches("Last used").count(), 2, "the password, too");
    assert_eq!(site.host.reload(&user).await.email, user.email, "the provider's address is only a label");
    assert_contains_mail(&site.host, &user.email, "An account was linked to yours").await;

    let text = page.text();
    let (_, rest) = text.split_once(&format!("action=\"{METHODS}/identities/")).expect("a form");
    let id = rest.split_once('"').expect("the end").0;
    let unlink = format!("{METHODS}/identities/{id}");
    let (_, other) = site.host.authenticated_fixture().await;
    assert_status(&other.post(&unlink, &[("_method", "delete")]).await, 404);
    assert_redirected_to(&browser.post(&unlink, &[("_method", "delete")]).await, METHODS);
    assert_contains(&browser.get(METHODS).await, "You can no longer log in with this Corp account.");
    assert_contains_mail(&site.host, &user.email, "An account was unlinked from yours").await;
    assert_audit_event(site.host.sigra(), &user, "auth.identity.unlinked").await;
    assert_eq!(site.count("user_identities").await, 0);
    assert_status(&browser.post(&unlink, &[("_method", "delete")]).await, 404);
}

/// A new password stops nobody who has the account at the provider.
#[tokio::test]
async fn the_advice_about_a_login_at_a_provider_is_to_unlink_the_account() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example.com"));
    let browser = site.host.client();
    site.log_in(&browser, "/users/auth/corp").await;
    site.log_in(&site.host.client(), "/users/auth/corp").await;
    let mail = site.host.mails_to("jane@example.com").await.pop().expect("an email");
    assert_eq!(mail.subject, "New login to your account");
    assert!(mail.text.contains("unlink the account that was used under “Ways to log in”"), "{}", mail.text);
    let page = browser.get("/users/settings/activity").await;
    assert_contains(&page, "unlink the account that was used under “Ways to log in” in your settings.");
    assert!(!page.text().contains("“Your devices”, and change your password"), "a new one would stop nobody");
}

#[tokio::test]
async fn a_user_who_links_too_many_accounts_is_told_to_unlink_one() {
    let site = Site::new().await;
    let (_, browser) = site.host.authenticated_fixture().await;
    for number in 0..21 {
        site.corp.log_in_as(ProviderAccount::new(number.to_string()));
        assert_redirected_to(&site.log_in(&browser, &format!("{METHODS}/identities/corp")).await, METHODS);
    }
    let page = browser.get(METHODS).await;
    assert_contains(&page, "You can link at most 20 accounts. Unlink one that you no longer use first.");
    assert_eq!(site.count("user_identities").await, 20);
}

#[tokio::test]
async fn linking_and_unlinking_need_sudo_mode() {
    let site = Site::new().await;
    let (_, browser) = site.host.authenticated_fixture().await;
    site.host.clock().advance(Duration::from_secs(21 * 60));
    for (path, form) in [
        (format!("{METHODS}/identities/corp"), vec![]),
        (format!("{METHODS}/identities/{}", uuid::Uuid::nil()), vec![("_method", "delete")]),
        (format!("{METHODS}/link"), vec![("user[pending]", "x")]),
    ] {
        assert_redirected_to(&browser.post(&path, &form).await, "/users/sudo");
    }
}

#[tokio::test]
async fn a_user_without_a_password_enters_sudo_mode_at_their_provider_and_sets_a_first_password() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example.com"));
    let browser = site.host.client();
    site.log_in(&browser, "/users/auth/corp").await;
    site.host.clock().advance(Duration::from_secs(21 * 60));
    assert_redirected_to(&browser.get("/users/settings/password").await, "/users/sudo");
    assert_contains(&browser.get("/users/sudo").await, "Continue with Corp");
    let response = site.log_in(&browser, "/users/sudo/provider/corp").await;
    assert_redirected_to(&response, "/users/settings/password");
    let fields = [&[("_method", "put")][..], &password_form(VALID_PASSWORD, VALID_PASSWORD)].concat();
    assert_status(&browser.post("/users/settings/password", &fields).await, 303);
    assert!(site.host.can_log_in("jane@example.com", VALID_PASSWORD).await);

    site.host.clock().advance(Duration::from_secs(21 * 60));
    site.corp.log_in_as(ProviderAccount::new("somebody else"));
    assert_redirected_to(&site.log_in(&browser, "/users/sudo/provider/corp").await, "/users/sudo");
    assert_redirected_to(&browser.get("/users/settings/password").await, "/users/sudo");
}

#[tokio::test]
async fn a_password_reset_lists_the_accounts_that_still_open_the_account() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example.com"));
    site.log_in(&site.host.client(), "/users/auth/corp").await;
    let browser = site.host.client();
    browser.post("/users/reset-password", &email_form("jane@example.com")).await;
    let link = site.host.link_to("jane@example.com").await;
    let fields = [&[("_method", "put")][..], &password_form(VALID_PASSWORD, VALID_PASSWORD)].concat();
    browser.post(&link, &fields).await;
    let mails = site.host.mails_to("jane@example.com").await;
    assert!(mails.last().expect("an email").text.contains("Corp (jane@example.com)"), "{mails:?}");
}

/// Whatever a visitor sends to the callback, one page says what happened and leads back to the login.
/// A thief with the password links an account of their own, and takes the email address away.
#[tokio::test]
async fn invariant_18_who_gets_an_account_back_locks_out_what_a_thief_has_linked() {
    const NEW: &str = "a quite different password";
    let site = Site::new().await;
    let (user, thief) = site.host.authenticated_fixture().await;
    site.host.confirm(&user).await;
    site.weak.log_in_as(ProviderAccount::new("the thief's"));
    assert_redirected_to(&site.log_in(&thief, &format!("{METHODS}/identities/weak")).await, METHODS);
    site.host.clock().advance(Duration::from_secs(15 * 60));
    thief.put("/users/settings/email", &email_form("thief@example.com")).await;
    thief.post(&site.host.link_to("thief@example.com").await, &[]).await;

    let recover = site.host.link_to(&user.email).await;
    assert!(recover.starts_with("/users/recover/"), "{recover}");
    let owner = site.host.client();
    assert_contains(&owner.get(&recover).await, "removes second factors that were added and all linked accounts");
    assert_redirected_to(&owner.put(&recover, &password_form(NEW, NEW)).await, "/users/log-in");
    assert_redirected_to(&site.log_in(&site.host.client(), "/users/auth/weak").await, PENDING);
    assert!(site.host.can_log_in(&user.email, NEW).await);
}

#[tokio::test]
async fn bad_callbacks_get_a_page_that_leads_back_and_never_a_5xx() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example.com"));
    let browser = site.host.client();
    let huge = format!("code={}", "a".repeat(60_000));
    for (query, text) in [
        ("error=access_denied", "You canceled at Corp."),
        ("error=server_error&error_description=%3Cscript%3Ealert(1)%3C/script%3E", "sent an invalid response"),
        ("error=%3Cb%3E", "sent an invalid response"),
        ("", "sent an invalid response"),
        ("code=wrong", "sent an invalid response"),
        ("code=a&code=b", "sent an invalid response"),
        ("code=%ff%00", "sent an invalid response"),
        (&*huge, "sent an invalid response"),
    ] {
        let back = site.visit(&browser, "/users/auth/corp").await;
        let state = back.split(['?', '&']).find(|parameter| parameter.starts_with("state=")).expect("a state");
        let response = browser.get(&format!("/users/auth/corp/callback?{state}&{query}")).await;
        assert_status(&response, 400);
        assert_contains(&response, text);
        assert_contains(&response, "href=\"/users/log-in\"");
        assert!(!response.text().contains("<script>alert") && !response.text().contains("<b>"));
    }
    for query in ["", "?state=", "?state=x&code=x", "?code=x", "?error=access_denied&state=x", "?state=a&state=b"] {
        assert_status(&browser.get(&format!("/users/auth/corp/callback{query}")).await, 400);
    }
    assert_status(&browser.get("/users/auth/nobody/callback?state=x&code=x").await, 404);
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
    assert_eq!((site.count("users").await, site.count("user_identities").await), (0, 0));
    site.corp.go_down();
    let response = browser.post("/users/auth/corp", &[]).await;
    assert!(response.status() == 303 || response.text().contains("be reached right now"), "{response:?}");
}

/// Another site can't start a login, and the callback's form only leads to its `GET`.
#[tokio::test]
async fn invariant_8_a_flow_begins_only_on_our_own_pages_and_a_posted_callback_changes_nothing() {
    let site = Site::new().await;
    site.corp.log_in_as(jane("jane@example.com"));
    let browser = site.host.client();
    let from_elsewhere = |path: &str, body: String| {
        Request::post(path)
            .header("origin", "https://appleid.apple.com")
            .header("sec-fetch-site", "cross-site")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .expect("a request")
    };
    let response = browser.send(from_elsewhere("/users/auth/corp", String::new())).await;
    assert_status(&response, 403);
    assert_status(&browser.get("/users/auth/corp").await, 405);

    let back = site.visit(&browser, "/users/auth/corp").await;
    let query = back.split_once('?').expect("a query").1.to_owned();
    let posted = from_elsewhere("/users/auth/corp/callback", format!("{query}&user=%7B%7D&id_token=x"));
    let response = browser.send_without_storing(posted).await;
    assert_status(&response, 303);
    assert!(response.set_cookies().is_empty());
    let location = response.location().expect("the callback").to_owned();
    assert!(location.starts_with("/users/auth/corp/callback?") && !location.contains("id_token"), "{location}");
    assert_redirected_to(&browser.get(&location).await, AFTER_LOGIN_PATH);
}

#[tokio::test]
async fn the_audit_trail_and_the_recent_activity_name_the_provider_of_a_login() {
    let site = Site::new().await;
    let (user, browser) = site.host.authenticated_fixture().await;
    site.corp.log_in_as(jane("jane@example.com"));
    site.log_in(&browser, &format!("{METHODS}/identities/corp")).await;
    site.log_in(&site.host.client(), "/users/auth/corp").await;
    let events = site.host.sigra().audit().list(&user.id, None, 100).await.expect("the trail");
    let log_in = events.iter().find(|event| event.action == telemetry::LOGIN_SUCCESS).expect("a login");
    assert_eq!(log_in.metadata, serde_json::json!({ "method": "provider", "provider": "corp" }));
    let page = browser.get("/users/settings/activity").await;
    assert_contains(&page, "Logged in with Corp");
    assert_contains(&page, "Linked a Corp account");
}

#[tokio::test]
async fn a_closed_registration_lets_no_account_at_a_provider_in_but_those_of_users() {
    const CLOSED: &str = "registration is closed";
    let site = Site::with(&[("REGISTRATION", "closed")]).await;
    let (user, browser) = site.host.authenticated_fixture().await;
    site.host.confirm(&user).await;
    site.corp.log_in_as(jane("jane@example.com"));
    let stranger = site.host.client();
    assert_contains(&site.log_in(&stranger, "/users/auth/corp").await, CLOSED);
    // An address that isn't proven, which may be taken.
    for email in ["jane@example.com", &user.email] {
        site.weak.log_in_as(jane(email));
        let response = site.log_in(&stranger, "/users/auth/weak").await;
        assert_status(&response, 400);
        assert_contains(&response, CLOSED);
        assert_redirected_to(&stranger.get(PENDING).await, "/users/log-in");
    }
    let form = [("user[pending]", "x"), ("user[email]", "jane@example.com")];
    assert_redirected_to(&stranger.post(PENDING, &form).await, "/users/log-in");
    assert_contains(&stranger.get("/users/log-in").await, "Registration is closed.");
    assert_eq!((site.count("users").await, site.count("user_identities").await), (1, 0));

    // A user proves their address, and links their account.
    site.corp.log_in_as(jane(&user.email));
    let owner = site.host.client();
    let pending = owner.follow(&site.log_in(&owner, "/users/auth/corp").await).await;
    assert_contains(&pending, "Log in to link it");
    assert_redirected_to(&site.log_in(&browser, &format!("{METHODS}/identities/corp")).await, METHODS);
    assert_redirected_to(&site.log_in(&site.host.client(), "/users/auth/corp").await, AFTER_LOGIN_PATH);
    assert_eq!((site.count("users").await, site.count("user_identities").await), (1, 1));
}
