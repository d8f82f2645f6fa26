//! Logging in at providers, and attacks on it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use sigra::{
    Client, LoginMethod, SecretKeyBase,
    audit::Audit,
    testing::{
        ProviderAccount, ProviderFault, TestClient, TestHost, TestResponse, assert_audit_event, assert_problem,
        assert_status,
    },
    token::Context,
};
use sqlx::Row;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::database::EXPLAIN;

use super::{
    host::{MINUTE, REMEMBER_ME, User, get_request, secret, token, who},
    oauth_host::OauthHost,
};

const COOKIE: &str = "_my_app_oauth";

/// Somebody at the provider, with a verified email address.
fn jane() -> ProviderAccount {
    ProviderAccount::new("jane").email("jane@example.com", true)
}

#[track_caller]
fn assert_refused(response: &TestResponse, reason: &str) {
    assert_eq!((response.status(), response.text().as_str()), (StatusCode::BAD_REQUEST, reason));
}

#[track_caller]
fn assert_says(response: &TestResponse, text: &str) {
    assert_eq!((response.status(), response.text().as_str()), (StatusCode::OK, text));
}

async fn identities(browser: &TestClient) -> Vec<Uuid> {
    browser.get("/identities").await.json()
}

/// With an identity that they linked long before, a thief would be back at once.
#[tokio::test]
async fn invariant_18_recovering_an_account_unlinks_its_identities() {
    let host = OauthHost::new().await;
    let user = host.host.registered_fixture().await;
    host.link(&user, "corp", "the thief's").await;
    host.host.clock().advance(60 * MINUTE);
    let mut tx = host.sigra().begin().await.unwrap();
    let link = host.sigra().email_tokens().create_in(&mut tx, &user.id, Context::Recovery, &user.email).await.unwrap();
    tx.commit().await.unwrap();
    host.link(&user, "corp", "the thief's second").await;

    let mut tx = host.sigra().begin().await.unwrap();
    let recovered = host.sigra().recovery().recover_in(&mut tx, &link, &Client::default()).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra().sessions().announce(recovered.valid().expect("the link is valid").revoked);
    assert_eq!(host.count("user_identities").await, 0);
    assert_audit_event(host.sigra(), &user, "auth.identity.unlinked").await;
    for subject in ["the thief's", "the thief's second"] {
        host.corp.log_in_as(ProviderAccount::new(subject));
        assert_says(&host.log_in(&host.client(), "/auth/corp").await, "which address");
    }
}

#[tokio::test]
async fn an_unknown_identity_with_a_new_proven_address_registers_and_is_known_afterwards() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(ProviderAccount::new("jane").email("Jane@Example.COM", true));
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "logged in");
    assert_eq!(who(&browser).await, "jane@example.com");
    let again = host.client();
    assert_says(&host.log_in(&again, "/auth/corp").await, "logged in");
    assert_eq!((host.count("users").await, host.count("user_identities").await), (1, 1));
    assert_eq!(host.count("oauth_flows").await, 0, "flows are used up");
}

/// A provider can let a user change their email address, and give a freed one to somebody else.
#[tokio::test]
async fn invariant_18_an_identity_is_its_issuer_and_subject_and_no_address() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "logged in");

    host.corp.log_in_as(ProviderAccount::new("jane").email("new@example.com", true));
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "logged in");
    assert_eq!(who(&browser).await, "jane@example.com", "the provider's new address is only a label");

    // The same subject at another issuer, and another subject with the same address.
    host.rival.log_in_as(jane());
    assert_says(&host.log_in(&host.client(), "/auth/rival").await, "log in to link");
    host.corp.log_in_as(ProviderAccount::new("mallory").email("jane@example.com", true));
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "log in to link");
    assert_eq!((host.count("users").await, host.count("user_identities").await), (1, 1));
}

#[tokio::test]
async fn invariant_18_an_address_that_is_not_proven_opens_nothing_and_tells_nothing() {
    let host = OauthHost::new().await;
    let (user, _) = host.user().await;
    let unverified = |email: &str| ProviderAccount::new("mallory").email(email, false);
    let mut said = Vec::new();
    for account in [unverified(&user.email), unverified("nobody@example.com"), ProviderAccount::new("mallory")] {
        host.corp.log_in_as(account);
        let browser = host.client();
        let response = host.log_in(&browser, "/auth/corp").await;
        assert_eq!(who(&browser).await, "anonymous");
        said.push((response.status(), response.text(), response.set_cookies().len()));
    }
    assert!(said.iter().all(|other| *other == said[0]), "{said:?}");
    assert_eq!(said[0].1, "which address");
    assert_eq!(host.count("user_identities").await, 0);
}

