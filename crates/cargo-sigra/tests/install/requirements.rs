//! Requirements of hosts, and the messages if they aren't met.

use std::fs;

use crate::{
    generated::said,
    host::{Host, UNRESOLVED},
};

/// Returns a host with other package settings and tables.
fn with(package: &str, tables: &str) -> Host {
    let host = Host::new("hello", "");
    let manifest = format!("[package]\nname = \"hello\"\nversion = \"0.1.0\"\n{package}\n{tables}\n");
    fs::write(host.root().join("Cargo.toml"), manifest).expect("written");
    host.commit();
    host
}

fn with_dependencies(dependencies: &str) -> Host {
    with("edition = \"2024\"", &format!("[dependencies]\n{dependencies}"))
}

fn refused(host: &Host, words: &[&str]) {
    let output = host.install(&[]);
    assert!(!output.status.success(), "{}", said(&output));
    for words in words {
        assert!(said(&output).contains(words), "no {words:?} in\n{}", said(&output));
    }
    assert_eq!(host.changes(), "");
}

#[test]
fn all_unmet_requirements_are_reported_at_once() {
    let host = with(
        "edition = \"2021\"\nrust-version = \"1.80\"",
        "[dependencies]\naxum = \"0.7\"\nsqlx = { version = \"0.8\", features = [\"postgres\"] }\naskama = \"0.12\"\n\
         tower = { version = \"0.3\", optional = true }\ntokio = { version = \"1\", optional = true }\n\
         time = { package = \"chrono\", version = \"0.4\" }\n",
    );
    refused(
        &host,
        &[
            "can't install accounts into `hello` yet:\n  - ",
            "edition 2021, not 2024: run `cargo fix --edition`",
            "`rust-version = \"1.94\"`",
            "requires axum ^0.7, but the generated code needs axum 0.8: change it in Cargo.toml. For the changes, see \
             https://github.com/tokio-rs/axum/",
            "needs sqlx 0.9: change it in Cargo.toml. For the changes, see https://github.com/launchbadge/sqlx/",
            "needs askama 0.16",
            "needs tower 0.5",
            "tokio is optional",
            "it calls the package `chrono` `time`",
        ],
    );
}

#[test]
fn dependencies_of_tests_and_build_scripts_are_added_for_the_package_itself() {
    let tables = "[dependencies]\naxum = \"0.8\"\n[dev-dependencies]\ntower = \"0.5\"\nserde_json = \"1\"\nsqlx = \"0.9\"\n\
                  [build-dependencies]\ntime = \"0.2\"\n[target.'cfg(unix)'.dependencies]\nuuid = \"1\"\n";
    let host = with("edition = \"2024\"", tables).installed(&[UNRESOLVED]);
    let manifest = host.read("Cargo.toml");
    let (own, others) = manifest.split_once("[dev-dependencies]").expect("the other tables");
    for name in ["tower = ", "serde_json = ", "time = ", "uuid = ", "sqlx = "] {
        assert!(own.lines().any(|line| line.starts_with(name)), "{manifest}");
    }
    assert!(others.contains("\n[build-dependencies]\ntime = \"0.2\"\n"), "{manifest}");

    let only_for_tests = with("edition = \"2024\"", "[dev-dependencies]\naxum = \"0.8\"\n");
    refused(&only_for_tests, &["doesn't depend on axum: run `cargo add axum`"]);
}

#[test]
fn a_version_is_refused_only_if_the_requirement_allows_no_suitable_one() {
    let host = with_dependencies(
        "axum = \"=0.8.9\"\nsqlx = { version = \">=0.9, <0.9.20\", features = [\"sqlite\"] }\ntower = \"0.4.13\"\nthiserror = \"1\"\n",
    )
    .installed(&[UNRESOLVED]);
    assert!(
        host.read("Cargo.toml").contains("axum = { version = \"=0.8.9\", features = ["),
        "{}",
        host.read("Cargo.toml")
    );
    assert!(host.read("Cargo.toml").contains("tower = { version = \"0.4.13\", features = [\"util\"] }"));
    refused(&with_dependencies("axum = \">=0.7, <0.8\"\n"), &["requires axum >=0.7, <0.8"]);

    let locked = with_dependencies("axum = \">=0.7, <0.9\"\n");
    let lock = "version = 4\n[[package]]\nname = \"axum\"\nversion = \"0.7.9\"\n\
                [[package]]\nname = \"hello\"\nversion = \"0.1.0\"\ndependencies = [\"axum\"]\n";
    fs::write(locked.root().join("Cargo.lock"), lock).expect("written");
    refused(&locked, &["Cargo.lock has axum 0.7.9, but the generated code needs axum 0.8: run `cargo update axum`"]);
}

