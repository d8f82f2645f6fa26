//! The OAuth server: codes, refresh tokens, devices, and what ends them. Attacks first.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{body::Body, http::StatusCode};
use http::{Method, Request};
use serde_json::{Value, json};
use sigra::{
    Client, Permission as _, Problem, audit,
    limits::Limit,
    oauth_server::AuthorizationServer,
    testing::{TestClient, TestHost, TestResponse, assert_audit_event, assert_status},
};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use url::form_urlencoded;

use super::{
    hanging_up::at_every_point,
    host::{DAY, MINUTE, SECOND, User, token},
    oauth_server_host::{
        APP, CALLBACK, ISSUER, MCP, ReadProjects, SECRET, ServerHost, Tokens, VERIFIER, another_address, answer_in,
        approve, assert_refused, authorize_path, code_of, error_of, settings, text,
    },
};
use crate::database::{LAST_TIME, REFUSE_USER_CODES};

const AT_ONCE: usize = 16;

/// Causes every event that only the OAuth server logs.
pub async fn cause_every_event() {
    let host = ServerHost::with(|server| server.max_registered_clients(100), |config| config).await;
    register(&host, &json!({ "redirect_uris": [APP] })).await;
    assert_refused(&host.exchange("unknown", &[]).await, "invalid_grant");
    let (user, browser) = host.user().await;
    host.log_in(&browser).await;
    let grant = host.sigra().oauth_server().grants(&user.id).await.unwrap().remove(0);
    host.sigra().oauth_server().revoke_grant(&user.id, grant.id, &Client::default()).await.unwrap();
}

async fn suspend(host: &ServerHost, user: &User) {
    let suspend = sqlx::query("UPDATE users SET suspended = $1 WHERE id = $2").bind(true).bind(user.id);
    suspend.execute(&host.host.pool).await.unwrap();
    host.sigra().catch_up().await;
}

async fn promote(host: &ServerHost, user: &User) {
    let promote = sqlx::query("UPDATE users SET admin = $1 WHERE id = $2").bind(true).bind(user.id);
    promote.execute(&host.host.pool).await.unwrap();
    host.sigra().catch_up().await;
}

async fn is_open(host: &ServerHost, access: &str) -> bool {
    match host.open("/api/read", access).await.status() {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

// The flow of a code.

#[tokio::test]
async fn a_program_gets_tokens_that_open_what_the_user_allowed() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let page: Value = browser.get(&authorize_path(&[("scope", "projects:read")])).await.json();
    assert_eq!((&page["client"], &page["permissions"]), (&json!("Acme CLI"), &json!(["See your projects"])));
    assert_eq!((&page["destination"], &page["form_action"]), (&json!("127.0.0.1"), &json!("http://127.0.0.1:49152")));

    let approved = approve(&browser, &[("scope", "projects:read")]).await;
    assert!(approved.location().unwrap().starts_with("http://127.0.0.1:49152/callback?code="));
    assert!(answer_in(&approved).contains(&("state".to_owned(), "xyz".to_owned())));
    let tokens = Tokens::of(&host.exchange(&code_of(&approved), &[]).await);
    assert_eq!(tokens.scope, "projects:read");
    assert!(tokens.access.starts_with("my_app_oat_") && tokens.refresh.starts_with("my_app_ort_"));

    assert_eq!(host.open("/api/read", &tokens.access).await.text(), user.email);
    assert_status(&host.open("/api/write", &tokens.access).await, StatusCode::FORBIDDEN);
    let grants = host.sigra().oauth_server().grants(&user.id).await.unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].device(), "Acme CLI on Linux");
    assert_eq!(grants[0].permissions.to_string(), "projects:read");
    assert_audit_event(host.sigra(), &user, audit::PROGRAM_AUTHORIZED).await;
}

#[tokio::test]
async fn a_visitor_logs_in_first_and_comes_back() {
    let host = ServerHost::new().await;
    let user = host.host.registered_fixture().await;
    let browser = TestClient::new(host.router());
    let path = authorize_path(&[]);
    assert_eq!(browser.get(&path).await.location(), Some("/users/log-in"));
    assert_eq!(host.host.post_log_in(&browser, &user, false).await.location(), Some(path.as_str()));
    assert_status(&browser.get(&path).await, StatusCode::OK);
    assert_eq!(host.count("oauth_codes").await, 0, "nothing is given before the user allowed it");
}

#[tokio::test]
async fn a_request_that_is_too_long_to_return_to_is_refused_before_a_login_or_sudo_mode() {
    let host = ServerHost::new().await;
    let state = "s".repeat(2100);
    let long = [("state", state.as_str())];
    let refused = TestClient::new(host.router()).get(&authorize_path(&long)).await;
    assert_status(&refused, StatusCode::URI_TOO_LONG);
    assert!(refused.text().contains("2048"), "{refused:?}");
    let (_, browser) = host.user().await;
    assert_status(&browser.get(&authorize_path(&long)).await, StatusCode::OK);
    code_of(&approve(&browser, &long).await);
    host.host.clock().advance(MINUTE * 20);
    assert_status(&approve(&browser, &long).await, StatusCode::URI_TOO_LONG);
    assert_status(&approve(&browser, &[]).await, StatusCode::SEE_OTHER);
    // Other pages aren't waited for.
    let page = format!("/me?state={state}");
    assert_status(&TestClient::new(host.router()).get(&page).await, StatusCode::SEE_OTHER);
    let program = TestClient::new(host.router()).json();
    assert_status(&program.get(&authorize_path(&long)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_user_who_says_no_gives_nothing() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let denied = browser.post(&authorize_path(&[]), &[("decision", "no")]).await;
    let expected = [("error", "access_denied"), ("state", "xyz"), ("iss", ISSUER)];
    assert_eq!(answer_in(&denied), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(host.count("oauth_codes").await, 0);
}

#[tokio::test]
async fn only_a_client_of_the_hosts_own_skips_consent() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let own = [("client_id", "own"), ("redirect_uri", APP)];
    let code = code_of(&browser.get(&authorize_path(&own)).await);
    let exchanged = host.exchange(&code, &own).await;
    assert_status(&exchanged, StatusCode::OK);
    assert_status(
        &browser.get(&authorize_path(&[("client_id", "reader"), ("redirect_uri", APP), ("scope", "")])).await,
        StatusCode::OK,
    );
}

#[tokio::test]
async fn invariant_8_another_site_cannot_consent_for_the_user() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    for site in ["cross-site", "same-site"] {
        let request = Request::builder().method(Method::POST).uri(authorize_path(&[])).header("sec-fetch-site", site);
        let request = request.header("origin", "https://evil.example");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = browser.send(request.body(Body::from("decision=allow")).unwrap()).await;
        assert_status(&response, StatusCode::FORBIDDEN);
    }
    assert_eq!(host.count("oauth_codes").await, 0);
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_the_clients_is_never_redirected_to() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    for bad in [
        "https://evil.example/callback",
        "http://127.0.0.1:1@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:1/callback#fragment",
        "http://127.0.0.1:1/callback/../x",
        "http://127.0.0.1:1/Callback",
        "http://127.0.0.1:1/callback?next=x",
        "http://localhost:1/callback",
        "https://127.0.0.1:1/callback",
        "javascript:alert(1)",
        "",
    ] {
        for response in [
            browser.get(&authorize_path(&[("redirect_uri", bad)])).await,
            approve(&browser, &[("redirect_uri", bad)]).await,
        ] {
            assert_status(&response, StatusCode::BAD_REQUEST);
            assert_eq!(response.location(), None, "{bad}");
        }
    }
    for bad in ["", "unknown", "cli ", "CLI", "registered_x"] {
        assert_status(&browser.get(&authorize_path(&[("client_id", bad)])).await, StatusCode::BAD_REQUEST);
    }
    let twice = format!("{}&redirect_uri=https://evil.example", authorize_path(&[]));
    assert_status(&browser.get(&twice).await, StatusCode::BAD_REQUEST);
    assert_eq!(host.count("oauth_codes").await, 0);
}

#[tokio::test]
async fn other_mistakes_are_reported_to_the_client() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge", VERIFIER, "nothing"),
        ("scope", "everything", "invalid_scope"),
        ("scope", "projects:read \"", "invalid_scope"),
        ("resource", "https://evil.example", "invalid_target"),
        ("request", "eyJ", "request_not_supported"),
    ] {
        let response = approve(&browser, &[(name, value)]).await;
        assert!(response.location().unwrap().starts_with(CALLBACK), "{response:?}");
        let answer = answer_in(&response);
        let found = answer.iter().find(|(name, _)| name == "error").map_or("nothing", |(_, error)| error.as_str());
        assert_eq!(found, error, "{name}={value}");
        assert!(answer.contains(&("iss".to_owned(), ISSUER.to_owned())));
        assert!(answer.contains(&("state".to_owned(), "xyz".to_owned())));
    }
}

