//! What the application says when it can't start.

mod support;

use std::{fs, process::Command};

use my_app::{config::Environment, database};
use support::settings;

const SECRET: &str = "0123456789012345678901234567890123456789012345678901234567890123";

fn error(env: &[(&'static str, &str)]) -> String {
    settings(env).err().expect("must be refused").to_string()
}

#[test]
fn development_needs_nothing_to_be_set() {
    let settings = settings(&[("APP_ENV", "test")]).expect("good settings");
    assert_eq!(settings.environment, Environment::Test);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:4000");
    assert_eq!(settings.database_url, database::DEFAULT_URL);
    assert_eq!(settings.public_url.as_str(), "http://127.0.0.1:4000/");
}

#[test]
fn production_needs_a_secret_and_a_public_url() {
    assert_eq!(
        error(&[("APP_ENV", "prod"), ("PUBLIC_URL", "https://example.com")]),
        "SECRET_KEY_BASE is not set, and APP_ENV=prod needs it: set it to 64 or more random characters, as from `openssl rand -base64 48`"
    );
    assert_eq!(
        error(&[("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET)]),
        "PUBLIC_URL is not set, and APP_ENV=prod needs it: set it to the address that users type"
    );
    assert!(
        settings(&[("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET), ("PUBLIC_URL", "https://example.com")]).is_ok()
    );
}

#[test]
fn a_short_secret_is_refused_and_not_shown() {
    let message = error(&[("SECRET_KEY_BASE", "hunter2hunter2")]);
    assert_eq!(
        message,
        "SECRET_KEY_BASE has 14 characters and needs at least 64: generate one with `openssl rand -base64 48`"
    );
    assert!(!error(&[("SECRET_KEY_BASE", SECRET), ("SECRET_KEY_BASE_FALLBACKS", "hunter2")]).contains("hunter2"));
}

#[test]
fn each_bad_setting_is_named_in_one_sentence() {
    for (name, value, said) in [
        ("APP_ENV", "production", "APP_ENV is `production`: it must be dev, test or prod"),
        ("HOST", "localhost", "HOST is `localhost`: it must be an IP address such as 127.0.0.1"),
        ("PORT", "70000", "PORT is `70000`: it must be a port number such as 4000"),
        ("SESSION_TTL", "-5", "SESSION_TTL is `-5`: it must be a whole number of seconds, at least 1"),
        ("SESSION_TTL", "0", "SESSION_TTL is `0`: it must be a whole number of seconds, at least 1"),
        ("SESSION_REISSUE_AGE", "7d", "SESSION_REISSUE_AGE is `7d`: it must be a whole number of seconds, at least 1"),
        ("SUDO_TTL", "1.5", "SUDO_TTL is `1.5`: it must be a whole number of seconds, at least 1"),
        ("SESSION_TTL", "18446744073709551615", "SESSION_TTL must be between 1 second and 100 years"),
        ("COOKIE_DOMAIN", "co.uk", "COOKIE_DOMAIN is `co.uk`, a public suffix that browsers refuse"),
        ("COOKIE_DOMAIN", "https://a.com", "COOKIE_DOMAIN is `https://a.com`, which is not a domain name"),
        ("PUBLIC_URL", "example.com", "PUBLIC_URL is `example.com`: it must be an address such as"),
        ("PUBLIC_URL", "ftp://example.com", "PUBLIC_URL is `ftp://example.com`: it must be an address such as"),
        ("TRUSTED_PROXIES", "everyone", "TRUSTED_PROXIES is `everyone`: it must be networks such as 10.0.0.0/8"),
    ] {
        let message = error(&[(name, value)]);
        assert!(message.starts_with(said), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

/// What the application says in a folder with such a `.env`. It must not start.
fn said_beside(env_file: &str, env: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join(".env"), env_file).expect("written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_my_app"));
    let output = program.current_dir(&folder).envs(env.iter().copied()).output().expect("the application");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_file_says_what_the_environment_does_not() {
    let said = said_beside("PORT=seven", &[]);
    assert!(said.starts_with("my_app can't start: PORT is `seven`"), "{said}");
    let said = said_beside("PORT=seven", &[("PORT", "eight")]);
    assert!(said.starts_with("my_app can't start: PORT is `eight`"), "{said}");
}

#[test]
fn a_line_that_is_no_setting_is_refused_and_not_shown() {
    let said = said_beside("SECRET_KEY_BASE=hunter2 hunter2", &[]);
    assert!(said.starts_with("my_app can't start: `.env` has a line that is no setting"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn the_example_of_a_file_is_one() {
    let example = include_str!("../.env.example");
    let all: String = example.lines().map(|line| format!("{}\n", uncommented(line))).collect();
    let said = said_beside(&all, &[("PORT", "seven")]);
    assert!(said.starts_with("my_app can't start: PORT is `seven`"), "{said}");
}

/// A setting, also of a line such as `#NAME=value`.
fn uncommented(line: &str) -> &str {
    line.strip_prefix('#').filter(|setting| setting.starts_with(|c: char| c.is_ascii_uppercase())).unwrap_or(line)
}

#[tokio::test]
async fn an_unreachable_database_is_named() {
    // <template>
    let (url, shown) = if cfg!(feature = "postgres") {
        ("postgres://app:secret@127.0.0.1:1/app", "postgres://app:***@127.0.0.1:1/app")
    } else {
        ("sqlite:///nowhere/at/all/my_app.db", "sqlite:///nowhere/at/all/my_app.db")
    };
    // </template>
    // <!template>
    // <postgres>
    // let (url, shown) = ("postgres://app:secret@127.0.0.1:1/app", "postgres://app:***@127.0.0.1:1/app");
    // </postgres>
    // <sqlite>
    // let (url, shown) = ("sqlite:///nowhere/at/all/my_app.db", "sqlite:///nowhere/at/all/my_app.db");
    // </sqlite>
    // </!template>
    let error = database::open(url).await.expect_err("must be refused").to_string();
    assert!(error.starts_with(&format!("the database `{shown}` can't be opened: ")), "{error}");
    assert!(!error.contains("timed out"), "it says what is wrong: {error}");
}

#[tokio::test]
async fn the_url_of_another_database_is_refused_without_its_password() {
    // <template>
    let (others, built_for) = if cfg!(feature = "postgres") {
        (["sqlite://my_app.db", "mysql://app:secret@localhost/app", "my_app"], "built for PostgreSQL: use postgres://")
    } else {
        (
            ["postgres://app:secret@localhost/app", "mysql://app:secret@localhost/app", "my_app.db"],
            "built for SQLite: use sqlite://",
        )
    };
    // </template>
    // <!template>
    // <postgres>
    // let others = ["sqlite://my_app.db", "mysql://app:secret@localhost/app", "my_app"];
    // let built_for = "built for PostgreSQL: use postgres://";
    // </postgres>
    // <sqlite>
    // let others = ["postgres://app:secret@localhost/app", "mysql://app:secret@localhost/app", "my_app.db"];
    // let built_for = "built for SQLite: use sqlite://";
    // </sqlite>
    // </!template>
    for url in others {
        let error = database::open(url).await.expect_err("must be refused").to_string();
        assert!(error.contains(built_for) && !error.contains("secret"), "{error}");
    }
}
