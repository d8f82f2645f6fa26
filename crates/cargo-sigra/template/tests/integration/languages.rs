//! The language of pages and emails.

// <mfa>
use crate::support::enroll;
// </mfa>
use crate::support::{Host, PROD, delete_account, email_form, login_form, password_form};
use axum::http::Request;
use my_app::accounts::User;
use my_app::web::user_auth::AFTER_LOGIN_PATH;
use sigra::testing::{
    TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status,
};
use spiritless_po::Catalog;

const COOKIE: &str = "_my_app_language";

/// Asserts that a page is in a language, and says so.
#[track_caller]
fn assert_language(page: &TestResponse, tag: &str) {
    assert_contains(page, &format!("<html lang=\"{tag}\" dir=\"ltr\">"));
    assert_eq!(page.header("content-language"), Some(tag), "{page:?}");
    let varies: Vec<_> = page.headers().get_all("vary").iter().collect();
    assert!(varies.iter().any(|name| *name == "accept-language"), "{varies:?}");
}

fn chosen_here<'a>(tag: &'a str, path: &'a str) -> [(&'static str, &'a str); 2] {
    [("user[language]", tag), ("_return_to", path)]
}

async fn set_language(browser: &TestClient, tag: &str) {
    let saved = browser.put("/users/settings/language", &[("user[language]", tag)]).await;
    assert_redirected_to(&saved, "/users/settings/language");
}

/// A user whose email address is confirmed, and their browser, which asks for a language.
async fn logged_in(host: &Host, accept_language: &str) -> (User, TestClient) {
    let user = host.registered_fixture().await;
    host.confirm(&user).await;
    let browser = host.client().accept_language(accept_language);
    assert_redirected_to(
        &browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await,
        AFTER_LOGIN_PATH,
    );
    (host.reload(&user).await, browser)
}

#[tokio::test]
async fn a_visitor_reads_the_language_that_their_browser_asks_for() {
    let host = Host::new().await;
    for (header, tag) in [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.8, de;q=0.9", "de"),
        ("tlh, de;q=0.2", "de"),
        ("en, de", "en"),
        ("de;q=0, *", "en"),
        ("tlh", "en"),
        ("*", "en"),
        (",;=q,;de;q=much", "en"),
        ("", "en"),
    ] {
        let page = host.client().accept_language(header).get("/users/log-in").await;
        assert_language(&page, tag);
        let expected = if tag == "de" { german("Forgot your password?") } else { "Forgot your password?".to_owned() };
        assert_contains(&page, &expected);
    }
    assert_language(&host.client().get("/users/log-in").await, "en");
    let bytes = axum::http::HeaderValue::from_bytes(b"\xff\xfe, de").expect("a value");
    let request = axum::http::Request::get("/users/log-in").header("accept-language", bytes);
    let page = host.client().send(request.body(axum::body::Body::empty()).expect("a request")).await;
    assert_language(&page, "en");
    let styles = host.client().accept_language("de").get("/static/app.css").await;
    assert_eq!((styles.header("content-language"), styles.header("vary")), (None, None));
}

#[tokio::test]
async fn the_choice_of_the_user_comes_before_that_of_the_browser_and_its_header() {
    let host = Host::new().await;
    let (user, browser) = logged_in(&host, "en").await;
    assert_language(&browser.get("/dashboard").await, "en");
    let chosen = browser.post("/users/language", &chosen_here("de", "/dashboard")).await;
    assert_redirected_to(&chosen, "/dashboard");
    assert_language(&browser.get("/dashboard").await, "de");

    set_language(&browser, "en").await;
    assert_eq!(host.reload(&user).await.language.as_deref(), Some("en"));
    browser.set_cookie(COOKIE, "de");
    assert_language(&browser.get("/dashboard").await, "en");
    // It is theirs in any browser.
    let other = host.client().accept_language("de");
    assert_language(&other.get("/users/log-in").await, "de");
    let welcome = other.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    let page = other.follow(&welcome).await;
    assert_language(&page, "en");
    assert_contains(&page, "Welcome back!");
    // After the logout, it is that of the browser again, also in the message.
    let page = other.follow(&other.delete("/users/log-out").await).await;
    assert_language(&page, "de");
    assert_contains(&page, &german("Logged out successfully."));

    set_language(&browser, "de").await;
    browser.get("/users/settings").await;
    set_language(&browser, "").await;
    assert_eq!(host.reload(&user).await.language, None);
    assert_eq!(browser.cookie(COOKIE), None);
    let page = browser.get("/users/settings").await;
    assert_language(&page, "en");
    assert_contains(&page, "Your language was saved.");
}