#[tokio::test]
async fn a_client_never_gets_more_permissions_than_it_may_have() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let reader = [("client_id", "reader"), ("redirect_uri", APP)];
    let refused = approve(&browser, &[reader[0], reader[1], ("scope", "projects:read projects:write")]).await;
    assert!(answer_in(&refused).contains(&("error".to_owned(), "invalid_scope".to_owned())));
    let code = code_of(&approve(&browser, &[reader[0], reader[1], ("scope", "")]).await);
    let tokens = Tokens::of(&host.exchange(&code, &reader).await);
    assert_eq!(tokens.scope, "projects:read", "without a scope, it is what the client may have");
}

#[tokio::test]
async fn invariant_10_a_code_works_once_and_ends_what_it_gave_when_it_comes_again() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let code = code_of(&approve(&browser, &[]).await);
    let tokens = Tokens::of(&host.exchange(&code, &[]).await);
    assert!(is_open(&host, &tokens.access).await);

    assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
    assert!(!is_open(&host, &tokens.access).await);
    assert_refused(&host.refresh(&tokens.refresh, &[]).await, "invalid_grant");
    assert_eq!(host.count("oauth_grants").await, 0);
    assert_audit_event(host.sigra(), &user, audit::PROGRAM_TOKEN_REUSED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_10_of_many_exchanges_of_a_code_at_once_one_at_most_has_tokens_and_they_end() {
    let host = Arc::new(ServerHost::new().await);
    let (_, browser) = host.user().await;
    let code = code_of(&approve(&browser, &[]).await);
    let mut exchanges = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (host, code) = (host.clone(), code.clone());
        exchanges.spawn(async move { host.exchange(&code, &[]).await.status() });
    }
    let statuses = exchanges.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
    assert_eq!(host.count("oauth_grants").await, 0, "the others were a second use");
}

#[tokio::test]
async fn a_code_is_worth_nothing_with_another_client_verifier_redirect_or_resource() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let other_verifier = VERIFIER.replace('d', "e");
    let challenge = super::oauth_server_host::challenge();
    for change in [
        ("client_id", "other"),
        ("code_verifier", other_verifier.as_str()),
        ("code_verifier", challenge.as_str()),
        ("redirect_uri", "http://127.0.0.1:1/callback"),
        ("resource", "https://localhost/mcp"),
    ] {
        let code = code_of(&approve(&browser, &[]).await);
        assert_refused(&host.exchange(&code, &[change]).await, "invalid_grant");
        assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
    }
    let code = code_of(&approve(&browser, &[]).await);
    assert_refused(&host.exchange(&code, &[("code_verifier", "")]).await, "invalid_request");
    assert_refused(&host.exchange(&code, &[("code", "")]).await, "invalid_request");
    assert_refused(&host.exchange("unknown", &[]).await, "invalid_grant");
    assert_refused(&host.exchange(&code, &[("grant_type", "password")]).await, "unsupported_grant_type");
    assert_eq!(host.count("oauth_grants").await, 0);
    assert_status(&host.exchange(&code, &[("redirect_uri", "")]).await, StatusCode::OK);
}

#[tokio::test]
async fn a_code_expires_after_a_minute_and_with_the_session_that_gave_it() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let late = code_of(&approve(&browser, &[]).await);
    host.host.clock().advance(MINUTE);
    assert_refused(&host.exchange(&late, &[]).await, "invalid_grant");

    let code = code_of(&approve(&browser, &[]).await);
    browser.post("/log-out", &[]).await;
    assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
    assert_eq!(host.count("oauth_grants").await, 0);
}

#[tokio::test]
async fn parameters_in_the_url_and_parameters_that_are_there_twice_are_refused() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let in_url = format!("/oauth/token?grant_type=refresh_token&client_id=cli&refresh_token={}", tokens.refresh);
    assert_refused(&host.program().post(&in_url, &[]).await, "invalid_request");
    let twice = [("grant_type", "refresh_token"), ("client_id", "cli"), ("refresh_token", &tokens.refresh)];
    let twice = [&twice[..], &[("client_id", "cli")]].concat();
    assert_refused(&host.program().post("/oauth/token", &twice).await, "invalid_request");
    let open = host.open(&format!("/api/read?access_token={}", tokens.access), &tokens.access).await;
    assert_status(&open, StatusCode::BAD_REQUEST);
    let query = TestClient::new(host.router()).json().get(&format!("/api/read?access_token={}", tokens.access)).await;
    assert_status(&query, StatusCode::UNAUTHORIZED);
    assert_status(&host.refresh(&tokens.refresh, &[]).await, StatusCode::OK);
}

#[tokio::test]
async fn a_confidential_client_needs_its_secret() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let site = [("client_id", "site"), ("redirect_uri", APP)];
    for secret in ["", "wrong"] {
        let code = code_of(&approve(&browser, &site).await);
        let refused = host.exchange(&code, &[site[0], site[1], ("client_secret", secret)]).await;
        assert_status(&refused, StatusCode::UNAUTHORIZED);
        assert_refused(&refused, "invalid_client");
        assert!(refused.header("www-authenticate").is_some_and(|header| header.starts_with("Basic ")));
        assert_status(&host.exchange(&code, &[site[0], site[1], ("client_secret", SECRET)]).await, StatusCode::OK);
    }
    let code = code_of(&approve(&browser, &[]).await);
    assert_refused(&host.exchange(&code, &[("client_secret", SECRET)]).await, "invalid_client");
}

// Refresh tokens.

#[tokio::test]
async fn invariant_22_a_replaced_refresh_token_returns_the_same_successor_within_its_grace() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let first = host.log_in(&browser).await;
    let second = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    assert_ne!(second.refresh, first.refresh);
    host.host.clock().advance(SECOND * 29);
    let again = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    assert_eq!(again.refresh, second.refresh, "there is no second child");
    assert_ne!(again.access, second.access);
    for access in [&first.access, &second.access, &again.access] {
        assert!(is_open(&host, access).await);
    }
    host.host.clock().advance(MINUTE * 10);
    let third = Tokens::of(&host.refresh(&second.refresh, &[]).await);
    assert!(is_open(&host, &third.access).await);
    assert_eq!(host.count("oauth_grants").await, 1);
}

#[tokio::test]
async fn invariant_22_a_refresh_token_that_comes_back_after_its_grace_ends_its_family() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let first = host.log_in(&browser).await;
    let second = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    host.host.clock().advance(SECOND * 30);
    assert_refused(&host.refresh(&first.refresh, &[]).await, "invalid_grant");
    assert_refused(&host.refresh(&second.refresh, &[]).await, "invalid_grant");
    assert!(!is_open(&host, &second.access).await);
    assert_eq!(host.count("oauth_grants").await, 0);
    assert_audit_event(host.sigra(), &user, audit::PROGRAM_TOKEN_REUSED).await;
}

#[tokio::test]
async fn invariant_22_only_the_direct_predecessor_has_a_grace() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let first = host.log_in(&browser).await;
    let second = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    let third = Tokens::of(&host.refresh(&second.refresh, &[]).await);
    assert_refused(&host.refresh(&first.refresh, &[]).await, "invalid_grant");
    assert_refused(&host.refresh(&third.refresh, &[]).await, "invalid_grant");
    assert_eq!(host.count("oauth_grants").await, 0);
}

#[tokio::test]
async fn invariant_22_a_revoked_token_has_no_grace() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let first = host.log_in(&browser).await;
    let second = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    let grant = host.sigra().oauth_server().grants(&user.id).await.unwrap().remove(0);
    assert!(host.sigra().oauth_server().revoke_grant(&user.id, grant.id, &Client::default()).await.unwrap());
    for token in [&first.refresh, &second.refresh] {
        assert_refused(&host.refresh(token, &[]).await, "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_22_many_refreshes_at_once_have_one_child_and_lose_no_family() {
    let host = Arc::new(ServerHost::new().await);
    let (_, browser) = host.user().await;
    let mut tokens = host.log_in(&browser).await;
    for _ in 0..4 {
        let mut refreshes = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (host, token) = (host.clone(), tokens.refresh.clone());
            refreshes.spawn(async move { Tokens::of(&host.refresh(&token, &[]).await) });
        }
        let all = refreshes.join_all().await;
        let children: std::collections::BTreeSet<&str> = all.iter().map(|tokens| tokens.refresh.as_str()).collect();
        assert_eq!(children.len(), 1, "one child");
        tokens = all[0].clone();
        assert!(is_open(&host, &tokens.access).await);
        host.host.clock().advance(SECOND);
    }
    assert_eq!(host.count("oauth_grants").await, 1);
    assert!(host.count("oauth_tokens").await <= 32, "the oldest access tokens make room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_22_two_nodes_that_refresh_at_once_have_one_child() {
    let host = Arc::new(ServerHost::new().await);
    let node = Arc::new(host.another_node().await);
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let mut refreshes = JoinSet::new();
    for at in 0..AT_ONCE {
        let (host, token) = ([&host, &node][at % 2].clone(), tokens.refresh.clone());
        refreshes.spawn(async move { Tokens::of(&host.refresh(&token, &[]).await).refresh });
    }
    let children: std::collections::BTreeSet<String> = refreshes.join_all().await.into_iter().collect();
    assert_eq!(children.len(), 1);
}

#[tokio::test]
async fn a_refresh_never_has_more_permissions_than_the_user_gave() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in_with(&browser, &[("scope", "projects:read")]).await;
    for scope in ["projects:read projects:write", "projects:write", "everything"] {
        assert_refused(&host.refresh(&tokens.refresh, &[("scope", scope)]).await, "invalid_scope");
    }
    let all = host.log_in(&browser).await;
    let fewer = Tokens::of(&host.refresh(&all.refresh, &[("scope", "projects:read")]).await);
    assert_eq!(fewer.scope, "projects:read");
    assert_status(&host.open("/api/write", &fewer.access).await, StatusCode::FORBIDDEN);
    let again = Tokens::of(&host.refresh(&fewer.refresh, &[]).await);
    assert_eq!(again.scope, "projects:read projects:write", "the grant still has them");
}

