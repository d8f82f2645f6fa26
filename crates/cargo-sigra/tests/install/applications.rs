//! Existing applications that are built with accounts, and used.

use std::fs;

use crate::{generated::said, host::Host};

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_plain_hello_world_gets_accounts() {
    let host = Host::new("hello", "").installed(&[]).checked();
    assert!(host.read("Cargo.toml").contains("# The web.\n[dependencies]\n"), "{}", host.read("Cargo.toml"));
    let mut server = host.serve("hello");
    assert_eq!(server.get("/").2, "Hello, World!");
    assert_eq!(server.get("/missing").0, 404);
    assert_eq!(server.get("/.well-known/oauth-authorization-server").0, 200);
    server.use_accounts("users", "user", "/users/");
    // It listens wherever its code says. So without APP_ENV nothing starts that shows emails to others.
    let refused = server.fails_to_start(&[("HOST", "127.0.0.1")]);
    assert!(refused.contains("APP_ENV is not set: start with `APP_ENV=dev cargo run`"), "{refused}");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_member_of_a_workspace_gets_accounts() {
    let host = Host::new("member", "web").installed(&["--no-live", "--module", "login"]).checked();
    assert!(host.read("Cargo.toml").contains("axum = { workspace = true, features = ["), "{}", host.read("Cargo.toml"));
    assert!(host.read("src/main.rs").contains("crate::login::with_accounts(router)"), "{}", host.read("src/main.rs"));
    let mut server = host.serve("web");
    assert_eq!(server.get("/").2, "Hello, World!");
    server.use_accounts("users", "user", "/users/");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn nested_routers_in_a_library_get_accounts() {
    let host = Host::new("nested", "").installed(&["--no-magic-link"]).checked();
    assert!(host.read("src/lib.rs").contains("pub mod auth;"));
    let mut server = host.serve("nested-shop");
    assert_eq!(server.get("/api/v1/name").2, "A shop");
    assert_eq!(server.get("/missing"), (404, String::new(), "nothing here".to_owned()));
    server.use_accounts("users", "user", "/users/");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn an_existing_users_table_is_adopted_with_its_rows() {
    let host = Host::new("users", "").installed(&[]).checked();
    let migration = host.read("migrations/20260401120001_create_users_auth_tables.sql");
    assert!(migration.contains("ALTER TABLE users ADD COLUMN hashed_password TEXT;\n"), "{migration}");
    let mut server = host.serve("forum");
    assert_eq!(server.get("/").2, "Hello, 1 users!");
    server.use_accounts("users", "user", "/users/");
    assert_eq!(server.get("/").2, "Hello, 2 users!");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn accounts_can_have_a_separate_table_next_to_an_existing_one() {
    let host = Host::new("users", "").installed(&["--user", "Member", "--table", "members"]).checked();
    let migration = host.read("migrations/20260401120001_create_members_auth_tables.sql");
    assert!(migration.starts_with("CREATE TABLE members ("), "{migration}");
    let mut server = host.serve("forum");
    assert_eq!(server.get("/").2, "Hello, 1 users!");
    server.use_accounts("members", "member", "/members/");
    assert_eq!(server.get("/").2, "Hello, 1 users!");
}

#[test]
#[ignore = "for the long run: it has dependencies that nothing else here has"]
fn the_example_of_axum_login_gets_accounts_next_to_its_own() {
    let host = Host::new("axum_login", "");
    let refused = host.install(&[]);
    let message = "has no column `email`: add one first";
    assert!(!refused.status.success() && said(&refused).contains(message), "{}", said(&refused));
    assert_eq!(host.changes(), "");
    let migration = "ALTER TABLE users ADD COLUMN email TEXT;\n";
    fs::write(host.root().join("migrations/20260601000000_add_email.sql"), migration).expect("written");
    host.commit();
    let host = host.installed(&[]);
    let warned = said(&host.install(&["--dry-run"]));
    assert!(warned.contains("every row of `users` must have `username` and `password`"), "{warned}");

    host.fill_required_columns();
    let path = host.root().join("src/auth/accounts/registration.rs");
    let registration = fs::read_to_string(&path).expect("text");
    let given = registration.replace("VALUES ('', '', $1, $2,", "VALUES ($1, '', $1, $2,");
    assert_ne!(given, registration);
    fs::write(&path, given).expect("written");
    let host = host.checked();
    let mut server = host.serve("axum-login-sqlite");
    assert_eq!(server.get("/").1, "/login?next=%2F");
    server.use_accounts("users", "user", "/users/");
}

#[test]
#[ignore = "for the long run: it builds an application"]
fn a_library_without_a_router_gets_advice() {
    let host = Host::new("library", "").installed(&[]).checked();
    let again = said(&host.install(&["--dry-run"]));
    assert!(again.contains("    let app = pages::auth::with_accounts(app).await.unwrap_or_else("), "{again}");
    host.cargo(&["clean", "--package", "pages"]);
}

/// This host has CORS, a pool, and all lints.
#[test]
#[ignore = "for the long run: it builds an application twice"]
fn a_layered_api_still_responds_to_every_origin_and_passes_its_own_lints() {
    let host = Host::new("layered", "");
    let before = host.serve("layered").responses_to_another_origin();
    let host = host.installed(&[]).checked();
    let mut server = host.serve("layered");
    assert_eq!(server.responses_to_another_origin(), before);
    server.use_accounts("users", "user", "/users/");
    assert_eq!(server.responses_to_another_origin(), before, "also with cookies");
}
