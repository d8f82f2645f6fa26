//! Passwords and links appear nowhere except in emails.

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::support::{Host, email_form, login_form, password_form, token_of};
use sigra::{
    EmailToken,
    testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_status},
};
use tracing_subscriber::EnvFilter;

/// The filter silences what `main` silences too.
const EVERYTHING: &str = "trace,tower_http::csrf=debug";
const EMAIL: &str = "ada@example.com";
const PASSWORDS: [&str; 4] =
    [VALID_PASSWORD, "the second password of all", "the third password of all", "a wrong password of all"];

/// Captures the log, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("the log")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the log").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A browser that records what it is shown.
struct Reader {
    browser: TestClient,
    pages: Vec<(String, String)>,
}

impl Reader {
    fn keep(&mut self, path: &str, response: &TestResponse) {
        let headers = response.headers().iter().filter(|(name, _)| *name != "set-cookie");
        let headers: String = headers.map(|(name, value)| format!("{name}: {value:?}\n")).collect();
        self.pages.push((path.to_owned(), headers + &response.text()));
    }

    async fn get(&mut self, path: &str) {
        let response = self.browser.get(path).await;
        self.keep(path, &response);
    }

    /// Follows a redirect, and keeps that page too.
    async fn post(&mut self, path: &str, form: &[(&str, &str)]) {
        let response = self.browser.post(path, form).await;
        self.keep(path, &response);
        self.follow(&response).await;
    }

    async fn put(&mut self, path: &str, form: &[(&str, &str)]) {
        let response = self.browser.put(path, form).await;
        self.keep(path, &response);
        self.follow(&response).await;
    }

    async fn follow(&mut self, response: &TestResponse) {
        if let Some(location) = response.location() {
            self.get(location).await;
        }
    }
}

/// Uses every feature of an account, and returns the tokens of the links and the pages that were shown.
async fn use_everything(host: &Host) -> (Vec<String>, Vec<(String, String)>) {
    let mut tokens = Vec::new();
    let mut opened = async |email: &str| {
        let link = host.link_to(email).await;
        tokens.push(token_of(&link).to_owned());
        link
    };
    let mut browser = Reader { browser: host.client(), pages: Vec::new() };
    browser.post("/users/register", &login_form(EMAIL, VALID_PASSWORD)).await;
    let link = opened(EMAIL).await;
    browser.get(&link).await;
    browser.post(&link, &[]).await;
    browser.post("/users/log-in", &login_form(EMAIL, PASSWORDS[3])).await;
    browser.post("/users/reset-password", &email_form(EMAIL)).await;
    let link = opened(EMAIL).await;
    browser.get(&link).await;
    browser.put(&link, &password_form(PASSWORDS[1], PASSWORDS[1])).await;
    browser.put(&link, &password_form(PASSWORDS[1], PASSWORDS[1])).await;
    // <magic_link>
    browser.post("/users/log-in/link", &email_form(EMAIL)).await;
    let link = opened(EMAIL).await;
    browser.get(&link).await;
    browser.post(&link, &[("user[remember_me]", "true")]).await;
    // </magic_link>
    // <!magic_link>
    // let form = [("user[email]", EMAIL), ("user[password]", PASSWORDS[1]), ("user[remember_me]", "true")];
    // browser.post("/users/log-in", &form).await;
    // </!magic_link>
    browser.post("/users/sudo", &[("user[password]", PASSWORDS[1])]).await;
    browser.put("/users/settings/password", &password_form(PASSWORDS[2], PASSWORDS[2])).await;
    browser.put("/users/settings/email", &email_form("new@example.com")).await;
    // The last link stays unused.
    browser.get(&opened("new@example.com").await).await;
    for path in ["/", "/dashboard", "/users/settings", "/users/settings/activity", "/users/sessions", "/me"] {
        browser.get(path).await;
    }
    (tokens, browser.pages)
}

/// Returns the contents of the tables as text.
async fn stored(host: &Host) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for columns in [
        "SELECT email || coalesce(hashed_password, '') FROM users",
        "SELECT context || coalesce(sent_to, '') || coalesce(user_agent, '') FROM users_tokens",
        "SELECT action || coalesce(user_agent, '') || coalesce(ip, '') || metadata FROM audit_events",
    ] {
        texts.extend(sqlx::query_scalar::<_, String>(columns).fetch_all(&host.pool).await.expect("rows"));
    }
    texts
}

#[tokio::test]
async fn invariant_1_passwords_and_links_are_in_no_table_no_log_and_no_page() {
    let log = Log::default();
    let writer = log.clone();
    let everything = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(EVERYTHING)).with_ansi(false);
    everything.with_writer(move || writer.clone()).init();
    let host = Host::new().await;
    let (tokens, pages) = use_everything(&host).await;
    assert!(tokens.len() >= 3);
    assert!(pages.iter().any(|(_, page)| page.contains("Recent activity") && page.contains("Logged in")));

    let log = log.text();
    assert!(log.contains("auth.login.failure") && log.contains("/users/reset-password/"), "it is the whole log");
    let stored = stored(&host).await;
    assert!(stored.iter().any(|text| text.contains("$argon2id$")));
    let secrets = tokens.iter().map(String::as_str).chain(PASSWORDS);
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "the log");
        assert_eq!(stored.iter().find(|text| text.contains(secret)), None, "the database");
        // The form on the page of the link may contain it.
        let page = pages.iter().find(|(path, page)| page.contains(secret) && !path.contains(secret));
        assert_eq!(page, None, "a page");
    }

    let last = EmailToken::parse(tokens.last().expect("a token")).expect("a valid token");
    let hashes = sqlx::query_scalar("SELECT token FROM users_tokens WHERE context NOT IN ('session', 'known_browser')");
    let hashes: Vec<Vec<u8>> = hashes.fetch_all(&host.pool).await.expect("rows");
    assert_eq!(hashes, [last.hash().as_bytes()], "only the hash of the unused link is stored");
}

/// A page's URL leaks to everything that it loads or links to, unless `Referrer-Policy` prevents it.
#[tokio::test]
async fn invariant_1_pages_behind_links_do_not_leak_their_urls() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut links = Vec::new();
    let paths = [
        "/users/confirm",
        "/users/reset-password",
        // <magic_link>
        "/users/log-in/link",
        // </magic_link>
    ];
    for path in paths {
        host.client().post(path, &email_form(&user.email)).await;
        links.push((host.client(), host.link_to(&user.email).await));
    }
    browser.put("/users/settings/email", &email_form("new@example.com")).await;
    links.push((browser, host.link_to("new@example.com").await));

    for (browser, link) in links {
        let page = browser.get(&link).await;
        assert_status(&page, 200);
        assert_eq!(page.header("referrer-policy"), Some("strict-origin"), "{link}");
        let text = page.text();
        assert!(!text.contains("://"), "{link}: {text}");
        for attribute in [" src=\"", " href=\"", " action=\""] {
            for address in text.split(attribute).skip(1) {
                let is_own = address.starts_with('#') || (address.starts_with('/') && !address.starts_with("//"));
                assert!(is_own, "{link}: {address}");
            }
        }
    }
}
