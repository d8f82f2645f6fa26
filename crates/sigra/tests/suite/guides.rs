//! Statements that the guides tell administrators to run.

use std::fs;

use sigra::testing::{TestHost, assert_redirected_to, assert_status};
use sqlx::AssertSqlSafe;

use super::oauth_server_host::ServerHost;

const PERMISSIONS: &[&str] = &["projects:read"];

/// Returns the first block of SQL below a heading of a guide.
pub fn statements(guide: &str, heading: &str) -> String {
    let path = format!("{}/../../docs/{guide}", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_, below) = page.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let (_, block) = below.split_once("```sql\n").expect("a block");
    block.split("```").next().expect("its end").to_owned()
}

#[tokio::test]
async fn the_statements_for_a_restored_backup_end_all_access() {
    let host = ServerHost::new().await;
    let (user, browser) = host.user().await;
    let script = host.token_client(&user, PERMISSIONS).await;
    let program = host.program_client(&user, "cli", PERMISSIONS).await;
    for path in ["/me", "/sudo"] {
        assert_status(&browser.get(path).await, 200);
    }
    for client in [&script, &program] {
        assert_status(&client.get("/api/read").await, 200);
    }

    let statements = statements("deployment.md", "Backups");
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(host.sigra().pool()).await.unwrap();
    let restored = host.another_node().await;
    assert_redirected_to(&restored.host.take_over(&browser).get("/me").await, "/users/log-in");
    host.sigra().catch_up().await;
    for client in [&script, &program] {
        assert_status(&client.get("/api/read").await, 401);
    }
    for table in [
        "users_tokens",
        "api_tokens",
        "oauth_tokens",
        "oauth_grants",
        "oauth_codes",
        "oauth_device_codes",
        "outgoing_mails",
    ] {
        assert_eq!(host.count(table).await, 0, "{table}");
    }
    assert_eq!(host.count("users").await, 1);
}
