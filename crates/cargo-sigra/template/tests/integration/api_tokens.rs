//! Access tokens, for scripts and other programs.

use std::time::Duration;

use axum::{body::Body, http::Request};
use my_app::web::user_auth::AFTER_LOGOUT_PATH;
use sigra::{
    audit,
    testing::{
        TestClient, TestHost, TestResponse, assert_audit_event, assert_contains, assert_redirected_to, assert_status,
    },
};

use crate::support::{Host, delete_account, password_form};

const PATH: &str = "/users/settings/tokens";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn form<'a>(name: &'a str, days: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![("token[name]", name), ("token[permissions][]", "projects:read"), ("token[expires_in_days]", days)]
}

/// Creates a token with the form, and returns it as the page shows it.
async fn create(browser: &TestClient) -> String {
    let created = browser.post(PATH, &form("Backup script", "30")).await;
    assert_redirected_to(&created, PATH);
    shown_on(&browser.follow(&created).await).expect("a token")
}

/// The token that a page shows, if it shows one.
fn shown_on(page: &TestResponse) -> Option<String> {
    let text = page.text();
    let (_, rest) = text.split_once("id=\"new_token\" class=\"key\">")?;
    Some(rest.split_once('<').expect("the end of the token").0.to_owned())
}

async fn count(host: &Host) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM api_tokens").fetch_one(&host.pool).await.expect("a count")
}

/// The ID in the form that revokes a token.
fn id_on(page: &TestResponse) -> String {
    let text = page.text();
    let (_, rest) = text.split_once(&format!("action=\"{PATH}/")).expect("a token is listed");
    rest.split_once('"').expect("the end of the path").0.to_owned()
}

// <app>
#[tokio::test]
async fn a_program_presents_a_token_that_the_user_created() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_contains(&browser.get("/users/settings").await, PATH);
    let empty = browser.get(PATH).await;
    assert_contains(&empty, "You don&#39;t have any tokens.");
    assert_eq!(empty.header("cache-control"), Some("no-store"));
    let token = create(&browser).await;
    assert!(token.starts_with("my_app_pat_"), "{token}");

    let program = host.client().peer(([203, 0, 113, 7], 443).into()).bearer(&token);
    let me = program.get("/api/me").await;
    assert_status(&me, 200);
    assert_eq!(me.text(), format!(r#"{{"email":"{}","permissions":["projects:read"]}}"#, user.email));
    assert_eq!(me.header("cache-control"), Some("no-store"));
    let page = browser.get(PATH).await;
    for shown in ["Backup script", &format!("Ends with {}", &token[token.len() - 4..]), "See your projects"] {
        assert_contains(&page, shown);
    }
    assert_contains(&page, "IP address 203.0.113.7");
    assert!(!page.text().contains(&token));
}

#[tokio::test]
async fn a_program_without_a_good_token_gets_a_challenge_in_json() {
    let host = Host::new().await;
    for (client, error) in [(host.client(), None), (host.client().bearer("my_app_pat_wrong"), Some("invalid_token"))] {
        let response = client.get("/api/me").await;
        assert_status(&response, 401);
        let challenge = response.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer realm=\"my_app\""), "{challenge}");
        assert_eq!(
            challenge.split("error=").nth(1),
            error.map(|error| format!("\"{error}\"")).as_deref(),
            "{challenge}"
        );
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn invariant_21_a_cookie_opens_no_route_for_programs_and_a_token_no_page() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_status(&browser.get("/api/me").await, 401);
    let program = host.client().bearer(&create(&browser).await);
    for path in ["/dashboard", "/me", "/users/settings", PATH, "/users/sessions", "/users/settings/activity"] {
        assert_status(&program.get(path).await, 401);
    }
    for (path, sent) in [
        (PATH, form("Mine", "never")),
        ("/users/sudo", vec![("user[password]", "wrong")]),
        ("/users/settings/password", password_form("a", "a")),
    ] {
        let sent: Vec<(&str, &str)> = [&sent[..], &[("_method", "post")]].concat();
        assert!(program.post(path, &sent).await.status().is_client_error(), "{path}");
    }
    assert_eq!(count(&host).await, 1);
}