#[tokio::test]
async fn invariant_18_lookalikes_of_an_address_are_other_addresses_and_its_case_is_not() {
    let host = OauthHost::new().await;
    let (user, _) = host.user().await;
    let (local, domain) = user.email.split_once('@').unwrap();
    let other_case = format!("{}@{}", local.to_uppercase(), domain.to_uppercase());
    host.corp.log_in_as(ProviderAccount::new("case").email(&other_case, true));
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "log in to link");
    for (subject, lookalike) in
        [("dotless", format!("\u{131}{local}@{domain}")), ("cyrillic", format!("\u{430}{local}@{domain}"))]
    {
        host.corp.log_in_as(ProviderAccount::new(subject).email(&lookalike, true));
        let browser = host.client();
        assert_says(&host.log_in(&browser, "/auth/corp").await, "logged in");
        assert_ne!(who(&browser).await, user.email);
    }
}

/// What a stranger set up in an account with somebody else's address is gone when its owner comes.
#[tokio::test]
async fn invariant_18_a_proven_address_takes_an_unconfirmed_account_from_whoever_registered_it() {
    let host = OauthHost::new().await;
    let (user, stranger) = host.user().await;
    host.link(&user, "rival", "the stranger's").await;
    host.mark_unconfirmed(&user).await;
    host.corp.log_in_as(ProviderAccount::new("owner").email(&user.email, true));

    let owner = host.client();
    assert_says(&host.log_in(&owner, "/auth/corp").await, "logged in");
    assert_eq!((who(&owner).await, who(&stranger).await), (user.email.clone(), "anonymous".to_owned()));
    assert_eq!(identities(&owner).await.len(), 1, "the stranger's identity is gone");
    let response = host.host.post_log_in(&host.client(), &user, false).await;
    assert_eq!(response.location(), Some("/log-in"), "the stranger's password is gone");
    host.rival.log_in_as(ProviderAccount::new("the stranger's"));
    assert_says(&host.log_in(&host.client(), "/auth/rival").await, "which address");
    assert_eq!(host.count("users").await, 1);
}

#[tokio::test]
async fn an_identity_waits_until_the_owner_has_logged_in_and_says_yes() {
    let host = OauthHost::new().await;
    let (user, _) = host.user().await;
    host.corp.log_in_as(ProviderAccount::new("jane").email(&user.email, true));
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "log in to link");
    let id = browser.get("/pending").await.text();
    assert_status(&browser.post("/pending/link", &[("id", &id)]).await, StatusCode::UNAUTHORIZED);

    host.host.post_log_in(&browser, &user, false).await;
    assert!(identities(&browser).await.is_empty(), "the login alone links nothing");
    assert_says(&browser.post("/pending/link", &[("id", "another")]).await, "nothing");
    assert_says(&browser.post("/pending/link", &[("id", &id)]).await, "linked");
    assert_says(&browser.post("/pending/link", &[("id", &id)]).await, "nothing");
    assert_eq!(identities(&browser).await.len(), 1);
    assert_audit_event(host.sigra(), &user, "auth.identity.linked").await;
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "logged in");
}

#[tokio::test]
async fn an_identity_waits_for_ten_minutes_in_its_browser_only() {
    let host = OauthHost::new().await;
    let (user, other) = host.user().await;
    host.corp.log_in_as(ProviderAccount::new("jane").email(&user.email, true));
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "log in to link");
    let id = browser.get("/pending").await.text();
    assert_eq!(other.get("/pending").await.text(), "nothing");
    assert_says(&other.post("/pending/link", &[("id", &id)]).await, "nothing");
    host.host.clock().advance(MINUTE * 10);
    assert_eq!(browser.get("/pending").await.text(), "nothing");
}

/// Paymenter PR 1151, and others: a login at a provider went around the second factor.
#[tokio::test]
async fn invariant_12_a_login_at_a_provider_does_not_skip_the_second_factor() {
    let host = OauthHost::new().await;
    let (user, _) = host.host.mfa_fixture().await;
    host.link(&user, "corp", "jane").await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "second factor");
    assert_eq!(who(&browser).await, "anonymous");
    assert_audit_event(host.sigra(), &user, "auth.mfa.challenged").await;
}

