//! Generated applications build without warnings, and pass clippy and their own tests.

mod generated;

use std::{fs, process::Command};

use generated::{Generated, Workspace, cargo, packages::Packages, said};

/// The common choices. In the long run, each application is also built separately, with only its own features of
/// dependencies.
#[test]
#[ignore = "a separate step of `./test`: it builds applications, which would slow other tests down"]
fn the_common_applications_pass_their_checks() {
    let flags = |flags: &'static str| flags.split_whitespace().collect::<Vec<_>>();
    let workspace = Workspace::of(&[
        ("notes", &flags("")),
        ("photo-blog", &flags("--db postgres --user Member --table members")),
        ("club", &flags("--id bigint --no-mfa --no-passkeys --no-magic-link --no-live")),
        ("backend", &flags("--api-only")),
    ])
    .with_example();
    workspace.check();

    let mut server = workspace.serve("server");
    assert_eq!(server.get("/").0, 200, "the guestbook needs no login");
    server.use_accounts("users", "user");
}

/// Names that are words of Rust and SQL, and tables with a singular name.
#[test]
#[ignore = "for the long run"]
fn applications_with_difficult_names_pass_their_checks() {
    let flags = |flags: &'static str| flags.split_whitespace().collect::<Vec<_>>();
    Workspace::of(&[
        ("union", &flags("--user Order --table order")),
        ("raw", &flags("--db postgres --table user")),
        ("self-2", &flags("--db postgres --api-only --id bigint --user Group --table values")),
    ])
    .check();
}

/// Generates, with what would be uploaded to the registry, an application that gets the library from the registry.
#[test]
#[ignore = "for the long run"]
fn an_application_of_the_published_packages_passes_its_tests() {
    let packages = Packages::unpacked();
    let generator = packages.build("cargo-sigra", "cargo-sigra");
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(generator).current_dir(folder.path()).args(["new", "packed", "--yes"]).output();
    let output = output.expect("the generator");
    assert!(output.status.success(), "{}", said(&output));
    let app = folder.path().join("packed");
    let manifest = fs::read_to_string(app.join("Cargo.toml")).expect("a manifest");
    assert!(manifest.contains("sigra = { version = ") && !manifest.contains("path = "), "{manifest}");
    packages.patch(&app);
    cargo(&app, &["clippy", "--all-targets", "--", "--deny", "warnings"]);
    cargo(&app, &["test"]);
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
        "--api-only --db postgres --id bigint --user Member --no-mfa --no-passkeys --no-magic-link --no-live",
    on_postgres: "--db postgres",
    with_other_names_and_nothing_optional:
        "--user Member --id bigint --no-mfa --no-passkeys --no-magic-link --no-live",
    without_mfa: "--no-mfa",
    without_passkeys: "--no-passkeys",
    without_magic_link: "--no-magic-link",
    without_live: "--no-live",
    with_bigint: "--id bigint",
    with_members: "--user Member --table members",
    with_team_members: "--user TeamMember --table staff",
    with_members_on_postgres: "--db postgres --user Member --table members",
    with_another_type_on_postgres: "--db postgres --user Member --table users",
    without_mfa_and_passkeys: "--no-mfa --no-passkeys",
    without_mfa_and_magic_link: "--no-mfa --no-magic-link",
    without_passkeys_and_magic_link: "--no-passkeys --no-magic-link",
    without_magic_link_and_live: "--no-magic-link --no-live",
    with_nothing_optional: "--no-mfa --no-passkeys --no-magic-link --no-live",
    postgres_with_bigint: "--db postgres --id bigint",
    postgres_without_magic_link: "--db postgres --no-magic-link",
    postgres_without_live: "--db postgres --no-live",
    postgres_with_nothing_optional: "--db postgres --id bigint --no-mfa --no-passkeys --no-magic-link --no-live",
}