#[tokio::test]
async fn invariant_17_a_token_ends_with_the_account() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let program = host.client().bearer(&create(&browser).await);
    assert_status(&program.get("/api/me").await, 200);
    assert_redirected_to(&delete_account(&browser, &user.email).await, AFTER_LOGOUT_PATH);
    assert_status(&program.get("/api/me").await, 401);
    assert_eq!(count(&host).await, 0);
}

#[tokio::test]
async fn invariant_9_a_token_ends_with_a_reset_of_the_password_but_not_with_a_change() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let program = host.client().bearer(&create(&browser).await);
    let password = "another lantern over calm water";
    assert_redirected_to(
        &browser.put("/users/settings/password", &password_form(password, password)).await,
        "/users/settings",
    );
    assert_status(&program.get("/api/me").await, 200);

    host.client().post("/users/reset-password", &[("user[email]", &user.email)]).await;
    let link = host.link_to(&user.email).await;
    let password = "a third lantern over calm water";
    assert_status(&host.client().put(&link, &password_form(password, password)).await, 303);
    assert_status(&program.get("/api/me").await, 401);
    assert_audit_event(host.sigra(), &user, audit::API_TOKEN_REVOKED).await;
}

#[tokio::test]
async fn logging_out_everywhere_asks_whether_tokens_are_revoked_too() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert!(!browser.get("/users/sessions").await.text().contains("revoke_api_tokens"), "there are none");
    let program = host.client().bearer(&create(&browser).await);
    assert_contains(&browser.get("/users/sessions").await, "name=\"user[revoke_api_tokens]\" type=\"checkbox\"");

    assert_redirected_to(&browser.delete("/users/sessions").await, AFTER_LOGOUT_PATH);
    assert_status(&program.get("/api/me").await, 200);
    let browser = host.log_in(&user).await;
    let form = [("_method", "delete"), ("user[revoke_api_tokens]", "true")];
    assert_redirected_to(&browser.post("/users/sessions", &form).await, AFTER_LOGOUT_PATH);
    assert_status(&program.get("/api/me").await, 401);
    assert_eq!(count(&host).await, 0);
}

/// A token that is created needs no cookie, no `Origin` and no hidden field.
#[tokio::test]
async fn invariant_8_another_origin_needs_a_token_and_gets_no_session() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let token = format!("Bearer {}", create(&browser).await);
    let from = |path: &str, token: Option<&str>| {
        let mut request =
            Request::get(path).header("origin", "https://spa.example").header("sec-fetch-site", "cross-site");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        request.body(Body::empty()).expect("a request")
    };
    let spa = host.client();
    assert_contains(&spa.send(from("/api/me", Some(&token))).await, &user.email);
    assert_status(&spa.send(from("/api/me", None)).await, 401);
    let mut unsafe_one = from(PATH, Some(&token));
    *unsafe_one.method_mut() = axum::http::Method::POST;
    assert_status(&browser.send(unsafe_one).await, 403);
}
// </app>

#[tokio::test]
async fn a_token_is_shown_once_and_a_reload_creates_no_other() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let token = create(&browser).await;
    for _ in 0..2 {
        let page = browser.get(PATH).await;
        assert_eq!(shown_on(&page), None);
        assert!(!page.text().contains(&token));
    }
    assert_eq!(count(&host).await, 1);
    assert!(browser.cookies().iter().all(|(_, value)| !value.contains(&token)));
}