#[tokio::test]
async fn a_suspended_user_cannot_log_in_at_a_provider() {
    let host = OauthHost::new().await;
    let (user, _) = host.user().await;
    host.link(&user, "corp", "jane").await;
    host.corp.log_in_as(jane());
    host.host.execute("UPDATE users SET suspended = true").await;
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "inactive");
}

#[tokio::test]
async fn invariant_3_a_login_at_a_provider_renews_the_cookie_session_and_can_be_remembered() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    browser.post("/put", &[("name", "cart"), ("value", "planted")]).await;
    let begun = browser.post("/auth/corp", &[("remember_me", "true")]).await;
    let back = host.corp.approve(begun.location().unwrap()).path_and_query();
    assert_says(&browser.get(&back).await, "logged in");
    assert_eq!(browser.get("/get?name=cart").await.text(), "nothing");
    assert!(browser.cookie(REMEMBER_ME).is_some());
}

#[tokio::test]
async fn invariant_19_a_state_is_worth_nothing_in_another_browser() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let (victim, attacker) = (host.client(), host.client());
    let back = host.visit(&attacker, "/auth/corp").await;
    // The victim is led to finish the attacker's flow: without a cookie, and with one of their own.
    assert_refused(&victim.get(&back).await, "unknown_flow");
    host.visit(&victim, "/auth/corp").await;
    assert_refused(&victim.get(&back).await, "unknown_flow");
    assert_eq!(who(&victim).await, "anonymous");
    // Two cookies, of which one was planted, count as none.
    let cookies =
        [&attacker, &victim].map(|browser| format!("{COOKIE}={}", browser.cookie(COOKIE).unwrap())).join("; ");
    let request = Request::get(&back).header("cookie", cookies).body(Body::empty()).unwrap();
    assert_refused(&host.client().send_without_storing(request).await, "unknown_flow");
    assert_says(&attacker.get(&back).await, "logged in");
}

#[tokio::test]
async fn invariant_19_a_flow_ends_once() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    let back = host.visit(&browser, "/auth/corp").await;
    assert_says(&browser.get(&back).await, "logged in");
    assert_refused(&browser.get(&back).await, "unknown_flow");
    assert_eq!(who(&browser).await, "jane@example.com", "a second press does no harm");
}

/// RFC 9700 section 4.4.
#[tokio::test]
async fn invariant_19_a_state_of_one_provider_is_worth_nothing_at_the_callback_of_another() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    host.rival.log_in_as(jane());
    let browser = host.client();
    let back = host.visit(&browser, "/auth/corp").await;
    assert_refused(&browser.get(&back.replace("/corp/", "/rival/")).await, "unknown_flow");
    assert_refused(&browser.get(&back.replace("/corp/", "/nobody/")).await, "unknown_provider");
    assert_says(&browser.get(&back).await, "logged in");
}

#[tokio::test]
async fn invariant_19_a_flow_lasts_ten_minutes() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    let back = host.visit(&browser, "/auth/corp").await;
    host.host.clock().advance(MINUTE * 10);
    assert_refused(&browser.get(&back).await, "unknown_flow");
    assert_eq!(host.count("oauth_flows").await, 1);
    host.sigra().housekeeping().purge_expired().await.unwrap();
    assert_eq!(host.count("oauth_flows").await, 0);
}

#[tokio::test]
async fn invariant_19_a_link_begun_in_one_session_ends_in_no_other() {
    let host = OauthHost::new().await;
    let (_, browser) = host.user().await;
    let other = host.host.registered_fixture().await;
    host.corp.log_in_as(jane());
    let back = host.visit(&browser, "/auth/corp/link").await;
    // In the same browser, another user logs in.
    host.host.post_log_in(&browser, &other, false).await;
    assert_refused(&browser.get(&back).await, "other_session");

    let (user, browser) = host.user().await;
    let back = host.visit(&browser, "/auth/corp/link").await;
    host.host.post_log_in(&browser, &user, false).await;
    assert_refused(&browser.get(&back).await, "other_session");

    let back = host.visit(&browser, "/auth/corp/link").await;
    browser.post("/log-out", &[]).await;
    assert_refused(&browser.get(&back).await, "other_session");
    assert_eq!(host.count("user_identities").await, 0);
}