#[tokio::test]
async fn a_refresh_token_of_another_client_is_refused_and_stays_valid() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    assert_refused(&host.refresh(&tokens.refresh, &[("client_id", "other")]).await, "invalid_grant");
    assert_refused(&host.refresh(&tokens.refresh, &[("client_id", "unknown")]).await, "invalid_client");
    assert_status(&host.refresh(&tokens.refresh, &[]).await, StatusCode::OK);
}

#[tokio::test]
async fn access_tokens_expire_after_15_minutes_and_access_after_90_days_of_use() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let mut tokens = host.log_in(&browser).await;
    host.host.clock().advance(MINUTE * 15);
    assert!(!is_open(&host, &tokens.access).await);
    for _ in 0..8 {
        tokens = Tokens::of(&host.refresh(&tokens.refresh, &[]).await);
        host.host.clock().advance(DAY * 11);
    }
    host.host.clock().advance(DAY * 2);
    assert_refused(&host.refresh(&tokens.refresh, &[]).await, "invalid_grant");
    assert!(host.sigra().oauth_server().grants(&user.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refresh_within_the_grace_survives_a_rotation_of_the_secret_key() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let first = host.log_in(&browser).await;
    let second = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    let rotated = host.with_newer_secret().await;
    let again = Tokens::of(&rotated.refresh(&first.refresh, &[]).await);
    assert_eq!(again.refresh, second.refresh);
    assert_status(&rotated.refresh(&again.refresh, &[]).await, StatusCode::OK);
}

/// It must not take what came before for what comes after, and so for a token that somebody has stolen.
#[tokio::test]
async fn invariant_22_a_server_whose_clock_is_behind_ends_no_family() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let behind = host.behind().await;
    let first = host.log_in(&browser).await;
    assert_refused(&behind.refresh(&first.refresh, &[]).await, "invalid_grant");
    let second = Tokens::of(&host.refresh(&first.refresh, &[]).await);
    assert_refused(&behind.refresh(&first.refresh, &[]).await, "invalid_grant");
    assert_status(&host.refresh(&second.refresh, &[]).await, StatusCode::OK);
}

// What ends access.

#[tokio::test]
async fn invariant_17_a_suspended_or_deleted_user_has_no_tokens_on_any_node() {
    let host = ServerHost::new().await;
    let node = host.another_node().await;
    for delete in [false, true] {
        let (user, browser) = host.user().await;
        let tokens = host.log_in(&browser).await;
        let code = code_of(&approve(&browser, &[]).await);
        assert!(is_open(&host, &tokens.access).await && is_open(&node, &tokens.access).await);
        if delete {
            sqlx::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&host.host.pool).await.unwrap();
            host.sigra().catch_up().await;
        } else {
            suspend(&host, &user).await;
        }
        node.sigra().catch_up().await;
        assert!(!is_open(&host, &tokens.access).await && !is_open(&node, &tokens.access).await);
        assert_refused(&host.refresh(&tokens.refresh, &[]).await, "invalid_grant");
        assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
    }
    assert_eq!(host.count("oauth_grants").await, 0);
}

#[tokio::test]
async fn a_refresh_for_an_inactive_user_ends_the_access_of_the_program_with_an_audit_event() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    suspend(&host, &user).await;
    assert_refused(&host.refresh(&tokens.refresh, &[]).await, "invalid_grant");
    assert_eq!(host.count("oauth_grants").await, 0);
    let events = host.sigra().audit().list(&user.id, None, 10).await.unwrap();
    let revoked = events.iter().find(|event| event.action == audit::PROGRAM_REVOKED).expect("an event");
    assert_eq!(revoked.metadata, json!({ "name": "Acme CLI", "reason": "inactive" }));
}

#[tokio::test]
async fn invariant_9_a_new_password_ends_the_access_of_programs_on_all_nodes() {
    let host = ServerHost::new().await;
    let node = host.another_node().await;
    for kept in [false, true] {
        let (user, browser) = host.user().await;
        let tokens = host.log_in(&browser).await;
        let code = code_of(&approve(&browser, &[]).await);
        assert!(is_open(&node, &tokens.access).await);
        let session = host.sigra().fetch_session(&token(&browser)).await.unwrap().unwrap().session().id;
        let mut tx = host.sigra().begin().await.unwrap();
        let revoked = match kept {
            true => host.sigra().sessions().end_other_access_in(&mut tx, &user.id, session).await,
            false => host.sigra().sessions().end_all_access_in(&mut tx, &user.id, None).await,
        };
        tx.commit().await.unwrap();
        host.sigra().sessions().announce(revoked.unwrap());
        node.sigra().catch_up().await;
        assert!(!is_open(&host, &tokens.access).await && !is_open(&node, &tokens.access).await);
        assert_refused(&host.refresh(&tokens.refresh, &[]).await, "invalid_grant");
        assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
    }
}

#[tokio::test]
async fn invariant_21_a_user_revokes_their_own_programs_and_no_others() {
    let host = ServerHost::new().await;
    let node = host.another_node().await;
    let ((ada, hers), (eve, _)) = (host.user().await, host.user().await);
    let tokens = host.log_in(&hers).await;
    let server = host.sigra().oauth_server();
    let grant = server.grants(&ada.id).await.unwrap().remove(0);
    assert!(!server.revoke_grant(&eve.id, grant.id, &Client::default()).await.unwrap());
    assert!(is_open(&host, &tokens.access).await && is_open(&node, &tokens.access).await);
    assert!(server.revoke_grant(&ada.id, grant.id, &Client::default()).await.unwrap());
    assert!(!is_open(&host, &tokens.access).await);
    node.sigra().catch_up().await;
    assert!(!is_open(&node, &tokens.access).await);
    assert_audit_event(host.sigra(), &ada, audit::PROGRAM_REVOKED).await;
}

#[tokio::test]
async fn logging_out_everywhere_can_end_programs_too() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    assert!(is_open(&host, &tokens.access).await, "programs stay logged in");
    let mut tx = host.sigra().begin().await.unwrap();
    let ended = host.sigra().oauth_server().revoke_all_grants_in(&mut tx, &user.id, &Client::default()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ended, 1);
    host.sigra().sessions().announce_change(&user.id);
    assert_audit_event(host.sigra(), &user, audit::PROGRAM_REVOKED).await;
    assert!(!is_open(&host, &tokens.access).await);
}

#[tokio::test]
async fn invariant_12_a_user_who_must_have_a_second_factor_gives_and_keeps_no_access_without_one() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let code = code_of(&approve(&browser, &[]).await);
    let (device, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    browser.post("/device/decision", &[("user_code", &user_code), ("decision", "allow")]).await;

    promote(&host, &user).await;
    assert!(!is_open(&host, &tokens.access).await);
    assert_refused(&host.refresh(&tokens.refresh, &[]).await, "invalid_grant");
    assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
    assert_refused(&host.poll(&device).await, "access_denied");
    assert_eq!(browser.get(&authorize_path(&[])).await.location(), Some("/mfa"));
    assert_status(&approve(&browser, &[]).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn invariant_12_a_pending_second_factor_gives_no_access() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let code = code_of(&approve(&browser, &[]).await);
    let pending = sqlx::query("UPDATE users_tokens SET mfa_pending = $1 WHERE user_id = $2").bind(true).bind(user.id);
    pending.execute(&host.host.pool).await.unwrap();
    host.sigra().catch_up().await;
    assert_eq!(browser.get(&authorize_path(&[])).await.location(), Some("/mfa-challenge"));
    assert_status(&approve(&browser, &[]).await, StatusCode::UNAUTHORIZED);
    assert_status(&browser.post("/device", &[("user_code", "BCDF-GHJK")]).await, StatusCode::UNAUTHORIZED);
    assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
}

#[tokio::test]
async fn invariant_4_a_token_of_one_kind_is_never_accepted_as_another() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let code = code_of(&approve(&browser, &[]).await);
    let session = token(&browser).encode().to_string();
    let (device, user_code) = host.begin_device().await;
    for wrong in [&tokens.refresh, &code, &session, &device, &user_code, &tokens.refresh[11..].to_owned()] {
        assert!(!is_open(&host, wrong).await, "as an access token");
    }
    for wrong in [&tokens.access, &code, &session, &device, &tokens.access.replace("_oat_", "_ort_")] {
        assert_refused(&host.refresh(wrong, &[]).await, "invalid_grant");
    }
    for wrong in [&tokens.access, &tokens.refresh, &session, &device] {
        assert_refused(&host.exchange(wrong, &[]).await, "invalid_grant");
    }
    for wrong in [&tokens.access, &code, &session] {
        assert_refused(&host.poll(wrong).await, "invalid_grant");
    }
    assert_status(&host.exchange(&code, &[]).await, StatusCode::OK);
}