#[tokio::test]
async fn a_saved_language_is_that_of_the_next_page_and_of_the_browser() {
    let host = Host::new().await;
    let (_, browser) = logged_in(&host, "en").await;
    let saved = browser.put("/users/settings/language", &[("user[language]", "de")]).await;
    let page = browser.follow(&saved).await;
    assert_language(&page, "de");
    assert_contains(&page, &german("Your language was saved."));
    assert_contains(&page, "<option value=\"de\" lang=\"de\" dir=\"ltr\" selected>Deutsch</option>");
    browser.delete("/users/log-out").await;
    assert_language(&browser.get("/users/log-in").await, "de");
}

#[tokio::test]
async fn a_visitor_chooses_a_language_and_stays_on_the_page() {
    let host = Host::new().await;
    let browser = host.client();
    let page = browser.get("/users/confirm?a=b").await;
    assert_contains(&page, "name=\"_return_to\" value=\"/users/confirm?a=b\"");
    assert_contains(&page, "value=\"de\" lang=\"de\" dir=\"ltr\">Deutsch</button>");
    let chosen = browser.post("/users/language", &chosen_here("de", "/users/confirm?a=b")).await;
    assert_redirected_to(&chosen, "/users/confirm?a=b");
    let cookie = &chosen.set_cookies()[0];
    assert!(cookie.http_only() == Some(true) && cookie.path() == Some("/"), "{cookie}");
    assert_language(&browser.follow(&chosen).await, "de");

    for (tag, path) in [("de", "//evil.example"), ("de", "https://evil.example"), ("de", "")] {
        assert_redirected_to(&browser.post("/users/language", &chosen_here(tag, path)).await, "/");
    }
    for tag in ["tlh", "", "de\r\nx: y", "../de"] {
        let refused = browser.post("/users/language", &chosen_here(tag, "/")).await;
        assert_redirected_to(&refused, "/");
        assert_eq!(refused.set_cookies().len(), 0, "{tag}");
    }
    browser.set_cookie(COOKIE, "tlh");
    assert_language(&browser.get("/users/log-in").await, "en");
}

/// A host beside this one could otherwise set it, or a network that reads plain HTTP.
#[tokio::test]
async fn the_cookie_of_the_language_has_a_prefix_in_production() {
    let host = Host::with(&PROD).await;
    let browser = host.client();
    let chosen = browser.post("/users/language", &chosen_here("de", "/")).await;
    let cookie = &chosen.set_cookies()[0];
    assert_eq!(cookie.name(), format!("__Host-{COOKIE}"));
    assert_eq!((cookie.secure(), cookie.path(), cookie.domain()), (Some(true), Some("/"), None));
    assert_language(&browser.get("/users/log-in").await, "de");

    let other = host.client();
    other.set_cookie(COOKIE, "de");
    assert_language(&other.get("/users/log-in").await, "en");
}

#[tokio::test]
async fn another_site_can_not_change_the_language() {
    let host = Host::new().await;
    let request = axum::http::Request::post("/users/language")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site");
    let refused = host.client().send(request.body("user[language]=de".into()).expect("a request")).await;
    assert_status(&refused, 403);
    assert_eq!(refused.set_cookies().len(), 0);
}