#[tokio::test]
async fn a_browser_has_at_most_8_flows_and_the_oldest_goes_first() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    let first = host.visit(&browser, "/auth/corp").await;
    host.host.clock().advance(Duration::from_secs(1));
    for _ in 0..8 {
        host.visit(&browser, "/auth/corp").await;
    }
    assert_eq!(host.count("oauth_flows").await, 8);
    assert_refused(&browser.get(&first).await, "unknown_flow");
}

#[tokio::test]
async fn linking_needs_sudo_renews_the_session_and_is_audited() {
    let host = OauthHost::new().await;
    let (user, browser) = host.user().await;
    host.corp.log_in_as(jane());
    let before = token(&browser).hash();
    assert_says(&host.log_in(&browser, "/auth/corp/link").await, "linked");
    assert!(token(&browser).hash() != before);
    assert_audit_event(host.sigra(), &user, "auth.identity.linked").await;
    assert_says(&host.log_in(&browser, "/auth/corp/link").await, "linked before");

    let (_, other) = host.user().await;
    assert_says(&host.log_in(&other, "/auth/corp/link").await, "linked by another");
    host.host.clock().advance(MINUTE * 20);
    assert_ne!(browser.post("/auth/corp/link", &[]).await.location(), None);
    assert_eq!(host.count("oauth_flows").await, 0, "no flow was begun without a recent login");
}

/// Of two requests that link the last one, only one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_links_at_most_20_accounts_also_by_two_requests_at_once() {
    for _ in 0..4 {
        let host = OauthHost::new().await;
        let (user, browser) = host.user().await;
        for number in 0..19 {
            host.link(&user, "corp", &number.to_string()).await;
        }
        let other = host.client();
        assert_status(&host.host.post_log_in(&other, &user, false).await, StatusCode::SEE_OTHER);
        host.corp.log_in_as(ProviderAccount::new("the twentieth"));
        let one = host.visit(&browser, "/auth/corp/link").await;
        host.corp.log_in_as(ProviderAccount::new("one too many"));
        let two = host.visit(&other, "/auth/corp/link").await;
        let (one, two) = tokio::join!(browser.get(&one), other.get(&two));
        let mut said = [one.text(), two.text()];
        said.sort();
        assert_eq!(said, ["linked", "too many"]);
        assert_eq!(identities(&browser).await.len(), 20);
        host.corp.log_in_as(ProviderAccount::new("0"));
        assert_says(&host.log_in(&browser, "/auth/corp/link").await, "linked before");
    }
}