#[test]
fn a_renamed_dependency_is_added_again_under_its_own_name() {
    let host = with_dependencies("web = { package = \"axum\", version = \"0.8\" }\n").installed(&[UNRESOLVED]);
    let manifest = host.read("Cargo.toml");
    assert!(manifest.contains("web = { package = \"axum\", version = \"0.8\" }\n"), "{manifest}");
    assert!(manifest.contains("\naxum = { version = \"0.8\", "), "{manifest}");
    refused(&with_dependencies("web = { package = \"axum\", version = \"0.7\" }\n"), &["requires axum ^0.7"]);
    let beside = "axum = \"0.8\"\nsqlx = { version = \"0.9\", features = [\"sqlite\"] }\n\
                  sqlx_0_8 = { package = \"sqlx\", version = \"0.8\", features = [\"sqlite\"] }\n";
    with_dependencies(beside).installed(&[UNRESOLVED]);
    let forked = with_dependencies("axum = { git = \"https://github.com/tokio-rs/axum\" }\n");
    refused(&forked, &["its axum isn't from the registry", "`[patch.crates-io]`"]);
}

/// Returns a workspace with shared dependencies and one package.
fn in_workspace(shared: &str, dependencies: &str) -> Host {
    let host = Host::new("member", "web");
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [\"web\"]\n\n[workspace.dependencies]\n{shared}");
    let package =
        format!("[package]\nname = \"web\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}");
    fs::write(host.root().join("Cargo.toml"), package).expect("written");
    fs::write(host.root().parent().expect("the workspace").join("Cargo.toml"), workspace).expect("written");
    host.commit();
    host
}

#[test]
fn dependencies_of_the_workspace_are_inherited() {
    let shared = "axum = { version = \"0.8\", default-features = false, features = [\"http1\", \"tokio\", \"json\"] }\n\
                  tokio = { version = \"1\", features = [\"full\"] }\nurl = \"2\"\nserde = \"1\"\naskama = \"0.12\"\n\
                  time = { version = \"0.3\", default-features = false }\ntower-http = \"0.6\"\n";
    let host = in_workspace(shared, "axum = { workspace = true } # the web\ntokio.workspace = true\n")
        .installed(&[UNRESOLVED]);
    let manifest = host.read("Cargo.toml");
    for line in [
        "axum = { workspace = true, features = [\"form\", \"macros\", \"matched-path\", \"query\", \"tracing\", \"ws\"] } # the web",
        "tokio.workspace = true",
        "url.workspace = true",
        "serde = { workspace = true, features = [\"derive\"] }",
        "time = { workspace = true, features = [\"default\", \"formatting\", \"macros\"] }",
        "askama = \"0.16\"",
        "tower-http = { workspace = true, features = [\"catch-panic\", \"limit\", \"set-header\", \"timeout\", \"trace\"] }",
    ] {
        assert!(manifest.lines().any(|found| found == line), "no {line} in\n{manifest}");
    }
    let old = in_workspace("axum = \"0.7\"\n", "axum.workspace = true\n");
    refused(&old, &["requires axum ^0.7, but the generated code needs axum 0.8: change `[workspace.dependencies]`"]);
}

#[test]
fn features_are_added_in_the_style_of_the_list() {
    let host =
        with_dependencies("axum = \"0.8\"\nuuid = { version = \"1\", features = [\n    \"serde\",\n    \"v4\",\n] }\n");
    let manifest = host.installed(&[UNRESOLVED]).read("Cargo.toml");
    assert!(manifest.contains("features = [\n    \"serde\",\n    \"v4\",\n    \"v7\",\n] }"), "{manifest}");
}

#[test]
fn accounts_use_the_hosts_database() {
    let is_on = |host: Host, database: &str| {
        let output = said(&host.install(&["--dry-run", "--migrations", "sql", UNRESOLVED]));
        let sigra = "+sigra = {";
        let line = output.lines().find(|line| line.starts_with(sigra)).unwrap_or_else(|| panic!("{output}"));
        assert!(line.contains(&format!("\"{database}\"")), "{line}");
    };
    is_on(with_dependencies("axum = \"0.8\"\n"), "sqlite");
    is_on(with_dependencies("axum = \"0.8\"\ndiesel = { version = \"2\", features = [\"postgres\"] }\n"), "postgres");
    is_on(
        with_dependencies("axum = \"0.8\"\nsea-orm = { version = \"1\", features = [\"sqlx-postgres\"] }\n"),
        "postgres",
    );
    is_on(with_dependencies("axum = \"0.8\"\ntokio-postgres = \"0.7\"\n"), "postgres");
    is_on(with_dependencies("axum = \"0.8\"\nrusqlite = \"0.37\"\n"), "sqlite");
    let by_example = with_dependencies("axum = \"0.8\"\n");
    fs::write(by_example.root().join(".env.example"), "DATABASE_URL=postgres://localhost/blog\n").expect("written");
    is_on(by_example, "postgres");

    let both = "axum = \"0.8\"\nsqlx = { version = \"0.9\", features = [\"postgres\", \"sqlite\"] }\n";
    refused(&with_dependencies(both), &["uses SQLite and PostgreSQL", "`--db sqlite` or `--db postgres`"]);
    assert!(with_dependencies(both).install(&["--db", "postgres", UNRESOLVED]).status.success());
    let mysql = "axum = \"0.8\"\nsqlx = { version = \"0.9\", features = [\"mysql\"] }\n";
    refused(&with_dependencies(mysql), &["uses MySQL, which accounts don't support"]);
}
