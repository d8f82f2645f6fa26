//! The page of mails that were sent.

mod support;

use sigra::testing::{TestHost, assert_contains, assert_status};
use support::{Host, email_form};

#[tokio::test]
async fn mails_can_be_read_and_their_links_be_opened() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    assert_contains(&host.client().get("/dev/mailbox").await, "There is none yet.");
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let page = host.client().get("/dev/mailbox").await;
    assert_contains(&page, "Set a new password");
    assert_contains(&page, &format!("href=\"http://127.0.0.1:4000{}\"", host.link_to(&user.email).await));
    let mails: serde_json::Value = host.client().json().get("/dev/mailbox").await.json();
    assert_eq!(mails[0]["to"], user.email);
}

#[tokio::test]
async fn there_is_no_such_page_in_production() {
    const SECRET: &str = "0123456789012345678901234567890123456789012345678901234567890123";
    let prod = [("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET), ("PUBLIC_URL", "https://example.com")];
    let host = Host::with(&prod).await;
    assert_status(&host.client().get("/dev/mailbox").await, 404);
}
