//! Generated applications build without warnings, and pass clippy and their own tests.

mod generated;

use generated::{Generated, Workspace};

/// The common choices, with the library that would be published.
fn common_applications() -> Workspace {
    let flags = |flags: &'static str| flags.split_whitespace().collect::<Vec<_>>();
    let applications = [
        ("notes", &flags("--user Member --table members")[..]),
        ("photo-blog", &flags("--db postgres")),
        (
            "club",
            &flags(
                "--id bigint --no-mfa --no-passkeys --no-magic-link --no-oauth --no-api-tokens --no-device-bound --no-live --no-languages",
            ),
        ),
        ("backend", &flags("--api-only")),
    ];
    // The template's own tests are those of the others, which run in more applications below.
    Workspace::of(&applications, &["server"]).with_example()
}

#[test]
#[ignore = "a separate step of `./test`: it builds applications, which would slow other tests down"]
fn the_common_applications_compile_without_warnings() {
    common_applications().lint();
}

/// Below, the packed generator is built too, and each application is built separately, with only its own features of
/// dependencies.
#[test]
#[ignore = "a step of `./test --long`: it builds applications"]
fn the_common_applications_pass_their_checks() {
    let workspace = common_applications();
    workspace.check();

    let mut server = workspace.serve("server");
    assert_eq!(server.get("/").0, 200, "the guestbook needs no login");
    server.use_accounts("users", "user", "/users/");
    workspace.serve("notes").use_accounts("members", "member", "/");
}

/// Names that are words of Rust and SQL, and tables with a singular name. Both packages are those that would be
/// published.
#[test]
#[ignore = "for the long run"]
fn applications_with_difficult_names_pass_their_checks() {
    let flags = |flags: &'static str| flags.split_whitespace().collect::<Vec<_>>();
    let applications = [
        ("union", &flags("--user Order --table order")[..]),
        ("raw", &flags("--db postgres --table user")),
        ("self-2", &flags("--db postgres --api-only --id bigint --user Group --table values")),
    ];
    Workspace::by_the_packed_generator(&applications, &["union", "raw", "self-2"]).check();
}

/// Declares a test for each row, so that they have names and run in parallel.
macro_rules! matrix {
    ($($name:ident: $flags:literal),* $(,)?) => {
        $(
            #[test]
            #[ignore = "for the long run"]
            fn $name() {
                Generated::new(stringify!($name), &$flags.split_whitespace().collect::<Vec<_>>()).check();
            }
        )*
    };
}

matrix! {
    with_everything: "",
    by_json: "--api-only",
    by_json_with_members_and_nothing_optional:
        "--api-only --db postgres --id bigint --user Member --no-mfa --no-passkeys --no-magic-link --no-oauth --no-api-tokens --no-device-bound --no-live --no-languages",
    on_postgres: "--db postgres",
    with_other_names_and_nothing_optional:
        "--user Member --id bigint --no-mfa --no-passkeys --no-magic-link --no-oauth --no-api-tokens --no-device-bound --no-live --no-languages",
    with_other_names: "--user Member --table members",
    without_mfa: "--no-mfa",
    without_passkeys: "--no-passkeys",
    without_magic_link: "--no-magic-link",
    without_oauth: "--no-oauth",
    without_magic_link_and_oauth: "--no-magic-link --no-oauth",
    without_passkeys_and_oauth: "--no-passkeys --no-oauth",
    without_api_tokens: "--no-api-tokens",
    by_json_without_api_tokens: "--api-only --no-api-tokens",
    without_oauth_server: "--no-oauth-server",
    by_json_without_oauth_server: "--api-only --no-oauth-server",
    without_device_bound: "--no-device-bound",
    by_json_without_device_bound: "--api-only --no-device-bound",
    without_live: "--no-live",
    without_languages: "--no-languages",
    by_json_without_languages: "--api-only --no-languages",
    with_nothing_optional_but_languages: "--no-mfa --no-passkeys --no-magic-link --no-oauth --no-api-tokens --no-device-bound --no-live",
    with_bigint: "--id bigint",
    with_members: "--user Member --table members",
    with_team_members: "--user TeamMember --table staff",
    with_members_on_postgres: "--db postgres --user Member --table members",
    with_another_type_on_postgres: "--db postgres --user Member --table users",
    without_mfa_and_passkeys: "--no-mfa --no-passkeys",
    without_mfa_and_magic_link: "--no-mfa --no-magic-link",
    without_passkeys_and_magic_link: "--no-passkeys --no-magic-link",
    without_magic_link_and_live: "--no-magic-link --no-oauth --no-api-tokens --no-live",
    with_nothing_optional: "--no-mfa --no-passkeys --no-magic-link --no-oauth --no-api-tokens --no-device-bound --no-live --no-languages",
    postgres_with_bigint: "--db postgres --id bigint",
    postgres_without_magic_link: "--db postgres --no-magic-link",
    postgres_without_live: "--db postgres --no-live",
    postgres_with_nothing_optional:
        "--db postgres --id bigint --no-mfa --no-passkeys --no-magic-link --no-oauth --no-api-tokens --no-device-bound --no-live --no-languages",
}
