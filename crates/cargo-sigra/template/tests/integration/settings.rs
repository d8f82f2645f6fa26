//! Errors that keep the application from starting.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use axum::{body::Body, http::Request};
use sigra::testing::{TestHost, assert_status};

use crate::{
    server::{Browser, Server},
    support::{Host, PROD, SECRET, TestDatabase, login_form, settings},
};
use my_app::{
    config::{AppEnv, Settings, Variables, database_url::DEFAULT_URL},
    database,
    web::user_auth::AFTER_LOGIN_PATH,
};

fn error(env: &[(&str, &str)]) -> String {
    settings(env).err().expect("must be refused").to_string()
}

#[test]
fn development_needs_nothing_to_be_set() {
    let settings = settings(&[("APP_ENV", "test")]).expect("valid settings");
    assert_eq!(settings.app_env, AppEnv::Test);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:4000");
    assert_eq!(settings.database_url, DEFAULT_URL);
    assert_eq!(settings.public_url.as_str(), "http://localhost:4000/");
}

#[test]
fn the_default_public_url_names_this_machine_localhost() {
    for (host, url) in [
        ("127.0.0.1", "http://localhost:4000/"),
        ("::1", "http://localhost:4000/"),
        ("0.0.0.0", "http://localhost:4000/"),
        ("127.0.0.2", "http://127.0.0.2:4000/"),
        ("192.0.2.1", "http://192.0.2.1:4000/"),
    ] {
        let settings = settings(&[("APP_ENV", "dev"), ("SECRET_KEY_BASE", SECRET), ("HOST", host)]).expect("settings");
        assert_eq!(settings.public_url.as_str(), url, "{host}");
    }
}