/// A token that waits for its page is of no use to somebody else, nor to the same user later.
#[tokio::test]
async fn invariant_1_a_token_on_its_way_to_the_page_is_encrypted_and_expires() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_redirected_to(&browser.post(PATH, &form("Backup script", "30")).await, PATH);
    for (_, value) in browser.cookies() {
        assert!(!value.contains("my_app_pat_") && !value.contains("bXlfYXBwX3BhdF"), "{value}");
    }
    let (_, other) = host.authenticated_fixture().await;
    for (name, value) in browser.cookies().iter().filter(|(name, _)| name.contains("new_api_token")) {
        other.set_cookie(name, value);
    }
    assert_eq!(shown_on(&other.get(PATH).await), None);
    host.clock().advance(Duration::from_secs(61));
    assert_eq!(shown_on(&browser.get(PATH).await), None);
}

#[tokio::test]
async fn the_user_gets_an_email_about_a_new_token() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    create(&browser).await;
    browser.post(PATH, &form("Forever <b>", "never")).await;
    let mails = host.mails_to(&user.email).await;
    let [.., first, second] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!(first.subject, "An access token was created");
    for said in ["“Backup script”", "The token allows: See your projects.", "The token expires on ", PATH] {
        assert!(first.text.contains(said), "{}", first.text);
    }
    assert!(second.text.contains("The token never expires."), "{}", second.text);
    assert!(!second.html.as_deref().unwrap_or_default().contains("<b>"), "names are escaped");
    assert!(mails.iter().all(|mail| !mail.text.contains("my_app_pat_")));
    assert_audit_event(host.sigra(), &user, audit::API_TOKEN_CREATED).await;
    assert_contains(&browser.get("/users/settings/activity").await, "Created an access token");
}

#[tokio::test]
async fn several_permissions_of_a_token_can_be_told_apart() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let both = [form("Backup script", "30"), vec![("token[permissions][]", "projects:write")]].concat();
    assert_redirected_to(&browser.post(PATH, &both).await, PATH);
    let page = browser.get(PATH).await;
    for permission in ["<p>See your projects</p>", "<p>Create, change and delete your projects</p>"] {
        assert_contains(&page, permission);
    }
    let mails = host.mails_to(&user.email).await;
    let [.., mail] = &mails[..] else { panic!("{mails:?}") };
    let said = "The token allows: See your projects; Create, change and delete your projects.";
    assert!(mail.text.contains(said), "{}", mail.text);
}

#[tokio::test]
async fn the_focus_is_where_the_problem_of_a_new_token_is() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let past = [form("Backup script", "date"), vec![("token[expires_on]", "2020-01-31")]].concat();
    let nothing = vec![("token[name]", "Backup script"), ("token[expires_in_days]", "30")];
    for (sent, field) in [
        (form(" ", "30"), "token_name"),
        (nothing, "token_projects:read"),
        (form("Backup script", "1.5"), "token_expires_in_days"),
        (past, "token_expires_on"),
    ] {
        let page = browser.post(PATH, &sent).await;
        assert_status(&page, 422);
        let text = page.text();
        let focused: Vec<&str> =
            text.lines().filter(|line| line.contains(" autofocus") && line.contains(" name=\"token")).collect();
        assert!(matches!(focused[..], [line] if line.contains(&format!("id=\"{field}\""))), "{field}: {focused:?}");
    }
}

/// Somebody registers another person's address, and names tokens.
#[tokio::test]
async fn an_address_that_was_never_confirmed_gets_no_words_of_a_stranger() {
    let host = Host::new().await;
    let (victim, browser) = host.authenticated_fixture().await;
    for _ in 0..5 {
        assert_redirected_to(&browser.post(PATH, &form("win at https://evil.example", "30")).await, PATH);
    }
    let mails = host.mails_to(&victim.email).await;
    assert!(mails.iter().all(|mail| !mail.text.contains("evil")), "{mails:?}");
    assert_eq!(mails.len(), 3);
}

#[tokio::test]
async fn tokens_require_a_recent_login() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    create(&browser).await;
    let id = id_on(&browser.get(PATH).await);
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_redirected_to(&browser.get(PATH).await, "/users/sudo");
    assert_redirected_to(&browser.post(PATH, &form("Another", "30")).await, "/users/sudo");
    assert_redirected_to(&browser.delete(&format!("{PATH}/{id}")).await, "/users/sudo");
    assert_eq!(count(&host).await, 1);
}