/// A host can link more of them, such as those of another system.
#[tokio::test]
async fn every_linked_account_is_listed_and_can_be_unlinked() {
    let host = OauthHost::new().await;
    let (user, browser) = host.user().await;
    for number in 0..110 {
        host.link(&user, "corp", &number.to_string()).await;
    }
    let linked = identities(&browser).await;
    assert_eq!(linked.len(), 110);
    for id in linked {
        assert_status(&browser.post(&format!("/identities/{id}/unlink"), &[]).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(host.count("user_identities").await, 0);
}

#[tokio::test]
async fn the_last_login_by_each_method_is_found_behind_any_number_of_other_events() {
    let host = OauthHost::new().await;
    let (user, browser) = host.user().await;
    let last = async |method| host.sigra().audit().last_login(&user.id, method).await.unwrap();
    let at = last(LoginMethod::Password).await.expect("a login");
    assert_eq!(at.unix_timestamp(), host.host.clock().now().unix_timestamp());
    let mut conn = host.host.pool.acquire().await.unwrap();
    for _ in 0..300 {
        let viewed = Audit::new("page.viewed").of(user.id).with(serde_json::json!({ "method": "password" }));
        host.sigra().audit().record_in(&mut conn, &viewed).await.unwrap();
    }
    host.host.clock().advance(MINUTE);
    host.corp.log_in_as(jane());
    host.link(&user, "corp", "jane").await;
    assert_says(&host.log_in(&browser, "/auth/corp").await, "logged in");
    assert_eq!(last(LoginMethod::Password).await, Some(at));
    assert!(last(LoginMethod::Provider).await > Some(at));
    assert_eq!(last(LoginMethod::Link).await, None);
    let (other, _) = host.user().await;
    assert_eq!(host.sigra().audit().last_login(&other.id, LoginMethod::Provider).await.unwrap(), None);

    let statement = "SELECT inserted_at FROM audit_events
        WHERE user_id = (SELECT id FROM users LIMIT 1) AND method = 'link' ORDER BY id DESC LIMIT 1";
    let explain = sqlx::AssertSqlSafe(format!("{EXPLAIN} {statement}"));
    let plan = sqlx::raw_sql(explain).fetch_all(&mut *conn).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|step| step.get(step.len() - 1)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("audit_events_user_id_method_id") && !plan.to_lowercase().contains("sort"), "{plan}");
}

#[tokio::test]
async fn sudo_at_a_provider_takes_a_fresh_login_of_ones_own_identity() {
    let host = OauthHost::new().await;
    let (user, browser) = host.user().await;
    host.link(&user, "corp", "jane").await;
    host.host.clock().advance(MINUTE * 21);
    assert_ne!(browser.get("/sudo").await.status(), StatusCode::OK);

    host.corp.log_in_as(ProviderAccount::new("somebody else"));
    assert_says(&host.log_in(&browser, "/auth/corp/sudo").await, "not theirs");
    host.corp.log_in_as(jane());
    for fault in [ProviderFault::OldLogin, ProviderFault::NoAuthTime] {
        host.corp.misbehave(fault);
        assert_refused(&host.log_in(&browser, "/auth/corp/sudo").await, "auth_time");
    }
    host.corp.behave();
    assert_ne!(browser.get("/sudo").await.status(), StatusCode::OK);
    assert_says(&host.log_in(&browser, "/auth/corp/sudo").await, "confirmed");
    assert_status(&browser.get("/sudo").await, StatusCode::OK);
    assert_audit_event(host.sigra(), &user, "auth.reauthentication.success").await;
}

#[tokio::test]
async fn sudo_at_a_provider_is_not_enough_for_a_user_with_a_second_factor() {
    let host = OauthHost::new().await;
    let (user, browser) = host.host.mfa_complete_fixture().await;
    let known = host.client();
    browser.cookies().iter().for_each(|(name, value)| known.set_cookie(name, value));
    host.link(&user, "corp", "jane").await;
    host.corp.log_in_as(jane());
    assert_problem(&host.log_in(&known, "/auth/corp/sudo").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_error_in_the_callback_uses_the_flow_up_and_logs_nobody_in() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    for (query, reason) in [
        ("error=access_denied", "access_denied"),
        ("error=user_cancelled_authorize", "access_denied"),
        ("error=%3Cscript%3E&error_description=%3Cscript%3E", "provider_error"),
        ("", "incomplete"),
        ("code=", "incomplete"),
        (&format!("code={}", "a".repeat(9000)), "incomplete"),
    ] {
        let back = host.visit(&browser, "/auth/corp").await;
        let state = back.split(['?', '&']).find(|parameter| parameter.starts_with("state=")).unwrap();
        let response = browser.get(&format!("/auth/corp/callback?{state}&{query}")).await;
        assert_refused(&response, reason);
        assert_refused(&browser.get(&back).await, "unknown_flow");
    }
    for query in ["", "?code=x", "?state=", "?state=%00", "?state=x&code=x", &format!("?state={}", "A".repeat(43))] {
        assert_eq!(browser.get(&format!("/auth/corp/callback{query}")).await.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn a_provider_that_is_down_begins_no_flow() {
    let host = OauthHost::new().await;
    host.corp.go_down();
    assert_status(&host.client().post("/auth/corp", &[]).await, StatusCode::BAD_REQUEST);
    assert_eq!(host.count("oauth_flows").await, 0);
    host.corp.come_up();
    host.host.clock().advance(MINUTE);
    host.corp.log_in_as(jane());
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "logged in");
}

/// The state, the nonce, the verifier and the browser's token are in no file of the database.
#[tokio::test]
async fn invariant_1_no_secret_of_a_flow_or_a_provider_is_in_the_database() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    let begun = browser.post("/auth/corp", &[]).await;
    let url = begun.location().unwrap().to_owned();
    let parameter = |name: &str| {
        let parameters = url.split(['?', '&']).find_map(|parameter| parameter.strip_prefix(&format!("{name}=")));
        parameters.unwrap().to_owned()
    };
    let cookie = browser.cookie(COOKIE).unwrap();
    let secrets = [parameter("state"), parameter("nonce"), cookie[44..].to_owned()];
    let files = host.host.database_files().await;
    for secret in &secrets {
        assert_eq!(secret.len(), 43);
        assert!(files.iter().all(|file| !file.windows(43).any(|window| window == secret.as_bytes())));
    }
}

#[tokio::test]
async fn tokens_of_a_provider_are_kept_encrypted_only_where_the_host_asks_for_it() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "logged in");
    let [id] = identities(&browser).await[..] else { panic!("one identity") };
    let user: User = sqlx::query_as("SELECT * FROM users").fetch_one(&host.host.pool).await.unwrap();
    let tokens = host.sigra().identities().tokens(&user.id, id).await.unwrap().expect("the host keeps them");
    let access_token = tokens.access_token.as_bytes();
    assert!(!access_token.is_empty());
    for file in host.host.database_files().await {
        assert!(!file.windows(access_token.len()).any(|window| window == access_token), "it is encrypted");
    }
    assert!(host.sigra().identities().tokens(&Uuid::now_v7(), id).await.unwrap().is_none(), "of their owner only");

    let rotated = host.host.restart(|_| {
        let old = [secret("a")];
        sigra::Config::new("my_app", SecretKeyBase::new("b".repeat(64) + "0123456789").unwrap())
            .older_secrets(old)
            .clock(host.host.clock().clone())
    });
    let rotated = rotated.await;
    assert_eq!(rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap().secrets, 1);
    let again = rotated.sigra.identities().tokens(&user.id, id).await.unwrap().expect("still there");
    assert_eq!(again.access_token, tokens.access_token);

    host.rival.log_in_as(ProviderAccount::new("jim").email("jim@example.com", true));
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/rival").await, "logged in");
    let [id] = identities(&browser).await[..] else { panic!("one identity") };
    let jim: User =
        sqlx::query_as("SELECT * FROM users WHERE email = 'jim@example.com'").fetch_one(&host.host.pool).await.unwrap();
    assert!(host.sigra().identities().tokens(&jim.id, id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_19_sixteen_callbacks_at_once_give_one_identity_and_one_user() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = Arc::new(host.client());
    let back: &'static str = host.visit(&browser, "/auth/corp").await.leak();
    let mut callbacks = JoinSet::new();
    for _ in 0..16 {
        let browser = browser.clone();
        callbacks.spawn(async move { browser.send_without_storing(get_request(back)).await });
    }
    let responses = callbacks.join_all().await;
    let logged_in = responses.iter().filter(|response| response.status() == StatusCode::OK).count();
    assert_eq!(logged_in, 1);
    assert_eq!((host.count("users").await, host.count("user_identities").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_browsers_that_register_the_same_identity_or_address_at_once_get_one_user() {
    for round in 0..8 {
        let host = Arc::new(OauthHost::new().await);
        host.corp.log_in_as(jane());
        host.rival.log_in_as(jane());
        let mut logins = JoinSet::new();
        for path in ["/auth/corp", "/auth/corp", "/auth/rival", "/auth/rival"] {
            let (host, browser) = (host.clone(), host.client());
            logins.spawn(async move { host.log_in(&browser, path).await.text() });
        }
        let said = logins.join_all().await;
        assert_eq!(host.count("users").await, 1, "round {round}: {said:?}");
        assert_eq!(host.count("user_identities").await, 1);
        assert!(said.iter().all(|said| said == "logged in" || said == "log in to link"), "{said:?}");
    }
}

#[tokio::test]
async fn invariant_20_the_last_way_in_cannot_be_unlinked() {
    let host = OauthHost::new().await;
    host.corp.log_in_as(jane());
    let browser = host.client();
    assert_says(&host.log_in(&browser, "/auth/corp").await, "logged in");
    let [id] = identities(&browser).await[..] else { panic!("one identity") };
    let unlink = format!("/identities/{id}/unlink");
    assert_problem(&browser.post(&unlink, &[]).await, StatusCode::CONFLICT);

    // A second identity is a way in only at a provider that the host has.
    let user: User = sqlx::query_as("SELECT * FROM users").fetch_one(&host.host.pool).await.unwrap();
    host.link(&user, "rival", "jane").await;
    host.host.execute("UPDATE user_identities SET provider = 'gone' WHERE provider = 'rival'").await;
    assert_problem(&browser.post(&unlink, &[]).await, StatusCode::CONFLICT);
    host.host.execute("UPDATE user_identities SET provider = 'rival' WHERE provider = 'gone'").await;
    assert_status(&browser.post(&unlink, &[]).await, StatusCode::NO_CONTENT);
    assert_audit_event(host.sigra(), &user, "auth.identity.unlinked").await;
    assert_says(&host.log_in(&host.client(), "/auth/corp").await, "log in to link");
}

#[tokio::test]
async fn invariant_20_a_password_or_login_links_let_the_last_identity_go() {
    let host = OauthHost::new().await;
    let (user, browser) = host.user().await;
    host.link(&user, "corp", "jane").await;
    let [id] = identities(&browser).await[..] else { panic!("one identity") };
    assert_status(&browser.post(&format!("/identities/{id}/unlink"), &[]).await, StatusCode::NO_CONTENT);
    assert_status(&browser.post(&format!("/identities/{id}/unlink"), &[]).await, StatusCode::NOT_FOUND);

    let host = OauthHost::with(|config| config.login_links(true)).await;
    let (user, browser) = host.user().await;
    host.link(&user, "corp", "jane").await;
    host.remove_password(&user).await;
    let [id] = identities(&browser).await[..] else { panic!("one identity") };
    assert_status(&browser.post(&format!("/identities/{id}/unlink"), &[]).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn nobody_unlinks_an_identity_of_somebody_else() {
    let host = OauthHost::new().await;
    let (user, browser) = host.user().await;
    host.link(&user, "corp", "jane").await;
    let [id] = identities(&browser).await[..] else { panic!("one identity") };
    let (_, other) = host.user().await;
    assert_status(&other.post(&format!("/identities/{id}/unlink"), &[]).await, StatusCode::NOT_FOUND);
    assert_eq!(host.count("user_identities").await, 1);
}

/// supabase 46509, and others: two requests each left the other's way in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_20_two_identities_unlinked_at_once_leave_one() {
    for round in 0..16 {
        let host = OauthHost::new().await;
        let (user, browser) = host.user().await;
        host.link(&user, "corp", "jane").await;
        host.link(&user, "rival", "jane").await;
        host.remove_password(&user).await;
        let browsers = [&browser, &host.client()];
        browser.cookies().iter().for_each(|(name, value)| browsers[1].set_cookie(name, value));
        // Another session of the same user, so that the renewal of one doesn't end the other.
        host.corp.log_in_as(jane());
        assert_says(&host.log_in(browsers[1], "/auth/corp").await, "logged in");
        let again = host.log_in(browsers[0], "/auth/corp").await;
        assert_says(&again, "logged in");
        let ids = identities(&browser).await;
        let unlink = |at: usize| format!("/identities/{}/unlink", ids[at]);
        let (one, other) = tokio::join!(browsers[0].post(&unlink(0), &[]), browsers[1].post(&unlink(1), &[]));
        let mut statuses = [one.status(), other.status()];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::NO_CONTENT, StatusCode::CONFLICT], "round {round}");
        assert_eq!(host.count("user_identities").await, 1);
    }
}

/// A client that disconnects during a callback leaves a user with an identity, or nothing.
#[tokio::test]
async fn invariant_17_a_client_that_hangs_up_during_a_callback_leaves_nothing_half_done() {
    let host = OauthHost::new().await;
    let mut polls = 0;
    loop {
        host.corp.log_in_as(ProviderAccount::new(polls.to_string()).email(format!("jane{polls}@example.com"), true));
        let browser = host.client();
        let back = host.visit(&browser, "/auth/corp").await;
        let response = browser.send_and_hang_up(get_request(&back), polls).await;
        host.sigra().settle().await;
        // One statement, because a commit that was under way can end between two.
        let half_done = "users WHERE id NOT IN (SELECT user_id FROM user_identities)";
        assert_eq!(host.count(half_done).await, 0, "after {polls} polls");
        // Whatever happened, the user can try again.
        assert_says(&host.log_in(&host.client(), "/auth/corp").await, "logged in");
        if response.is_some() {
            break;
        }
        polls += 1;
    }
    assert!(polls > 3, "the callback waits");
}
