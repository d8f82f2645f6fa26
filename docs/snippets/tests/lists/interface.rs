//! Names that hosts and their monitoring depend on: events, errors, codes, cookies and settings.

use std::collections::BTreeSet;

use super::{
    sources::{block, constants, files, read},
    tables::{code, table},
};

#[track_caller]
fn assert_same(what: &str, documented: BTreeSet<String>, actual: BTreeSet<String>) {
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    let undocumented = only(&actual, &documented);
    let nonexistent = only(&documented, &actual);
    assert!(
        undocumented.is_empty() && nonexistent.is_empty(),
        "{what}: not documented {undocumented:?}, documented but nonexistent {nonexistent:?}"
    );
}

/// Returns the names in backticks in the first column.
fn names(rows: &[Vec<String>]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| code(&row[0])).collect()
}

#[test]
fn the_guide_lists_every_event_with_its_level_and_fields() {
    let source = read("crates/sigra/src/base/telemetry.rs");
    let constants = constants(&source);
    let name = |constant: &str| {
        let found = constants.iter().find(|(name, _)| name == constant);
        found.unwrap_or_else(|| panic!("telemetry.rs has no {constant}")).1.clone()
    };
    let in_source: BTreeSet<Vec<String>> = table(&source, &["event", "level", "fields"])
        .iter()
        .map(|row| vec![name(row[0].trim_matches(['[', ']', '`'])), row[1].clone(), row[2].clone()])
        .collect();
    assert_eq!(in_source.len(), constants.len(), "each constant has a row");
    let in_guide: BTreeSet<Vec<String>> = table(&read("docs/telemetry.md"), &["`event`", "level", "fields"])
        .iter()
        .map(|row| vec![row[0].trim_matches('`').to_owned(), row[1].clone(), row[2].clone()])
        .collect();
    let joined = |rows: BTreeSet<Vec<String>>| rows.into_iter().map(|row| row.join(" | ")).collect();
    assert_same("events", joined(in_guide), joined(in_source));
}

#[test]
fn the_guide_lists_every_name_of_the_audit_trail() {
    let documented = names(&table(&read("docs/audit-trail.md"), &["action", "when"]));
    let audit = read("crates/sigra/src/model/audit.rs");
    let own = [audit.clone(), files("crates/cargo-sigra/template/src/accounts", ".rs").concat()].concat();
    let own = constants(&own).into_iter().filter(|(_, value)| value.starts_with("auth."));
    let mut actual: BTreeSet<String> = own.map(|(_, value)| value).collect();
    // Some of these events are logged as well.
    let shared: Vec<&str> = block(&audit, "pub use crate::base::telemetry::{").split([' ', ',', '\n']).collect();
    let shared = constants(&read("crates/sigra/src/base/telemetry.rs"))
        .into_iter()
        .filter(|(name, _)| shared.contains(&name.as_str()));
    actual.extend(shared.map(|(_, value)| value));
    assert_same("audit events", documented, actual);
}