#[tokio::test]
async fn invariant_21_an_access_token_opens_no_page_and_gives_no_access_to_others() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let program = TestClient::new(host.router()).json().bearer(&tokens.access);
    assert_status(&program.get("/me").await, StatusCode::UNAUTHORIZED);
    assert_status(&program.get(&authorize_path(&[])).await, StatusCode::UNAUTHORIZED);
    assert_status(&approve(&program, &[]).await, StatusCode::UNAUTHORIZED);
    assert_status(&program.post("/device", &[("user_code", "BCDF-GHJK")]).await, StatusCode::UNAUTHORIZED);
    assert_status(&browser.get("/api/read").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn invariant_21_a_token_for_a_resource_opens_only_that() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let mcp = MCP;
    assert_eq!(browser.get(&authorize_path(&[("resource", mcp)])).await.json::<Value>()["resource"], mcp);
    assert_eq!(browser.get(&authorize_path(&[])).await.json::<Value>()["resource"], Value::Null, "the whole server");
    let code = code_of(&approve(&browser, &[("resource", mcp)]).await);
    let tokens = Tokens::of(&host.exchange(&code, &[("resource", mcp)]).await);
    assert_eq!(host.sigra().oauth_server().grants(&user.id).await.unwrap()[0].resource.as_deref(), Some(mcp));
    assert_eq!(host.open("/mcp", &tokens.access).await.text(), user.email);
    let refused = host.open("/api/read", &tokens.access).await;
    assert_status(&refused, StatusCode::UNAUTHORIZED);
    let everywhere = host.log_in(&browser).await;
    assert_eq!(host.open("/mcp", &everywhere.access).await.text(), user.email);
    assert_refused(&host.refresh(&tokens.refresh, &[("resource", ISSUER)]).await, "invalid_target");
    assert_refused(&host.refresh(&tokens.refresh, &[("resource", "https://evil.example")]).await, "invalid_target");
    let next = Tokens::of(&host.refresh(&tokens.refresh, &[("resource", mcp)]).await);
    assert_status(&host.open("/api/read", &next.access).await, StatusCode::UNAUTHORIZED);
    let elsewhere = host.log_in_with(&browser, &[("resource", "https://api.example.com")]).await;
    assert_status(&host.open("/api/read", &elsewhere.access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refusal_says_where_to_get_a_token() {
    let host = ServerHost::new().await;
    let challenge = async |path: &str| {
        let response = TestClient::new(host.router()).json().get(path).await;
        response.header("www-authenticate").expect("a challenge").to_owned()
    };
    let of =
        |path: &str| format!(r#"resource_metadata="https://localhost/.well-known/oauth-protected-resource{path}""#);
    assert!(challenge("/api/read").await.contains(&of("")), "{}", challenge("/api/read").await);
    assert!(challenge("/mcp").await.contains(&of("/mcp")));
}

#[tokio::test]
async fn a_client_that_the_host_removed_has_no_tokens() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    let without = host.without_clients().await;
    assert!(is_open(&host, &tokens.access).await && !is_open(&without, &tokens.access).await);
    assert_refused(&without.refresh(&tokens.refresh, &[]).await, "invalid_client");
}

#[tokio::test]
async fn invariant_21_permissions_that_the_host_took_from_a_client_end_with_its_access_token() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    assert_eq!(tokens.scope, "projects:read projects:write");
    let less = host.with_less_for_the_client().await;
    assert_refused(&less.refresh(&tokens.refresh, &[("scope", "projects:write")]).await, "invalid_scope");
    assert_eq!(Tokens::of(&less.refresh(&tokens.refresh, &[]).await).scope, "projects:read");
}

// How many programs a user has, and what they hear of them.

fn limited_to(max: usize) -> impl FnOnce(AuthorizationServer) -> AuthorizationServer {
    move |server| server.programs_per_user(max)
}

#[track_caller]
fn assert_too_many(response: &TestResponse) {
    let expected = Problem::new(StatusCode::CONFLICT).code("too_many_programs");
    assert_eq!(response.problem(), Some(&expected), "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_gives_access_to_at_most_the_configured_number_of_programs_also_at_once() {
    let host = Arc::new(ServerHost::with(limited_to(3), |config| config).await);
    let (user, browser) = host.user().await;
    host.log_in(&browser).await;
    let mut codes = Vec::new();
    for _ in 0..AT_ONCE {
        codes.push(code_of(&approve(&browser, &[]).await));
    }
    let mut exchanges = JoinSet::new();
    for code in codes.clone() {
        let host = host.clone();
        exchanges.spawn(async move { host.exchange(&code, &[]).await });
    }
    let exchanges = exchanges.join_all().await;
    let (given, refused): (Vec<_>, Vec<_>) = exchanges.iter().partition(|response| response.status() == StatusCode::OK);
    assert_eq!(given.len(), 2, "{exchanges:?}");
    refused.into_iter().for_each(|response| assert_refused(response, "invalid_grant"));
    assert_eq!(host.sigra().oauth_server().grants(&user.id).await.unwrap().len(), 3);

    assert_too_many(&approve(&browser, &[]).await);
    let (device, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    let allow = [("user_code", user_code.as_str()), ("decision", "allow")];
    assert_too_many(&browser.post("/device/decision", &allow).await);

    let server = host.sigra().oauth_server();
    let first = server.grants(&user.id).await.unwrap().remove(0);
    server.revoke_grant(&user.id, first.id, &Client::default()).await.unwrap();
    assert!(browser.post("/device/decision", &allow).await.json::<bool>(), "there is room again");
    assert_status(&host.poll(&device).await, StatusCode::OK);
    for code in &codes {
        assert_refused(&host.exchange(code, &[]).await, "invalid_grant");
    }
}

#[tokio::test]
async fn a_device_that_was_allowed_before_the_last_place_was_taken_gets_no_access() {
    let host = ServerHost::with(limited_to(1), |config| config).await;
    let (_, browser) = host.user().await;
    let (device, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    browser.post("/device/decision", &[("user_code", &user_code), ("decision", "allow")]).await;
    host.log_in(&browser).await;
    assert_refused(&host.poll(&device).await, "access_denied");
    assert_eq!(host.count("oauth_grants").await, 1);
}

#[tokio::test]
async fn programs_whose_access_has_expired_do_not_count() {
    let host = ServerHost::with(limited_to(1), |config| config).await;
    let (user, browser) = host.user().await;
    host.log_in(&browser).await;
    host.host.clock().advance(DAY * 90);
    assert_eq!(host.count("oauth_grants").await, 1, "it isn't purged yet");
    let again = TestClient::new(host.router());
    host.host.post_log_in(&again, &user, false).await;
    host.log_in(&again).await;
}

#[tokio::test]
async fn a_client_that_asks_nobody_replaces_its_own_access_that_was_not_used_for_the_longest_time() {
    let host = ServerHost::with(limited_to(2), |config| config).await;
    let (user, browser) = host.user().await;
    let own = [("client_id", "own"), ("redirect_uri", APP)];
    let log_in = async || {
        host.host.clock().advance(SECOND);
        let code = code_of(&browser.get(&authorize_path(&own)).await);
        Tokens::of(&host.exchange(&code, &own).await)
    };
    let cli = host.log_in(&browser).await;
    let (first, second) = (log_in().await, log_in().await);
    assert!(!is_open(&host, &first.access).await, "it made room");
    assert!(is_open(&host, &second.access).await && is_open(&host, &cli.access).await);
    assert_audit_event(host.sigra(), &user, audit::PROGRAM_REVOKED).await;
    assert_eq!(host.sigra().oauth_server().grants(&user.id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn every_program_is_listed() {
    let host = ServerHost::with(limited_to(1), |config| config).await;
    let user = host.host.registered_fixture().await;
    for _ in 0..120 {
        host.program_client(&user, "cli", &["projects:read"]).await;
    }
    assert_eq!(host.sigra().oauth_server().grants(&user.id).await.unwrap().len(), 120);
}

#[tokio::test]
async fn the_fixture_is_a_program_with_access_and_without_a_session() {
    let host = ServerHost::new().await;
    let user = host.host.registered_fixture().await;
    let program = host.program_client(&user, "cli", &["projects:read"]).await;
    assert_eq!(program.get("/api/read").await.text(), user.email);
    assert_status(&program.get("/api/write").await, StatusCode::FORBIDDEN);
    assert!(program.get("/api/caller").await.text().contains("\"cli\""));
    assert_eq!(host.sigra().oauth_server().grants(&user.id).await.unwrap()[0].client_name, "Acme CLI");
    host.host.clock().advance(MINUTE * 15);
    assert_status(&program.get("/api/read").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_host_can_tell_the_user_once_when_a_program_gets_access() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    host.refresh(&tokens.refresh, &[]).await;
    let own = [("client_id", "own"), ("redirect_uri", APP)];
    host.exchange(&code_of(&browser.get(&authorize_path(&own)).await), &own).await;
    let (device, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    browser.post("/device/decision", &[("user_code", &user_code), ("decision", "allow")]).await;
    assert_eq!(host.mails().await.len(), 2, "it has no access before it asks for it");
    host.poll(&device).await;
    let mails = host.mails().await;
    let until = (host.sigra().now() + DAY * 90).date();
    let expected = ["Acme CLI on Linux, asked", "Our website on Linux, not asked", "Acme CLI on Linux, asked"];
    assert_eq!(
        mails.iter().map(|mail| mail.text.as_str()).collect::<Vec<_>>(),
        expected.map(|text| format!("{text}, until {until}"))
    );
    assert!(mails.iter().all(|mail| mail.to == user.email));
}

#[tokio::test]
async fn what_a_recent_login_gives_a_program_an_old_session_does_not() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    host.host.clock().advance(MINUTE * 20);
    let (_, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    let allow = [("user_code", user_code.as_str()), ("decision", "allow")];
    for refused in [browser.post("/device/decision", &allow).await, approve(&browser, &[]).await] {
        assert_eq!(refused.location(), Some("/users/sudo"));
    }
    // A thief of the cookies could act as a client that has no secret.
    let page = browser.get(&authorize_path(&[("client_id", "own"), ("redirect_uri", APP)])).await;
    assert_eq!(page.json::<Value>()["client"], "Our website");
    assert_eq!(host.count("oauth_codes").await, 0);
    code_of(&browser.get(&authorize_path(&[("client_id", "server"), ("redirect_uri", APP)])).await);
}

fn form_to(path: &str, form: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    request.body(Body::from(body)).unwrap()
}

/// These routes are outside of the layer, which does the same for others.
#[tokio::test]
async fn invariant_17_an_exchange_that_has_begun_ends_with_its_email_even_if_the_program_hangs_up() {
    let host = ServerHost::new().await;
    let mut given = 0;
    at_every_point(async |polls| {
        let (_, browser) = host.user().await;
        let code = code_of(&approve(&browser, &[]).await);
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "cli"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
        ];
        let has_response = host.program().send_and_hang_up(form_to("/oauth/token", &form), polls).await.is_some();
        host.sigra().settle().await;
        given += usize::from(polls > 0);
        assert_eq!(host.count("oauth_grants").await, given as i64, "after {polls} polls");
        assert_eq!(host.mails().await.len(), given, "after {polls} polls");
        has_response
    })
    .await;
}

#[tokio::test]
async fn invariant_17_other_endpoints_end_what_they_have_begun_even_if_the_program_hangs_up() {
    let host =
        ServerHost::with(|server| server.max_registered_clients(10_000), |config| config.rate_limits(false)).await;
    let (_, browser) = host.user().await;
    at_every_point(async |polls| {
        // Of more than 32 codes, the oldest are deleted.
        host.host.clock().advance(SECOND);
        let tokens = host.log_in(&browser).await;
        let revoke = form_to("/oauth/revoke", &[("client_id", "cli"), ("token", &tokens.refresh)]);
        let has_response = host.program().send_and_hang_up(revoke, polls).await.is_some();
        host.sigra().settle().await;
        assert_eq!(is_open(&host, &tokens.access).await, polls == 0, "after {polls} polls");
        has_response
    })
    .await;
    for (table, request) in [
        ("oauth_device_codes", form_to as fn(&str, &[(&str, &str)]) -> Request<Body>),
        ("oauth_clients", |_, _| registration(&another_client())),
    ] {
        let mut begun = 0;
        at_every_point(async |polls| {
            let request = request("/oauth/device_authorization", &[("client_id", "cli")]);
            let has_response = host.program().send_and_hang_up(request, polls).await.is_some();
            host.sigra().settle().await;
            begun += i64::from(polls > 0);
            assert_eq!(host.count(table).await, begun, "{table} after {polls} polls");
            has_response
        })
        .await;
    }
}

// Devices.

#[tokio::test]
async fn a_program_without_a_browser_gets_tokens_once_the_user_has_allowed_it() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let (device, user_code) = host.begin_device().await;
    assert_refused(&host.poll(&device).await, "authorization_pending");
    let entered: Value =
        browser.post("/device", &[("user_code", &user_code.to_lowercase().replace('-', " "))]).await.json();
    assert_eq!(entered, json!({ "client": "Acme CLI", "system": "Linux" }));
    host.host.clock().advance(SECOND * 5);
    assert_refused(&host.poll(&device).await, "authorization_pending");
    let decided = browser.post("/device/decision", &[("user_code", &user_code), ("decision", "allow")]).await;
    assert!(decided.json::<bool>());
    host.host.clock().advance(SECOND * 5);
    let tokens = Tokens::of(&host.poll(&device).await);
    assert_eq!(host.open("/api/read", &tokens.access).await.text(), user.email);
    assert_refused(&host.poll(&device).await, "invalid_grant");
    assert_eq!(host.sigra().oauth_server().grants(&user.id).await.unwrap()[0].device(), "Acme CLI on Linux");
    assert_status(&host.refresh(&tokens.refresh, &[]).await, StatusCode::OK);
}

#[tokio::test]
async fn a_program_that_asks_too_often_must_slow_down() {
    let host = ServerHost::new().await;
    let (device, _) = host.begin_device().await;
    assert_refused(&host.poll(&device).await, "authorization_pending");
    host.host.clock().advance(SECOND * 4);
    assert_refused(&host.poll(&device).await, "slow_down");
    host.host.clock().advance(SECOND * 9);
    assert_refused(&host.poll(&device).await, "slow_down");
    host.host.clock().advance(SECOND * 15);
    assert_refused(&host.poll(&device).await, "authorization_pending");
    host.host.clock().advance(MINUTE * 10);
    assert_refused(&host.poll(&device).await, "expired_token");
}

#[tokio::test]
async fn a_program_that_never_slows_down_is_answered_once_a_minute() {
    let host = ServerHost::new().await;
    let (device, _) = host.begin_device().await;
    let mut answered = 0;
    for _ in 0..150 {
        answered += u32::from(error_of(&host.poll(&device).await) == "authorization_pending");
        host.host.clock().advance(SECOND * 2);
    }
    assert!((4..=6).contains(&answered), "{answered} times in five minutes");
}

#[tokio::test]
async fn a_device_code_can_be_approved_only_in_the_session_that_entered_it() {
    let host = ServerHost::new().await;
    let ((_, hers), (_, his)) = (host.user().await, host.user().await);
    let (device, user_code) = host.begin_device().await;
    let decide = async |browser: &TestClient, decision| {
        browser.post("/device/decision", &[("user_code", &user_code), ("decision", decision)]).await.json::<bool>()
    };
    assert!(!decide(&hers, "allow").await, "nobody has entered it");
    hers.post("/device", &[("user_code", &user_code)]).await;
    assert!(!decide(&his, "allow").await && !decide(&his, "deny").await, "somebody else has entered it");
    let other_browser = TestClient::new(host.router());
    let user: User =
        sqlx::query_as("SELECT * FROM users ORDER BY id LIMIT 1").fetch_one(&host.host.pool).await.unwrap();
    host.host.post_log_in(&other_browser, &user, false).await;
    assert!(!decide(&other_browser, "allow").await, "the same user, in another session");
    his.post("/device", &[("user_code", &user_code)]).await;
    assert!(!decide(&hers, "allow").await, "somebody else has entered it since");
    assert!(decide(&his, "deny").await);
    assert!(!decide(&his, "allow").await, "it is decided");
    assert_eq!(his.post("/device", &[("user_code", &user_code)]).await.json::<Value>(), Value::Null);
    assert_refused(&host.poll(&device).await, "access_denied");
    assert_eq!(host.count("oauth_grants").await, 0);
}

#[tokio::test]
async fn a_device_code_of_another_client_or_an_expired_one_is_refused() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let (device, user_code) = host.begin_device().await;
    let form =
        [("grant_type", super::oauth_server_host::DEVICE_CODE), ("client_id", "other"), ("device_code", &device)];
    assert_refused(&host.program().post("/oauth/token", &form).await, "invalid_grant");
    assert_refused(
        &host.program().post("/oauth/device_authorization", &[("client_id", "reader")]).await,
        "unauthorized_client",
    );
    assert_refused(
        &host.program().post("/oauth/device_authorization", &[("client_id", "cli"), ("scope", "x")]).await,
        "invalid_scope",
    );
    host.host.clock().advance(MINUTE * 10);
    assert_eq!(browser.post("/device", &[("user_code", &user_code)]).await.json::<Value>(), Value::Null);
}

#[tokio::test]
async fn a_program_that_finds_no_free_user_code_tries_again() {
    let host = ServerHost::new().await;
    host.host.execute(REFUSE_USER_CODES).await;
    let refused = host.program().post("/oauth/device_authorization", &[("client_id", "cli")]).await;
    assert_status(&refused, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_device_code_does_not_outlive_the_login_that_allowed_it() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let (device, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    let decided = browser.post("/device/decision", &[("user_code", &user_code), ("decision", "allow")]).await;
    assert!(decided.json::<bool>());
    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    let refused = host.poll(&device).await;
    assert_refused(&refused, "access_denied");
    assert_eq!(text(&refused.json(), "error_description"), "the login that allowed it has ended");
    assert_refused(&host.poll(&device).await, "invalid_grant");
}

#[tokio::test]
async fn a_program_that_asked_at_the_latest_possible_time_must_slow_down() {
    let host = ServerHost::new().await;
    let (device, _) = host.begin_device().await;
    let date = format!("UPDATE oauth_device_codes SET polled_at = {LAST_TIME}");
    sqlx::query(sqlx::AssertSqlSafe(date)).execute(&host.host.pool).await.unwrap();
    assert_refused(&host.poll(&device).await, "slow_down");
}

#[tokio::test]
async fn user_codes_cannot_be_guessed() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let (_, user_code) = host.begin_device().await;
    for _ in 0..9 {
        assert_status(&browser.post("/device", &[("user_code", "BCDF-GHJK")]).await, StatusCode::OK);
    }
    // A success between the guesses doesn't reset the count.
    assert!(!browser.post("/device", &[("user_code", &user_code)]).await.json::<Value>().is_null());
    let refused = browser.post("/device", &[("user_code", "BCDF-GHJK")]).await;
    assert_status(&refused, StatusCode::TOO_MANY_REQUESTS);
    host.host.clock().advance(SECOND * 30);
    assert_status(&browser.post("/device", &[("user_code", "BCDF-GHJK")]).await, StatusCode::OK);
    assert_status(&browser.post("/device", &[("user_code", "BCDF-GHJK")]).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_10_many_decisions_and_many_polls_at_once_count_once() {
    let host = Arc::new(ServerHost::new().await);
    let (_, browser) = host.user().await;
    let (device, user_code) = host.begin_device().await;
    browser.post("/device", &[("user_code", &user_code)]).await;
    let browser = Arc::new(browser);
    let mut decisions = JoinSet::new();
    for at in 0..AT_ONCE {
        let (browser, user_code) = (browser.clone(), user_code.clone());
        decisions.spawn(async move {
            let decision = if at % 2 == 0 { "allow" } else { "deny" };
            let form = [("user_code", user_code.as_str()), ("decision", decision)];
            browser.post("/device/decision", &form).await.json::<bool>().then_some(decision)
        });
    }
    let decided: Vec<&str> = decisions.join_all().await.into_iter().flatten().collect();
    assert_eq!(decided.len(), 1, "{decided:?}");
    let mut polls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (host, device) = (host.clone(), device.clone());
        polls.spawn(async move { host.poll(&device).await });
    }
    let polls = polls.join_all().await;
    let given = polls.iter().filter(|response| response.status() == StatusCode::OK).count();
    assert_eq!(given, usize::from(decided[0] == "allow"));
    assert_eq!(host.count("oauth_grants").await, given as i64);
}

/// Anybody can send these, so they must not keep others from writing to SQLite.
#[tokio::test]
async fn unknown_codes_and_tokens_are_refused_without_a_transaction() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let tokens = host.log_in(&browser).await;
    // Well-formed, and unknown.
    let (prefix, secret) = tokens.refresh.split_once("_ort_").unwrap();
    let (refresh, code) = (format!("{prefix}_ort_{}", "A".repeat(secret.len())), "A".repeat(43));
    let program = host.program();
    let revoke = async |client: &str, token: &str| {
        program.post("/oauth/revoke", &[("client_id", client), ("token", token)]).await
    };

    let writer = host.sigra().begin().await.unwrap();
    let refused = async {
        assert_refused(&host.exchange(&code, &[]).await, "invalid_grant");
        assert_refused(&host.refresh(&refresh, &[]).await, "invalid_grant");
        assert_refused(&host.refresh(&tokens.refresh, &[("client_id", "other")]).await, "invalid_grant");
        assert_refused(&host.poll(&code).await, "invalid_grant");
        assert_status(&revoke("cli", &refresh).await, StatusCode::OK);
        assert_refused(&revoke("other", &tokens.refresh).await, "invalid_grant");
        assert_refused(&revoke("other", &tokens.access).await, "invalid_grant");
    };
    tokio::time::timeout(MINUTE, refused).await.expect("the answers come although somebody else is writing");
    writer.rollback().await.unwrap();
}

// Programs that ask about tokens.

#[tokio::test]
async fn a_program_revokes_its_own_tokens() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let revoke = async |client: &str, token: &str| {
        host.program().post("/oauth/revoke", &[("client_id", client), ("token", token)]).await
    };
    let tokens = host.log_in(&browser).await;
    assert!(is_open(&host, &tokens.access).await);
    for token in [&tokens.access, &tokens.refresh] {
        assert_refused(&revoke("other", token).await, "invalid_grant");
    }
    assert_refused(&revoke("unknown", &tokens.refresh).await, "invalid_client");
    assert!(is_open(&host, &tokens.access).await);

    assert_status(&revoke("cli", &tokens.access).await, StatusCode::OK);
    assert!(!is_open(&host, &tokens.access).await);
    let next = Tokens::of(&host.refresh(&tokens.refresh, &[]).await);
    assert!(is_open(&host, &next.access).await);
    assert_status(&revoke("cli", &tokens.refresh).await, StatusCode::OK);
    assert!(!is_open(&host, &next.access).await, "also with a refresh token that was replaced");
    assert_refused(&host.refresh(&next.refresh, &[]).await, "invalid_grant");
    for unknown in ["x", &next.refresh, &next.access] {
        assert_status(&revoke("cli", unknown).await, StatusCode::OK);
    }
    assert_audit_event(host.sigra(), &user, audit::PROGRAM_REVOKED).await;
}

#[tokio::test]
async fn only_a_client_with_a_secret_that_may_introspect_does() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let tokens =
        host.log_in_with(&browser, &[("resource", "https://api.example.com"), ("scope", "projects:read")]).await;
    let ask = async |token: &str, client: &str, secret: &str| {
        let form = [("token", token), ("client_id", client), ("client_secret", secret)];
        host.program().post("/oauth/introspect", &form).await
    };
    let body: Value = ask(&tokens.access, "api", SECRET).await.json();
    assert_eq!((&body["active"], &body["client_id"]), (&json!(true), &json!("cli")));
    assert_eq!((&body["scope"], &body["aud"]), (&json!("projects:read"), &json!("https://api.example.com")));
    assert_eq!((&body["sub"], &body["iss"]), (&json!(user.id.to_string()), &json!(ISSUER)));
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 900);
    for (client, secret) in [("api", "wrong"), ("api", ""), ("site", SECRET), ("cli", "")] {
        assert_refused(&ask(&tokens.access, client, secret).await, "invalid_client");
    }
    for inactive in ["x", &tokens.refresh] {
        assert_eq!(ask(inactive, "api", SECRET).await.json::<Value>(), json!({ "active": false }));
    }
    // RFC 7662 section 4: a token for something else is inactive to it.
    let is_active =
        async |token: &str, client: &str| ask(token, client, SECRET).await.json::<Value>()["active"] == true;
    let of_mcp = host.log_in_with(&browser, &[("resource", MCP)]).await.access;
    let of_server = host.log_in(&browser).await.access;
    for (client, active) in [("api", [true, false, false]), ("gateway", [false, false, true])] {
        let answers = [
            is_active(&tokens.access, client).await,
            is_active(&of_mcp, client).await,
            is_active(&of_server, client).await,
        ];
        assert_eq!(answers, active, "{client}");
    }
    suspend(&host, &user).await;
    assert_eq!(ask(&tokens.access, "api", SECRET).await.json::<Value>(), json!({ "active": false }));
}

// Registration.

fn registration(body: &Value) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri("/oauth/register");
    request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// What a client says about itself, another one for each call.
fn another_client() -> Value {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    json!({ "client_name": format!("Agent {}", NEXT.fetch_add(1, Ordering::Relaxed)), "redirect_uris": [APP] })
}

async fn register(host: &ServerHost, body: &Value) -> TestResponse {
    host.program().peer(another_address()).send(registration(body)).await
}

#[tokio::test]
async fn clients_register_only_where_the_host_allows_it() {
    let host = ServerHost::new().await;
    let body = json!({ "client_name": "Inspector", "redirect_uris": ["http://127.0.0.1:6274/callback"] });
    assert_refused(&register(&host, &body).await, "access_denied");
    assert_eq!(host.count("oauth_clients").await, 0);

    let host = ServerHost::with(|server| server.max_registered_clients(100), |config| config).await;
    let registered = register(&host, &body).await;
    assert_status(&registered, StatusCode::CREATED);
    let client: Value = registered.json();
    assert_eq!((&client["client_name"], &client["token_endpoint_auth_method"]), (&json!("Inspector"), &json!("none")));
    let id = text(&client, "client_id");
    let (user, browser) = host.user().await;
    let changes = [("client_id", id.as_str()), ("redirect_uri", "http://127.0.0.1:6274/callback"), ("resource", MCP)];
    let code = code_of(&approve(&browser, &changes).await);
    let tokens = Tokens::of(&host.exchange(&code, &changes).await);
    assert_eq!(host.open("/mcp", &tokens.access).await.text(), user.email);
    assert_status(
        &approve(&browser, &[changes[0], ("redirect_uri", "https://evil.example")]).await,
        StatusCode::BAD_REQUEST,
    );
}

#[tokio::test]
async fn a_registered_client_has_only_its_own_https_or_loopback_redirect_uris() {
    let host = ServerHost::with(|server| server.max_registered_clients(100), |config| config).await;
    for bad in [
        json!([]),
        json!(["http://app.example.com/callback"]),
        json!(["com.example.app:/callback"]),
        json!(["javascript:alert(1)"]),
        json!(["https://app.example.com/callback#x"]),
        json!(["https://user@app.example.com/callback"]),
        json!(["https://*.example.com/callback"]),
        json!(["https://app.example.com/callback", "data:x"]),
        json!(vec!["https://app.example.com/callback"; 9]),
    ] {
        let refused = register(&host, &json!({ "redirect_uris": bad })).await;
        assert_refused(&refused, "invalid_redirect_uri");
    }
    for (name, value) in [
        ("client_name", json!("\u{202e}moc")),
        ("client_name", json!("x".repeat(81))),
        ("grant_types", json!(["client_credentials"])),
        ("response_types", json!(["token"])),
        ("redirect_uris", json!("https://app.example.com/callback")),
    ] {
        let mut body = json!({ "redirect_uris": ["https://app.example.com/callback"] });
        body[name] = value;
        assert_refused(&register(&host, &body).await, "invalid_client_metadata");
    }
    assert_eq!(host.count("oauth_clients").await, 0);
    let localhost = json!({ "redirect_uris": ["http://localhost:3000/callback", "http://[::1]/callback"] });
    assert_status(&register(&host, &localhost).await, StatusCode::CREATED);
}

#[tokio::test]
async fn invariant_21_a_client_that_registered_itself_gets_no_more_than_the_host_allows_such_clients() {
    let limited = |server: AuthorizationServer| {
        let server = server.max_registered_clients(100);
        server.registered_client_permissions([ReadProjects::NAME]).registered_client_resources([MCP])
    };
    let host = ServerHost::with(limited, |config| config).await;
    let client: Value = register(&host, &json!({ "redirect_uris": [APP] })).await.json();
    assert_eq!(client["scope"], "projects:read");
    let id = text(&client, "client_id");
    let (user, browser) = host.user().await;
    let own = [("client_id", id.as_str()), ("redirect_uri", APP), ("scope", "projects:read"), ("resource", MCP)];
    for (name, value, why) in [
        ("scope", "projects:read projects:write", "the client can't have these permissions"),
        ("scope", "projects:write", "the client can't have these permissions"),
        ("resource", "", "must name the resource"),
        ("resource", ISSUER, "the client can't have tokens for this resource"),
        ("resource", "https://api.example.com", "the client can't have tokens for this resource"),
    ] {
        let refused = browser.get(&authorize_path(&[&own[..], &[(name, value)]].concat())).await;
        assert_status(&refused, StatusCode::BAD_REQUEST);
        assert!(refused.text().contains(why), "{name}={value}: {refused:?}");
    }
    let code = code_of(&approve(&browser, &[&own[..], &[("scope", "")]].concat()).await);
    assert_refused(&host.exchange(&code, &[own[0], own[1], ("resource", ISSUER)]).await, "invalid_target");
    let tokens = Tokens::of(&host.exchange(&code, &own).await);
    assert_eq!(tokens.scope, "projects:read", "without a scope, it is what such clients may have");
    assert_eq!(host.open("/mcp", &tokens.access).await.text(), user.email);
    assert_status(&host.open("/api/read", &tokens.access).await, StatusCode::UNAUTHORIZED);
    for (change, error) in [(("scope", "projects:write"), "invalid_scope"), (("resource", ISSUER), "invalid_target")] {
        assert_refused(&host.refresh(&tokens.refresh, &[own[0], change]).await, error);
    }
    // Clients for MCP ask for all that they find here.
    let metadata: Value = host.program().get("/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!(metadata["scopes_supported"], json!(["projects:read"]));
    let metadata: Value = host.program().get("/.well-known/oauth-protected-resource").await.json();
    assert_eq!(metadata["scopes_supported"], json!(["projects:read", "projects:write"]));
}

#[tokio::test]
async fn invariant_21_a_resource_that_a_client_can_no_longer_ask_for_is_not_refreshed() {
    let everywhere = |_| AuthorizationServer::new(ISSUER).max_registered_clients(100);
    let host = ServerHost::with(everywhere, |config| config).await;
    let id = text(&register(&host, &json!({ "redirect_uris": [APP] })).await.json(), "client_id");
    let (user, browser) = host.user().await;
    let own = [("client_id", id.as_str()), ("redirect_uri", APP)];
    let tokens = Tokens::of(&host.exchange(&code_of(&approve(&browser, &own).await), &own).await);
    assert_eq!(host.open("/api/read", &tokens.access).await.text(), user.email, "the server has no resources");
    let next = Tokens::of(&host.refresh(&tokens.refresh, &own[..1]).await);
    let limited = host.restarted(settings().max_registered_clients(100)).await;
    assert_refused(&limited.refresh(&next.refresh, &own[..1]).await, "invalid_grant");
}

/// Anybody can register a client at their own site, so a mistake on purpose must not make this server redirect to it.
#[tokio::test]
async fn the_server_is_no_open_redirect_to_the_site_of_a_registered_client() {
    let host = ServerHost::with(|server| server.max_registered_clients(100), |config| config).await;
    let body = json!({ "redirect_uris": ["https://evil.example/log-in"] });
    let id = text(&register(&host, &body).await.json(), "client_id");
    let (_, browser) = host.user().await;
    let own = [("client_id", id.as_str()), ("redirect_uri", "https://evil.example/log-in"), ("resource", MCP)];
    for mistake in [("scope", "everything"), ("code_challenge", ""), ("resource", "https://evil.example")] {
        let response = browser.get(&authorize_path(&[own[0], own[1], own[2], mistake])).await;
        assert_status(&response, StatusCode::BAD_REQUEST);
        assert_eq!(response.location(), None, "{mistake:?}");
    }
    assert_status(&browser.get(&authorize_path(&own)).await, StatusCode::OK);
}

#[tokio::test]
async fn registered_clients_are_limited_in_number_and_for_each_address() {
    let host = ServerHost::with(|server| server.max_registered_clients(3), |config| config).await;
    let first = text(&register(&host, &another_client()).await.json(), "client_id");
    let (user, browser) = host.user().await;
    let changes = [("client_id", first.as_str()), ("redirect_uri", APP), ("resource", MCP)];
    let code = code_of(&approve(&browser, &changes).await);
    assert_status(&host.exchange(&code, &changes).await, StatusCode::OK);
    for _ in 0..5 {
        host.host.clock().advance(MINUTE * 15);
        assert_status(&register(&host, &another_client()).await, StatusCode::CREATED);
    }
    assert_eq!(host.count("oauth_clients").await, 3, "unused clients make room");
    host.host.post_log_in(&browser, &user, false).await;
    code_of(&approve(&browser, &changes).await);

    let host = ServerHost::with(|server| server.max_registered_clients(100), |config| config).await;
    let program = host.program().peer(another_address());
    for _ in 0..10 {
        assert_status(&program.send(registration(&another_client())).await, StatusCode::CREATED);
    }
    assert_status(&program.send(registration(&another_client())).await, StatusCode::TOO_MANY_REQUESTS);
    let of_network = async |host_part: u16| {
        let peer = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host_part);
        host.program().peer((peer, 443).into()).send(registration(&another_client())).await
    };
    for n in 0..10 {
        assert_status(&of_network(n).await, StatusCode::CREATED);
    }
    assert_status(&of_network(10).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_host_sets_how_many_clients_an_address_registers() {
    let limited = |server: AuthorizationServer| {
        server.max_registered_clients(100).registration_limit(Limit::CLIENT_REGISTRATION.free(2))
    };
    let host = ServerHost::with(limited, |config| config).await;
    let program = host.program().peer(another_address());
    for _ in 0..2 {
        assert_status(&program.send(registration(&another_client())).await, StatusCode::CREATED);
    }
    assert_status(&program.send(registration(&another_client())).await, StatusCode::TOO_MANY_REQUESTS);
    // Of those whose address is unknown, one can hardly use it up for all.
    let unknown = async || host.router().oneshot(registration(&another_client())).await.unwrap().status();
    for _ in 0..20 {
        assert_eq!(unknown().await, StatusCode::CREATED);
    }
    assert_eq!(unknown().await, StatusCode::TOO_MANY_REQUESTS);
}

/// A hosted client registers for each of its users.
#[tokio::test]
async fn programs_that_say_the_same_about_themselves_are_one_client() {
    let host = ServerHost::with(|server| server.max_registered_clients(100), |config| config).await;
    let program = host.program().peer(another_address());
    let body = json!({ "client_name": "Agent", "redirect_uris": [APP] });
    let first: Value = program.send(registration(&body)).await.json();
    host.host.clock().advance(MINUTE * 2);
    for _ in 0..10 {
        let again = program.send(registration(&body)).await;
        assert_status(&again, StatusCode::CREATED);
        assert_eq!(again.json::<Value>(), first);
    }
    assert_eq!(host.count("oauth_clients").await, 1);
    for other in [
        json!({ "client_name": "Agent 2", "redirect_uris": [APP] }),
        json!({ "redirect_uris": [APP] }),
        json!({ "client_name": "Agent", "redirect_uris": ["https://app.example.com/other"] }),
        json!({ "client_name": "Agent", "redirect_uris": [APP, "https://app.example.com/other"] }),
    ] {
        assert_ne!(program.send(registration(&other)).await.json::<Value>()["client_id"], first["client_id"]);
    }
}

#[tokio::test]
async fn a_client_that_registered_or_was_allowed_within_15_minutes_makes_no_room() {
    let host = ServerHost::with(|server| server.max_registered_clients(1), |config| config).await;
    let body = another_client();
    let id = text(&register(&host, &body).await.json(), "client_id");
    host.host.clock().advance(MINUTE * 14);
    assert_refused(&register(&host, &another_client()).await, "access_denied");
    assert_status(&register(&host, &body).await, StatusCode::CREATED);
    host.host.clock().advance(MINUTE * 14);
    assert_refused(&register(&host, &another_client()).await, "access_denied");

    host.host.clock().advance(MINUTE);
    let (_, browser) = host.user().await;
    let changes = [("client_id", id.as_str()), ("redirect_uri", APP), ("resource", MCP)];
    let code = code_of(&approve(&browser, &changes).await);
    assert_refused(&register(&host, &another_client()).await, "access_denied");
    assert_status(&host.exchange(&code, &changes).await, StatusCode::OK);
}

#[tokio::test]
async fn one_user_cannot_keep_others_from_registering_their_programs() {
    let host = ServerHost::with(|server| server.max_registered_clients(3), |config| config).await;
    let (_, browser) = host.user().await;
    let mut programs = Vec::new();
    for _ in 0..3 {
        let id = text(&register(&host, &another_client()).await.json(), "client_id");
        let changes = [("client_id", id.as_str()), ("redirect_uri", APP), ("resource", MCP)];
        let code = code_of(&approve(&browser, &changes).await);
        let tokens = Tokens::of(&host.exchange(&code, &changes).await);
        host.host.clock().advance(SECOND);
        programs.push((id, tokens.refresh));
    }
    host.host.clock().advance(MINUTE * 15);
    assert_status(&register(&host, &another_client()).await, StatusCode::CREATED);
    host.host.clock().advance(MINUTE * 15);
    assert_status(&register(&host, &another_client()).await, StatusCode::CREATED);
    assert_eq!(host.count("oauth_clients").await, 3);
    for ((id, refresh), error) in programs.iter().zip([Some("invalid_client"), None, None]) {
        let refreshed = host.refresh(refresh, &[("client_id", id)]).await;
        match error {
            Some(error) => assert_refused(&refreshed, error),
            None => assert_status(&refreshed, StatusCode::OK),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_programs_that_register_at_once_in_a_full_table_each_find_room() {
    let most = AT_ONCE as u32;
    let host = ServerHost::with(|server| server.max_registered_clients(most), |config| config.rate_limits(false)).await;
    let host = Arc::new(host);
    for _ in 0..AT_ONCE {
        register(&host, &another_client()).await;
    }
    host.host.clock().advance(MINUTE * 15);
    let mut registrations = JoinSet::new();
    for _ in 0..AT_ONCE {
        let host = host.clone();
        registrations.spawn(async move { register(&host, &another_client()).await.status() });
    }
    let statuses = registrations.join_all().await;
    assert!(statuses.iter().all(|status| *status == StatusCode::CREATED), "{statuses:?}");
    assert_eq!(host.count("oauth_clients").await, AT_ONCE as i64);
}

// Metadata, other origins, and housekeeping.

#[tokio::test]
async fn metadata_names_the_endpoints_and_the_resources() {
    let host = ServerHost::new().await;
    let metadata = host.program().get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.header("access-control-allow-origin"), Some("*"));
    let body: Value = metadata.json();
    assert_eq!((&body["issuer"], &body["code_challenge_methods_supported"]), (&json!(ISSUER), &json!(["S256"])));
    assert_eq!(body["token_endpoint"], "https://localhost/oauth/token");
    assert_eq!(body["authorization_response_iss_parameter_supported"], true);
    assert_eq!(body.get("registration_endpoint"), None);
    let of = async |path: &str| host.program().get(&format!("/.well-known/oauth-protected-resource{path}")).await;
    assert_eq!(of("").await.json::<Value>()["resource"], ISSUER);
    let mcp: Value = of("/mcp").await.json();
    assert_eq!((&mcp["resource"], &mcp["authorization_servers"]), (&json!("https://localhost/mcp"), &json!([ISSUER])));
    assert_status(&of("/other").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_of_other_origins_can_call_the_token_endpoint_without_cookies() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let code = code_of(&approve(&browser, &[]).await);
    let preflight =
        Request::builder().method(Method::OPTIONS).uri("/oauth/token").header("origin", "https://spa.example");
    let preflight = host.program().send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
    let body = format!("grant_type=authorization_code&client_id=cli&code={code}&code_verifier={VERIFIER}");
    let request = Request::builder().method(Method::POST).uri("/oauth/token").header("origin", "https://spa.example");
    let request = request.header("sec-fetch-site", "cross-site");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(body)).unwrap();
    let response = host.program().send(request).await;
    assert_status(&response, StatusCode::OK);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert!(response.set_cookies().is_empty());
}

#[tokio::test]
async fn invariant_1_no_code_and_no_token_of_the_oauth_server_is_in_the_database() {
    let host = ServerHost::new().await;
    let (_, browser) = host.user().await;
    let code = code_of(&approve(&browser, &[]).await);
    let tokens = Tokens::of(&host.exchange(&code, &[]).await);
    let next = Tokens::of(&host.refresh(&tokens.refresh, &[]).await);
    let (device, user_code) = host.begin_device().await;
    let raw = |text: &str| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.decode(text.trim_start_matches("my_app_ort_")).unwrap_or_default()
    };
    let mut secrets: Vec<Vec<u8>> = [&code, &tokens.access, &tokens.refresh, &next.refresh, &device, &user_code]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    secrets.extend([raw(&code), raw(&tokens.refresh), raw(&next.refresh), raw(&device)]);
    secrets.push(user_code.replace('-', "").into_bytes());
    for file in host.host.database_files().await {
        for secret in &secrets {
            assert!(secret.len() >= 8 && !file.windows(secret.len()).any(|window| window == secret.as_slice()));
        }
    }
}

#[tokio::test]
async fn expired_rows_are_purged() {
    let host = ServerHost::with(|server| server.max_registered_clients(10), |config| config).await;
    let (_, browser) = host.user().await;
    register(&host, &json!({ "redirect_uris": ["https://app.example.com/callback"] })).await;
    host.log_in(&browser).await;
    host.begin_device().await;
    let counts = async || {
        let mut counts = Vec::new();
        for table in ["oauth_codes", "oauth_device_codes", "oauth_tokens", "oauth_grants", "oauth_clients"] {
            counts.push(host.count(table).await);
        }
        counts
    };
    assert_eq!(counts().await, [1, 1, 1, 1, 1]);
    for (later, left) in [(MINUTE * 15, [1, 0, 0, 1, 1]), (DAY, [0, 0, 0, 1, 1]), (DAY * 89, [0, 0, 0, 0, 0])] {
        host.host.clock().advance(later);
        host.sigra().housekeeping().purge_expired().await.unwrap();
        assert_eq!(counts().await, left);
    }
}

#[tokio::test]
async fn without_settings_every_endpoint_fails_closed() {
    let host = ServerHost::from(super::host::Host::new().await);
    let (user, browser) = host.user().await;
    assert_status(&browser.get(&authorize_path(&[])).await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_status(&host.refresh("x", &[]).await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_status(
        &host.program().get("/.well-known/oauth-authorization-server").await,
        StatusCode::INTERNAL_SERVER_ERROR,
    );
    assert!(host.sigra().oauth_server().grants(&user.id).await.unwrap().is_empty());
    assert_eq!(error_of(&host.program().post("/oauth/token?x=1", &[]).await), "invalid_request");
}