#[tokio::test]
async fn a_user_revokes_only_their_own_tokens() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    create(&browser).await;
    let id = id_on(&browser.get(PATH).await);
    let (_, thief) = host.authenticated_fixture().await;
    assert!(!thief.get(PATH).await.text().contains(&id));
    assert_status(&thief.delete(&format!("{PATH}/{id}")).await, 404);
    assert_status(&thief.delete(&format!("{PATH}/none")).await, 400);
    assert_eq!(count(&host).await, 1);

    assert_redirected_to(&browser.delete(&format!("{PATH}/{id}")).await, PATH);
    assert_contains(&browser.get(PATH).await, "Token revoked.");
    assert_eq!(count(&host).await, 0);
    assert_audit_event(host.sigra(), &user, audit::API_TOKEN_REVOKED).await;
}

/// In other libraries, a date that could not be read meant that the token never expires, and the owner came from the
/// body.
#[tokio::test]
async fn invariant_21_only_valid_fields_create_a_token_of_the_user_in_the_session() {
    let host = Host::new().await;
    let other = host.registered_fixture().await;
    let (user, browser) = host.authenticated_fixture().await;
    let tomorrow = (host.clock().now() + DAY).date().to_string();
    for (name, permission, days, on, problem) in [
        (" ", "projects:read", "30", "", "Give the token a name."),
        (&*"a".repeat(61), "projects:read", "30", "", "Use a name of at most 60 characters."),
        ("a", "admin", "30", "", "Choose permissions from the list."),
        ("a", "projects:read admin", "30", "", "Choose at least one permission."),
        ("a", "projects:read", "", "", "Choose when the token expires."),
        ("a", "projects:read", "soon", "", "Choose when the token expires."),
        ("a", "projects:read", "date", "", "Choose when the token expires."),
        ("a", "projects:read", "date", "2020-01-01", "Choose a date in the future."),
        ("a", "projects:read", "-1", &tomorrow, "Choose when the token expires."),
    ] {
        let form = [
            ("token[name]", name),
            ("token[permissions][]", permission),
            ("token[expires_in_days]", days),
            ("token[expires_on]", on),
        ];
        let response = browser.post(PATH, &form).await;
        assert_status(&response, 422);
        assert_contains(&response, problem);
    }
    assert_contains(&browser.post(PATH, &[("token[name]", "a")]).await, "Choose at least one permission.");
    assert_eq!(count(&host).await, 0);

    let id = other.id.to_string();
    let own = [("token[user_id]", &*id), ("user_id", &*id), ("token[expires_on]", &*tomorrow)];
    let sent = [form("Until tomorrow", "date"), own.to_vec()].concat();
    assert_redirected_to(&browser.post(PATH, &sent).await, PATH);
    let owners: Vec<my_app::accounts::UserId> =
        sqlx::query_scalar("SELECT user_id FROM api_tokens").fetch_all(&host.pool).await.expect("rows");
    assert_eq!(owners, [user.id]);
}

#[tokio::test]
async fn an_expired_token_is_marked() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    create(&browser).await;
    host.clock().advance(DAY * 30);
    let browser = host.log_in(&user).await;
    assert_contains(&browser.get(PATH).await, "<span class=\"badge bad\">Expired</span>");
}

#[tokio::test]
async fn a_user_with_50_tokens_is_told_to_revoke_one() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let (_, browser) = host.authenticated_fixture().await;
    for number in 0..50 {
        browser.post(PATH, &form(&format!("Token {number}"), "30")).await;
    }
    assert_eq!(count(&host).await, 50);
    assert_contains(&browser.get(PATH).await, "You&#39;ve reached the maximum number of tokens.");
    assert_redirected_to(&browser.post(PATH, &form("One more", "30")).await, PATH);
    assert_contains(&browser.get(PATH).await, "You can have at most 50 tokens.");
    assert_eq!(count(&host).await, 50);
}