#[test]
fn the_guide_and_the_documentation_list_every_error() {
    let source = read("crates/sigra/src/base/error.rs");
    let variant = |line: &str| {
        let name: String = line.trim().chars().take_while(char::is_ascii_alphanumeric).collect();
        let is_variant = line.starts_with("    ") && !line.starts_with("     ");
        (is_variant && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
    };
    let actual: BTreeSet<String> = block(&source, "pub enum Error {").lines().filter_map(variant).collect();
    assert_same(
        "errors in the guide",
        names(&table(&read("docs/errors.md"), &["`sigra::Error`", "when"])),
        actual.clone(),
    );
    assert_same("errors in the documentation", names(&table(&source, &["error", "status"])), actual);
}

#[test]
fn the_guides_list_every_code_of_an_error_response() {
    let problem = read("crates/sigra/src/base/problem.rs");
    let library = constants(block(&problem, "pub(crate) mod code {")).into_iter().map(|(_, value)| value);
    let library: BTreeSet<String> = library.collect();
    let column = |page: &str| -> BTreeSet<String> {
        table(&read(page), &["status", "`code`"]).iter().flat_map(|row| code(&row[1])).collect()
    };
    assert_same("codes of the library", column("docs/errors.md"), library.clone());

    let sources = [files("crates/sigra/src", ".rs"), files("crates/cargo-sigra/template/src", ".rs")].concat().concat();
    let mut all = library;
    for before in [".code(\"", "code: \""] {
        let literals = sources.split(before).skip(1).filter_map(|rest| rest.split('"').next());
        all.extend(literals.map(str::to_owned));
    }
    assert_same("codes of the JSON application", column("docs/json-api.md"), all);
}

#[test]
fn the_guide_lists_every_cookie() {
    let documented: BTreeSet<String> = names(&table(&read("docs/cookies.md"), &["cookie", "when it is there"]));
    let source = read("crates/sigra/src/browser/cookie_options.rs");
    let cookies = source.split(": named(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut actual: BTreeSet<String> = cookies.map(|name| format!("_my_app_{name}")).collect();
    assert!(!actual.is_empty());
    // Their names begin with that of the cookie session.
    actual.extend(["_my_app_key.flash-...", "_my_app_key.return_to"].map(str::to_owned));
    let template = files("crates/cargo-sigra/template/src/web", ".rs").concat();
    let plain = template.split("UnsignedCookie { name: \"").skip(1).filter_map(|rest| rest.split('"').next());
    let plain: BTreeSet<String> = plain.map(str::to_owned).collect();
    assert_eq!(plain.len(), 2, "{plain:?}");
    actual.extend(plain);
    assert_same("cookies", documented, actual);
}

#[test]
fn the_guide_lists_every_function_of_config() {
    let source = read("crates/sigra/src/config.rs");
    let blocks = source.match_indices("impl Config {").map(|(at, first_line)| block(&source[at..], first_line));
    let settings = blocks.flat_map(|block| block.split("pub fn ").skip(1));
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut actual: BTreeSet<String> = settings.map(name).collect();
    for no_setting in ["new", "check"] {
        assert!(actual.remove(no_setting), "{no_setting}");
    }
    assert_same("settings", names(&table(&read("docs/configuration.md"), &["function", "what"])), actual);
}

#[test]
fn the_guide_and_the_example_list_every_environment_variable() {
    /// What follows `OAUTH_<NAME>_`.
    const OF_PROVIDERS: [&str; 8] =
        ["CLIENT_ID", "CLIENT_SECRET", "ISSUER", "KEY_ID", "LABEL", "TEAM_ID", "TENANT", "TRUST_EMAILS"];
    let is_name = |text: &str| {
        text.len() > 3 && !text.ends_with('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let mut sources = files("crates/cargo-sigra/template/src/config", ".rs");
    sources.push(read("crates/cargo-sigra/template/src/config.rs"));
    let code = sources.iter().filter_map(|source| source.split("#[cfg(test)]").next());
    let mut actual: BTreeSet<String> =
        code.flat_map(|code| code.split('"')).filter(|text| is_name(text)).map(str::to_owned).collect();
    for of_provider in OF_PROVIDERS {
        assert!(actual.remove(of_provider), "{of_provider}");
    }
    assert!(actual.len() > 30, "{actual:?}");

    let is_fixed = |name: &String| name == "OAUTH_PROVIDERS" || !name.starts_with("OAUTH_");
    let page = read("docs/configuration.md");
    let documented = [table(&page, &["variable", "what"]), table(&page, &["variables", "guide"])].concat();
    assert_same("variables", names(&documented).into_iter().filter(is_fixed).collect(), actual.clone());

    let example = read("crates/cargo-sigra/template/.env.example");
    let lines = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let given: BTreeSet<String> = lines.map(|(name, _)| name).filter(|name| is_name(name)).map(str::to_owned).collect();
    for of_provider in OF_PROVIDERS {
        let is_of_provider = |name: &String| name.starts_with("OAUTH_") && name.ends_with(&format!("_{of_provider}"));
        assert!(given.iter().any(is_of_provider), ".env.example has no {of_provider}");
    }
    assert_same("variables in .env.example", given.into_iter().filter(is_fixed).collect(), actual);
}

#[test]
fn the_guide_lists_every_endpoint_for_a_frontend() {
    let router = read("crates/cargo-sigra/template/src/web/api/router.rs");
    let routes = router.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1));
    // Others are for programs, for browsers by themselves, and for development.
    let is_for_frontends = |path: &&str| {
        let is_for_programs = path.starts_with("/oauth/") && *path != "/oauth/authorize";
        let others = ["/dev/", "/healthz", "/live", "/users/session/", "/.well-known/"];
        !is_for_programs && !others.iter().any(|other| path.starts_with(other))
    };
    let guide = read("docs/json-api.md");
    let missing: Vec<&str> = routes.filter(is_for_frontends).filter(|path| !guide.contains(*path)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// A test of the generated application fails for a form without the layers of its group.
#[test]
fn the_guide_to_a_page_adds_one_route_to_the_generated_group() {
    let guide = read("docs/add-a-page.md");
    let shown = guide.split("let own = ").nth(1).and_then(|rest| rest.split("```").next()).expect("a group");
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
    let shown: String = shown.split_inclusive('\n').filter(|line| !line.contains("notes")).collect();
    let router = read("crates/cargo-sigra/template/src/web/router.rs");
    assert!(lines(&router).contains(&lines(&shown)), "{shown}");
    for group in ["own", "everybody", "programs", "limited"] {
        assert!(router.contains(&format!("    let {group} = Router::new()")), "the guides name {group}");
    }
}

#[test]
fn the_guide_lists_every_requirement_of_a_route() {
    let source = read("crates/cargo-sigra/src/commands/routes/requirement.rs");
    let variants = block(&source, "pub enum Requirement {").lines().filter_map(|line| line.trim().strip_suffix(','));
    // `UserOrToken` is `user_or_token` in JSON.
    let snake_case = |name: &str| {
        let word = |c: char| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() };
        name.chars().map(word).collect::<String>().trim_start_matches('_').to_owned()
    };
    let guide = read("docs/installation.md");
    let sentence = guide.split("The `requirement` of a route is").nth(1).and_then(|rest| rest.split('.').next());
    assert_same(
        "requirements",
        code(sentence.expect("a sentence")).into_iter().collect(),
        variants.map(snake_case).collect(),
    );
}