#[tokio::test]
async fn messages_and_error_pages_are_in_the_language_of_the_page() {
    let host = Host::new().await;
    let browser = host.client().accept_language("de");
    let page = browser.follow(&browser.get("/dashboard").await).await;
    assert_contains(&page, &german("You must log in to access this page."));
    let page = browser.follow(&browser.post("/users/log-in", &login_form("a@example.com", "wrong")).await).await;
    assert_contains(&page, &german("Invalid email or password"));
    let weak = browser.post("/users/register", &login_form("a@example.com", "short")).await;
    assert_contains(&weak, &german("Your password should be at least {min} characters.").replace("{min}", "15"));
    assert_contains(&weak, &format!("<title>{}: {}", german("Error"), german("Register")));
    let missing = browser.get("/missing").await;
    assert_language(&missing, "de");
    assert_contains(&missing, &german("Page not found"));
    let in_json =
        Request::post("/users/log-in").header("accept", "text/html").header("content-type", "application/json");
    let refused = browser.send(in_json.body("{}".into()).expect("a request")).await;
    assert_contains(&refused, &format!("<h1>{}", german("We couldn't read the form")));
    let program = host.client().json().accept_language("de").get("/missing").await;
    assert_eq!(program.text(), format!(r#"{{"status":404,"title":"{}"}}"#, german("Not Found")));
    assert_eq!(program.header("content-language"), Some("de"));

    for _ in 0..100 {
        let response = browser.post("/users/log-in", &login_form("a@example.com", "wrong")).await;
        if response.status() == 429 {
            assert_contains(&response, begin(&german("Too many attempts. Try again in {count} second.")));
            return;
        }
    }
    panic!("the form is never rate limited");
}

#[tokio::test]
async fn an_error_page_is_in_the_language_of_its_user() {
    let host = Host::new().await;
    let (_, browser) = logged_in(&host, "en").await;
    set_language(&browser, "de").await;
    browser.remove_cookie(COOKIE);
    let missing = browser.get("/missing").await;
    assert_language(&missing, "de");
    assert_contains(&missing, &german("Page not found"));
}

#[tokio::test]
async fn emails_are_in_the_language_of_their_reader() {
    let host = Host::new().await;
    let visitor = host.client().accept_language("de");
    visitor.post("/users/register", &login_form("ada@example.com", VALID_PASSWORD)).await;
    let mails = host.mails_to("ada@example.com").await;
    assert_eq!(mails[0].subject, german("Confirm your email address"));
    let lifetime = german("The link works once and expires in {count} hour.");
    assert!(mails[0].text.contains(begin(&lifetime)), "{}", mails[0].text);
    assert!(mails[0].html.as_ref().expect("HTML").contains("<html lang=\"de\" dir=\"ltr\">"));
    // These are sent after the response.
    visitor.post("/users/reset-password", &email_form("ada@example.com")).await;
    assert_eq!(host.mails_to("ada@example.com").await[1].subject, german("Reset your password"));

    let (user, browser) = logged_in(&host, "en").await;
    let ask = async |browser: &TestClient| {
        browser.post("/users/reset-password", &email_form(&user.email)).await;
        host.mails_to(&user.email).await.last().expect("an email").subject.clone()
    };
    assert_eq!(ask(&visitor).await, german("Reset your password"));
    set_language(&browser, "en").await;
    assert_eq!(ask(&visitor).await, "Reset your password");
    set_language(&browser, "de").await;
    assert_eq!(ask(&host.client()).await, german("Reset your password"));
    browser.put("/users/settings/email", &email_form("new@example.com")).await;
    assert_eq!(host.mails_to("new@example.com").await[0].subject, german("Confirm your new email address"));
    assert_eq!(
        host.mails_to(&user.email).await.last().expect("an email").subject,
        german("Request to change your email address")
    );
}

/// A thief must not hide a warning in a language that the owner can't read.
#[tokio::test]
async fn a_warning_about_someone_else_is_not_in_the_language_of_that_person() {
    let host = Host::new().await;
    let (user, browser) = logged_in(&host, "en").await;
    let warn = async || {
        let other = host.client().accept_language("de");
        other.post("/users/register", &login_form(&user.email, VALID_PASSWORD)).await;
        host.mails_to(&user.email).await.last().expect("an email").subject.clone()
    };
    assert_eq!(warn().await, "You already have an account");
    set_language(&browser, "de").await;
    assert_eq!(warn().await, german("You already have an account"));
}

/// The person who is logged in may be a thief.
#[tokio::test]
async fn a_warning_about_a_logged_in_person_is_not_in_the_language_of_that_person() {
    const NEW: &str = "a quite different password";
    let host = Host::new().await;
    let (user, thief) = logged_in(&host, "de").await;
    thief.put("/users/settings/password", &password_form(NEW, NEW)).await;
    thief.put("/users/settings/email", &email_form("thief@example.com")).await;
    host.mails_to(&user.email).await;
    // <mfa>
    enroll(&host, &thief).await;
    // </mfa>
    // <api_tokens>
    let token = [("token[name]", "x"), ("token[permissions][]", "projects:read"), ("token[expires_in_days]", "30")];
    thief.post("/users/settings/tokens", &token).await;
    let about_token = host.mails_to(&user.email).await.pop().expect("an email");
    assert!(about_token.text.contains("The token allows: See your projects."), "{}", about_token.text);
    // </api_tokens>
    delete_account(&thief, &user.email).await;
    let subjects: Vec<String> = host.mails_to(&user.email).await.into_iter().map(|mail| mail.subject).collect();
    assert_eq!(
        subjects,
        [
            "Your password was changed",
            "Request to change your email address",
            // <mfa>
            "A second factor was added to your account",
            // </mfa>
            // <api_tokens>
            "An access token was created",
            // </api_tokens>
            "Your account will be deleted",
        ]
    );
}

// <mfa>
#[tokio::test]
async fn the_second_factor_is_asked_for_in_the_language_of_the_user() {
    let host = Host::new().await;
    let (user, browser) = logged_in(&host, "en").await;
    enroll(&host, &browser).await;
    set_language(&browser, "de").await;
    let other = host.client().accept_language("en");
    let asked = other.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    let page = other.follow(&asked).await;
    assert_language(&page, "de");
    assert_contains(&page, &german("One more step to finish logging in."));
}
// </mfa>

/// Compares the pages with the translations: an English text on a German page lacks its macro.
#[tokio::test]
async fn no_english_is_left_on_german_pages() {
    let host = Host::new().await;
    let (user, browser) = logged_in(&host, "de").await;
    let mut pages = Vec::new();
    let visitor = host.client().accept_language("de");
    for path in
        ["/", "/users/log-in", "/users/register", "/users/reset-password", "/users/confirm", "/missing", "/dev/mailbox"]
    {
        pages.push(visitor.get(path).await);
    }
    let sent = visitor.post("/users/reset-password", &email_form(&user.email)).await;
    pages.push(visitor.follow(&sent).await);
    pages.push(visitor.get(&host.link_to(&user.email).await).await);
    for path in [
        "/",
        "/dashboard",
        "/users/settings",
        "/users/settings/email",
        "/users/settings/password",
        "/users/settings/language",
        "/users/settings/activity",
        "/users/settings/delete",
        "/users/sessions",
        "/users/sudo",
        // <mfa>
        "/users/settings/mfa",
        "/users/settings/mfa/totp",
        // </mfa>
    ] {
        pages.push(browser.get(path).await);
    }
    // <mfa>
    pages.push(enroll(&host, &browser).await);
    pages.push(browser.get("/users/settings/mfa").await);
    pages.push(browser.get("/users/sudo").await);
    // </mfa>
    let catalog = catalog();
    for page in &pages {
        assert_language(page, "de");
        let text = page.text().replace("&#39;", "'");
        for english in catalog.index().keys() {
            let is_translated = catalog.gettext(english) != english && !english.is_empty() && !english.contains('{');
            // A single word can be part of a German one.
            let is_sentence = english.contains(' ');
            let is_left =
                if is_sentence { text.contains(english.as_str()) } else { text.contains(&format!(">{english}<")) };
            assert!(!(is_translated && is_left), "`{english}` is on a German page\n{page:?}");
        }
    }
}

/// Returns the German translation of a text.
fn german(text: &str) -> String {
    let catalog = catalog();
    let translation = catalog.gettext(text);
    assert_ne!(translation, text, "there is no translation");
    translation.to_owned()
}

/// Returns what comes before the value in a text.
fn begin(text: &str) -> &str {
    text.split('{').next().expect("a begin")
}

fn catalog() -> Catalog {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/locales/de.po");
    let mut catalog = Catalog::new();
    catalog.add_str(&std::fs::read_to_string(path).expect("the translations")).expect("translations");
    catalog
}