#[test]
fn production_needs_a_secret_and_a_public_url() {
    assert_eq!(
        error(&[("APP_ENV", "prod"), ("PUBLIC_URL", "https://example.com")]),
        "SECRET_KEY_BASE is not set, and APP_ENV=prod needs it: set it to 64 or more random characters, as from `openssl rand -base64 48`"
    );
    assert_eq!(
        error(&[("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET)]),
        "PUBLIC_URL is not set, and APP_ENV=prod needs it: set it to the URL that users type"
    );
    assert!(settings(&PROD).is_ok());
}

#[test]
fn app_env_accepts_the_common_names() {
    for (name, environment) in [
        ("development", AppEnv::Dev),
        ("DEV", AppEnv::Dev),
        ("Test", AppEnv::Test),
        ("production", AppEnv::Prod),
        ("Production", AppEnv::Prod),
    ] {
        let settings = settings(&[&[("APP_ENV", name)], &PROD[..]].concat()).expect("valid settings");
        assert_eq!(settings.app_env, environment, "{name}");
    }
    assert!(error(&[("APP_ENV", "production")]).starts_with("PUBLIC_URL is not set"));
}

#[test]
fn a_short_secret_is_refused_and_not_shown() {
    let message = error(&[("SECRET_KEY_BASE", "hunter2hunter2")]);
    assert_eq!(
        message,
        "SECRET_KEY_BASE is too short: the secret has 14 characters and needs at least 64: generate one with `openssl rand -base64 48`"
    );
    assert!(!error(&[("SECRET_KEY_BASE", SECRET), ("SECRET_KEY_BASE_FALLBACKS", "hunter2")]).contains("hunter2"));
}

#[test]
fn each_invalid_setting_is_named_in_one_sentence() {
    for (name, value, said) in [
        ("APP_ENV", "staging", "APP_ENV is `staging`: it must be dev, test or prod"),
        ("HOST", "localhost", "HOST is `localhost`: it must be an IP address such as 127.0.0.1"),
        ("REGISTRATION", "close", "REGISTRATION is `close`: it must be open or closed"),
        ("PORT", "70000", "PORT is `70000`: it must be a port number such as 4000"),
        (
            "SESSION_TTL",
            "-5",
            "SESSION_TTL is `-5`: it must be a whole number of seconds, from 1 to 315360000 (10 years)",
        ),
        (
            "SESSION_TTL",
            "0",
            "SESSION_TTL is `0`: it must be a whole number of seconds, from 1 to 315360000 (10 years)",
        ),
        (
            "SESSION_REISSUE_AGE",
            "7d",
            "SESSION_REISSUE_AGE is `7d`: it must be a whole number of seconds, from 1 to 315360000 (10 years)",
        ),
        ("SUDO_TTL", "1.5", "SUDO_TTL is `1.5`: it must be a whole number of seconds, from 1 to 315360000 (10 years)"),
        (
            "DELETION_GRACE",
            "315360001",
            "DELETION_GRACE is `315360001`: it must be a whole number of seconds, from 0 to",
        ),
        ("COOKIE_DOMAIN", "co.uk", "COOKIE_DOMAIN is `co.uk`, a public suffix that browsers refuse"),
        ("COOKIE_DOMAIN", "https://a.com", "COOKIE_DOMAIN is `https://a.com`, which is not a domain name"),
        ("PUBLIC_URL", "example.com", "PUBLIC_URL is `example.com`: it must be a URL such as"),
        ("PUBLIC_URL", "ftp://example.com", "PUBLIC_URL is `ftp://example.com`: it must be a URL such as"),
        ("PUBLIC_URL", "http://a.com/app", "PUBLIC_URL is `http://a.com/app`: it must be a URL such as"),
        ("PUBLIC_URL", "http://a.com/#", "PUBLIC_URL is `http://a.com/#`: it must be a URL such as"),
        ("PUBLIC_URL", "http://a.com?", "PUBLIC_URL is `http://a.com?`: it must be a URL such as"),
        ("MAIL_REPLY_TO", "nobody", "MAIL_REPLY_TO is `nobody`: it must be an email address such as help@example.com"),
        (
            "TRUSTED_PROXIES",
            "everyone",
            "TRUSTED_PROXIES is `everyone`: it must be IP addresses or networks such as 127.0.0.1",
        ),
    ] {
        let message = error(&[(name, value)]);
        assert!(message.starts_with(said), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn durations_have_a_maximum() {
    let times = ["SESSION_TTL", "SESSION_IDLE_TIMEOUT", "SESSION_REISSUE_AGE", "SUDO_TTL", "RESET_TTL", "CONFIRM_TTL"];
    for name in times.into_iter().chain(["DELETION_GRACE"]) {
        for value in ["315360001", "9223372036854775807", "18446744073709551615"] {
            let message = error(&[(name, value)]);
            assert!(message.starts_with(&format!("{name} is `{value}`: it must be a whole number")), "{message}");
        }
        assert!(settings(&[(name, "315360000")]).is_ok(), "{name}");
    }
}

/// Returns the error that these settings cause in production.
fn error_in_prod(env: &[(&str, &str)]) -> String {
    error(&[env, &PROD[..]].concat())
}

#[test]
fn a_secret_that_can_be_guessed_is_refused_in_production() {
    for secret in ["a".repeat(64), "0123456789".repeat(7), "change me! ".repeat(6)] {
        let message = error_in_prod(&[("SECRET_KEY_BASE", &secret)]);
        assert!(message.starts_with("SECRET_KEY_BASE has too few different characters"), "{message}");
        assert!(!message.contains(&secret) && settings(&[("SECRET_KEY_BASE", &secret)]).is_ok(), "{message}");
    }
    let message = error_in_prod(&[("SECRET_KEY_BASE", &" ".repeat(64))]);
    assert!(message.starts_with("SECRET_KEY_BASE is not set"), "{message}");
}

#[test]
fn cookies_for_another_domain_than_the_public_one_are_refused_in_production() {
    for (host, domain) in [("app.other.example", "example.com"), ("badexample.com", "example.com"), ("[::1]", "a.com")]
    {
        let url = format!("https://{host}");
        let env = [("PUBLIC_URL", &*url), ("COOKIE_DOMAIN", domain)];
        let said = format!("PUBLIC_URL is at `{host}`, which is not in COOKIE_DOMAIN, `{domain}`");
        assert!(error_in_prod(&env).starts_with(&said), "{}", error_in_prod(&env));
        let warnings = settings(&env).expect("development accepts it").warnings;
        assert!(warnings.iter().any(|warning| warning.starts_with(&said)), "{warnings:?}");
    }
    for domain in ["example.com", ".Example.com", "app.example.com"] {
        let good = settings(
            &[&[("PUBLIC_URL", "https://app.example.com"), ("COOKIE_DOMAIN", domain)][..], &PROD[..]].concat(),
        );
        assert!(good.is_ok(), "{domain}");
    }
}

#[test]
fn trusted_proxies_cannot_include_everyone() {
    for networks in ["0.0.0.0/0", "::/0", "10.0.0.0/8, 0.0.0.0/1"] {
        let message = error(&[("TRUSTED_PROXIES", networks)]);
        assert!(message.starts_with("TRUSTED_PROXIES has "), "{message}");
    }
}

#[test]
fn an_invalid_origin_is_refused() {
    for origin in ["admin.example.com", "https://admin.example.com/path", "*", "null"] {
        let message = error(&[("TRUSTED_ORIGINS", &format!("capacitor://localhost, {origin}"))]);
        assert!(message.contains(&format!("`{origin}`")) && message.contains("origin"), "{message}");
    }
}

#[tokio::test]
async fn forms_of_other_origins_are_accepted_only_if_they_are_trusted() {
    let env = [("TRUSTED_ORIGINS", "https://admin.example.com, capacitor://localhost")];
    let host = Host::with(&env).await;
    for (origin, status) in [
        ("https://admin.example.com", 303),
        ("capacitor://localhost", 303),
        ("https://evil.example.com", 403),
        ("ionic://localhost", 403),
        ("null", 403),
    ] {
        let request = Request::post("/users/reset-password")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", origin)
            .header("sec-fetch-site", "cross-site")
            .body(Body::from("user%5Bemail%5D=nobody%40example.com"));
        assert_status(&host.client().send(request.expect("a request")).await, status);
    }
}

#[test]
fn a_single_ip_address_is_a_network() {
    for networks in ["127.0.0.1", "127.0.0.1, ::1", "10.0.0.0/8,127.0.0.1,", "2001:db8::/32"] {
        assert!(settings(&[("TRUSTED_PROXIES", networks)]).is_ok(), "{networks}");
    }
}

#[test]
fn only_development_has_the_demo_user() {
    let demo = login_form("demo@example.com", "correct horse battery staple");
    for (env, leads_to) in [
        (&[("APP_ENV", "dev")][..], AFTER_LOGIN_PATH),
        (&[("APP_ENV", "test")], "/users/log-in"),
        (&[&PROD[..], &[("RATE_LIMITS", "on")]].concat(), "/users/log-in"),
    ] {
        let database = TestDatabase::create();
        let server = Server::start_with(&database.url, env);
        let response = Browser::new().post(&server, "/users/log-in", &demo).expect("a result");
        assert_eq!((response.status.as_u16(), &*response.location), (303, leads_to), "{env:?}");
    }
}

#[test]
fn the_password_for_the_mail_server_is_sent_by_tls_in_production() {
    for url in [
        "smtp://ada:hunter2@mail.example.com:587",
        "smtp://ada:hunter2@mail.example.com?tls=opportunistic",
        "SMTP://ada:hunter2@mail.example.com",
    ] {
        let message = error_in_prod(&[("SMTP_URL", url)]);
        assert!(message.starts_with("SMTP_URL has a password, which would be sent without TLS"), "{message}");
        assert!(!message.contains("hunter2") && settings(&[("SMTP_URL", url)]).is_ok(), "{message}");
    }
    let warnings = |url| {
        let env = [("SMTP_URL", url), ("DATABASE_URL", DEFAULT_URL)];
        settings(&[&env[..], &PROD[..]].concat()).expect("valid settings").warnings
    };
    for url in ["smtps://ada:hunter2@mail.example.com", "smtp://a:b@mail.example.com?tls=required", "smtp://127.0.0.1"]
    {
        assert_eq!(warnings(url), [""; 0], "{url}");
    }
    assert!(warnings("smtp://mail.example.com")[0].contains("can be read on the network"));
    assert!(warnings("memory:")[0].contains("nobody receives them"));
    let warnings = settings(&PROD).expect("valid settings").warnings;
    assert!(warnings[0].contains("users can't reset their passwords"), "{warnings:?}");
    assert!(warnings[1].starts_with("DATABASE_URL is not set"), "{warnings:?}");
}

// <sqlite>
#[test]
fn a_database_in_memory_is_refused_in_production() {
    for url in ["sqlite::memory:", "sqlite://my_app.db?mode=memory"] {
        let message = error_in_prod(&[("DATABASE_URL", url)]);
        assert!(message.starts_with("DATABASE_URL is in memory"), "{message}");
        assert!(settings(&[("DATABASE_URL", url)]).is_ok());
    }
}
// </sqlite>

// <passkeys>
#[test]
fn development_starts_at_addresses_without_passkeys_and_says_so() {
    for url in ["http://my-app.test:4000", "http://app.example.com", "https://intranet"] {
        let settings = settings(&[("PUBLIC_URL", url)]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.passkey_domain, None, "{url}");
        assert!(settings.warnings[0].starts_with("passkeys are off: "), "{:?}", settings.warnings);
        assert!(settings.warnings[0].contains(url), "{:?}", settings.warnings);
    }
    let at_an_ip = settings(&[("PUBLIC_URL", "http://192.0.2.1:4000"), ("HOST", "0.0.0.0")]).expect("valid settings");
    assert!(at_an_ip.warnings[0].contains("http://192.0.2.1:4000"), "{:?}", at_an_ip.warnings);
    for env in [&[("PUBLIC_URL", "http://localhost:4000")], &[("PUBLIC_URL", "http://127.0.0.1:4000")]] {
        let settings = settings(env).expect("valid settings");
        assert_eq!((settings.passkey_domain.as_deref(), settings.warnings.len()), (Some("localhost"), 0));
    }
    let asked_for = error(&[("PUBLIC_URL", "http://my-app.test"), ("PASSKEY_DOMAIN", "my-app.test")]);
    assert!(asked_for.starts_with("passkeys can't be made for the domain `my-app.test`"), "{asked_for}");
}
// </passkeys>

#[test]
fn a_password_in_the_public_url_is_refused_and_not_shown() {
    for url in
        ["https://ada:hunter2@example.com", "https://hunter2@example.com", "ada:hunter2@a.com", "http://a:hunter2@"]
    {
        let message = error(&[("PUBLIC_URL", url)]);
        assert!(message.starts_with("PUBLIC_URL has an @ in it") && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn whitespace_around_a_value_is_removed() {
    let settings = settings(&[("PORT", " 5000\n"), ("COOKIE_DOMAIN", " "), ("SUDO_TTL", "\t60 ")]).expect("settings");
    assert_eq!(settings.listen.port(), 5000);
}

/// Settings without `APP_ENV`.
fn without_environment(env: &[(&str, &str)]) -> Result<Settings, String> {
    let env = [("SECRET_KEY_BASE", SECRET)].into_iter().chain(env.iter().copied());
    Settings::new(&env.collect::<Variables>()).map_err(|error| error.to_string())
}

#[test]
fn without_app_env_others_cannot_reach_the_application() {
    for (name, value, shown) in [
        ("PUBLIC_URL", "https://app.example.com", "https://app.example.com"),
        ("PUBLIC_URL", "https://localhost", "https://localhost"),
        ("PUBLIC_URL", "http://app.example.com", "http://app.example.com"),
        ("PUBLIC_URL", "http://localhost.example.com", "http://localhost.example.com"),
        ("PUBLIC_URL", "http://192.0.2.1:4000", "http://192.0.2.1:4000"),
        ("PUBLIC_URL", "http://[2001:db8::1]", "http://[2001:db8::1]"),
    ] {
        let message = without_environment(&[(name, value)]).err().expect("must be refused");
        let said = format!("APP_ENV is not set, and {name} is `{shown}`: set APP_ENV=prod");
        assert!(message.starts_with(&said), "{message}");
        assert!(settings(&[("APP_ENV", "dev"), ("SECRET_KEY_BASE", SECRET), (name, value)]).is_ok(), "{value}");
    }
    for ip in ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"] {
        let message = without_environment(&[("HOST", ip), ("PUBLIC_URL", "http://localhost:4000")]);
        let message = message.err().expect("must be refused");
        assert!(message.starts_with("APP_ENV is not set, and HOST is `"), "{message}");
        assert!(without_environment(&[("HOST", ip)]).is_err(), "links would lead to it");
        assert!(settings(&[("APP_ENV", "dev"), ("SECRET_KEY_BASE", SECRET), ("HOST", ip)]).is_ok(), "{ip}");
    }
}

#[test]
fn development_on_this_machine_needs_no_app_env() {
    for env in [
        &[][..],
        &[("HOST", "::1")],
        &[("HOST", "127.0.0.2"), ("PORT", "80")],
        &[("PUBLIC_URL", "http://localhost:4000")],
        &[("PUBLIC_URL", "http://app.my-app.localhost")],
        &[("PUBLIC_URL", "http://[::1]:4000")],
    ] {
        let settings = without_environment(env).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.app_env, AppEnv::Dev);
    }
}

/// Returns the error of the application in a folder with this `.env`. It must not start.
fn error_with_file(env_file: &str, env: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join(".env"), env_file).expect("written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_my_app"));
    let output = program.current_dir(&folder).envs(env.iter().copied()).output().expect("the application");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn the_file_sets_what_the_environment_does_not() {
    let said = error_with_file("PORT=seven", &[]);
    assert!(said.starts_with("my_app can't start: PORT is `seven`"), "{said}");
    let said = error_with_file("PORT=seven", &[("PORT", "eight")]);
    assert!(said.starts_with("my_app can't start: PORT is `eight`"), "{said}");
}

#[test]
fn an_invalid_line_is_refused_and_not_shown() {
    let said = error_with_file("SECRET_KEY_BASE=hunter2 hunter2", &[]);
    assert!(said.starts_with("my_app can't start: line 1 of `.env` is not a setting"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_dollar_sign_is_literal() {
    let said = error_with_file("\u{feff}PORT=\"4$HOME${PATH}\"", &[]);
    assert!(said.starts_with("my_app can't start: PORT is `4$HOME${PATH}`"), "{said}");
}

#[test]
fn the_log_filter_is_a_setting_too() {
    let said = error_with_file("RUST_LOG=a=b=c", &[]);
    assert!(said.starts_with("my_app can't start: RUST_LOG is `a=b=c`: it must be a filter"), "{said}");
    let log_filter = |env: &[(&str, &str)]| settings(env).expect("valid settings").log_filter;
    assert_eq!(log_filter(&[]), "info,sqlx=warn");
    assert_eq!(log_filter(&[("RUST_LOG", "off")]), "off");
}

/// Returns the names of settings in lines such as `NAME=value` and `#NAME=value`.
fn names_in_example() -> BTreeSet<String> {
    let lines = include_str!("../../.env.example").lines().map(uncommented);
    let names = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    names
        .filter(is_name)
        // <oauth>
        .filter(|name| !is_of_one_provider(name))
        // </oauth>
        .map(str::to_owned)
        .collect()
}

// <oauth>
/// Returns whether a setting is of one provider, such as `OAUTH_GOOGLE_CLIENT_ID`: its name is composed when it is
/// read.
fn is_of_one_provider(name: &str) -> bool {
    name.starts_with("OAUTH_") && name != "OAUTH_PROVIDERS"
}
// </oauth>

/// Returns the names of all settings that are read: strings in capitals, such as `"PORT"`, in the code that reads them.
fn names_that_are_read() -> BTreeSet<String> {
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(code.join("config")).expect("a folder").map(|file| file.expect("a file").path());
    let is_name = |word: &&str| {
        word.len() > 3 && !word.ends_with('_') && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let mut names = BTreeSet::new();
    for file in files.chain([code.join("config.rs")]) {
        let text = fs::read_to_string(&file).expect("code");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let mut read: BTreeSet<_> = code.split('"').filter(is_name).map(str::to_owned).collect();
        // <oauth>
        if file.ends_with("providers.rs") {
            read.retain(|name| name == "OAUTH_PROVIDERS");
        }
        // </oauth>
        names.append(&mut read);
    }
    names
}

#[test]
fn the_example_has_every_setting_that_is_read_and_no_other() {
    assert_eq!(names_in_example(), names_that_are_read());
}

// <template>
#[test]
fn the_guides_tables_have_every_setting_that_is_read_and_no_other() {
    let guides = [
        include_str!("../../../../../docs/configuration.md"),
        include_str!("../../../../../docs/accounts.md"),
        include_str!("../../../../../docs/audit-trail.md"),
        include_str!("../../../../../docs/device-bound-sessions.md"),
        include_str!("../../../../../docs/email.md"),
        include_str!("../../../../../docs/passkeys.md"),
        include_str!("../../../../../docs/rate-limits.md"),
    ];
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let rows = guides.iter().flat_map(|guide| guide.lines()).filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once(" |")).map(|(cell, _)| cell);
    let names = cells.flat_map(|cell| cell.split(['`', ',', ' '])).filter(|name| !name.is_empty());
    let names = names.filter(is_name).filter(|name| !is_of_one_provider(name));
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), names_that_are_read());
}

#[test]
fn the_guide_has_every_setting_of_a_provider() {
    let code = include_str!("../../src/config/providers.rs").split("#[cfg(test)]").next().unwrap_or_default();
    let read = [".required(\"", ".text(\"", ".switch(\""].into_iter().flat_map(|call| code.split(call).skip(1));
    let names: BTreeSet<_> = read.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.contains("CLIENT_ID") && names.contains("KEY_ID"), "{names:?}");
    for name in names {
        assert!(include_str!("../../../../../docs/configuration.md").contains(&format!("_{name}`")), "{name}");
    }
}
// </template>

#[test]
fn the_example_file_is_valid() {
    let example = include_str!("../../.env.example");
    let all: String = example.lines().map(|line| format!("{}\n", uncommented(line))).collect();
    let said = error_with_file(&all, &[("PORT", "seven")]);
    assert!(said.starts_with("my_app can't start: PORT is `seven`"), "{said}");
}

/// Returns a line without its leading `#`, such as `NAME=value` for `#NAME=value`.
fn uncommented(line: &str) -> &str {
    line.strip_prefix('#').filter(|setting| setting.starts_with(|c: char| c.is_ascii_uppercase())).unwrap_or(line)
}

#[tokio::test]
async fn an_unreachable_database_is_named() {
    // <template>
    let (url, shown) = if cfg!(feature = "postgres") {
        ("postgres://app:secret@%2Fnowhere/app", "postgres://app:***@%2Fnowhere/app")
    } else {
        ("sqlite:///nowhere/at/all/my_app.db", "sqlite:///nowhere/at/all/my_app.db")
    };
    // </template>
    // <!template>
    // <postgres>
    // let (url, shown) = ("postgres://app:secret@%2Fnowhere/app", "postgres://app:***@%2Fnowhere/app");
    // </postgres>
    // <sqlite>
    // let (url, shown) = ("sqlite:///nowhere/at/all/my_app.db", "sqlite:///nowhere/at/all/my_app.db");
    // </sqlite>
    // </!template>
    let error = database::open(url).await.expect_err("must be refused").to_string();
    assert!(error.starts_with(&format!("the database `{shown}` can't be opened: ")), "{error}");
    assert!(!error.contains("timed out"), "the error has no cause: {error}");
}

// <postgres>
// <template>
#[cfg(feature = "postgres")]
// </template>
#[tokio::test]
async fn the_error_about_a_missing_database_says_how_to_create_it() {
    let there = TestDatabase::create();
    let (server, _) = there.url.rsplit_once('/').expect("a URL");
    let error = database::open(&format!("{server}/nope")).await.expect_err("must be refused").to_string();
    assert!(error.ends_with(" doesn't exist: create it, such as with `createdb nope`"), "{error}");

    let pool = sqlx::PgPool::connect(&there.url).await.expect("a pool");
    let error = sqlx::query("SELECT nonsense").execute(&pool).await.expect_err("must fail");
    let error = database::DatabaseError::Unreachable { database: "`x`".to_owned(), error }.to_string();
    assert_eq!(error, "the database `x` can't be opened: column \"nonsense\" does not exist");
}
// </postgres>

// <sqlite>
// <template>
#[cfg(not(feature = "postgres"))]
// </template>
#[tokio::test]
async fn a_database_file_can_be_given_as_a_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("app.sqlite3");
    let path = file.display().to_string();
    database::open(&path).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(file.exists());
    assert!(error_in_prod(&[("DATABASE_URL", ":memory:")]).starts_with("DATABASE_URL is in memory"));
    let file_in_prod = settings(&[&[("DATABASE_URL", &*path)][..], &PROD[..]].concat());
    assert_eq!(file_in_prod.expect("valid settings").database_url, path);
}

// <template>
#[cfg(not(feature = "postgres"))]
// </template>
#[cfg(unix)]
#[tokio::test]
async fn other_users_of_the_machine_cant_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("app.db").display().to_string();
    let pool = database::open(&path).await.unwrap_or_else(|error| panic!("{error}"));
    sqlx::query("DELETE FROM users").execute(&pool).await.expect("a database");
    let files = std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file"));
    let modes: Vec<_> = files.map(|file| file.metadata().expect("a file").permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600; 3], "the database, its write-ahead log and the log's index");
}
// </sqlite>

#[tokio::test]
async fn the_url_of_another_database_is_refused_without_its_password() {
    // <template>
    let (others, built_for) = if cfg!(feature = "postgres") {
        (["sqlite://my_app.db", "mysql://app:secret@localhost/app", "my_app"], "built for PostgreSQL: use postgres://")
    } else {
        (
            ["postgres://app:secret@localhost/app", "mysql://app:secret@localhost/app", "file:my_app.db"],
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
    // let others = ["postgres://app:secret@localhost/app", "mysql://app:secret@localhost/app", "file:my_app.db"];
    // let built_for = "built for SQLite: use sqlite://";
    // </sqlite>
    // </!template>
    for url in others {
        let error = database::open(url).await.expect_err("must be refused").to_string();
        assert!(error.contains(built_for) && !error.contains("secret"), "{error}");
    }
}
