//! What programs look for at fixed paths.

use crate::support::{Host, PROD, settings};
// <passkeys>
use sigra::testing::assert_problem;
// </passkeys>
use sigra::testing::{TestHost, assert_contains, assert_status};

const CONTACT: (&str, &str) = ("SECURITY_CONTACT", "mailto:security@example.com, https://example.com/security");
const EXPIRES: (&str, &str) = ("SECURITY_TXT_EXPIRES", "2099-06-30T00:00:00Z");

#[tokio::test]
async fn password_managers_find_the_page_to_change_the_password() {
    let host = Host::new().await;
    let response = host.client().get("/.well-known/change-password").await;
    assert_eq!((response.status().as_u16(), response.location()), (303, Some("/users/settings/password")));
    let (_, user) = host.authenticated_fixture().await;
    assert_contains(&user.get("/users/settings/password").await, "new-password");
    // With a status other than 404, managers would not trust any well-known path.
    let absent = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200";
    assert_status(&host.client().get(absent).await, 404);
}

// <passkeys>
#[tokio::test]
async fn password_managers_find_the_page_for_passkeys() {
    let host = Host::with(&PROD).await;
    let response = host.client().get("/.well-known/passkey-endpoints").await;
    assert_status(&response, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let page = "https://example.com/users/settings/mfa";
    let found: serde_json::Value = serde_json::from_str(&response.text()).expect("JSON");
    assert_eq!(found, serde_json::json!({ "enroll": page, "manage": page }));

    let without = Host::with(&[&[("PUBLIC_URL", "https://192.0.2.1")], &PROD[..]].concat()).await;
    assert_problem(&without.client().json().get("/.well-known/passkey-endpoints").await, 404);
}
// </passkeys>

#[tokio::test]
async fn security_txt_has_the_contact_of_the_settings() {
    let host = Host::with(&[&PROD[..], &[CONTACT, EXPIRES]].concat()).await;
    let response = host.client().get("/.well-known/security.txt").await;
    assert_status(&response, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(
        response.text(),
        "Contact: mailto:security@example.com\nContact: https://example.com/security\nExpires: 2099-06-30T00:00:00Z\n\
         Canonical: https://example.com/.well-known/security.txt\n"
    );
    assert_status(&Host::new().await.client().get("/.well-known/security.txt").await, 404);
}

#[test]
fn a_security_txt_that_has_expired_or_never_expires_is_reported_at_start() {
    let error = |env: &[(&str, &str)]| settings(env).err().expect("must be refused").to_string();
    assert!(
        error(&[CONTACT]).starts_with("SECURITY_CONTACT is set, so SECURITY_TXT_EXPIRES must be too: set it to a time")
    );
    assert!(error(&[CONTACT, (EXPIRES.0, "2099-06-30")]).contains("it must be a time such as 2027-06-30T00:00:00Z"));
    for contact in ["security@example.com", "http://example.com", "javascript:alert(1)"] {
        assert!(error(&[(CONTACT.0, contact), EXPIRES]).contains("it must be URLs such as mailto:"), "{contact}");
    }
    let old = settings(&[CONTACT, (EXPIRES.0, "2020-06-30T00:00:00Z")]).expect("valid settings");
    assert!(old.warnings.iter().any(|warning| warning.contains("security.txt has expired")), "{:?}", old.warnings);
    assert!(settings(&[CONTACT, EXPIRES]).expect("valid settings").warnings.is_empty());
}

#[tokio::test]
async fn search_engines_leave_the_pages_of_accounts_out() {
    let response = Host::new().await.client().get("/robots.txt").await;
    assert_eq!(response.text(), "User-agent: *\nDisallow: /users/\n");
}
