//! Decides which files of the template an application gets, and where. Files that belong to a feature as a whole are
//! listed here instead of being marked.

use crate::plan::choices::{Choices, Database};

/// Prefixes of paths, and the feature that these files belong to.
const OF_FEATURES: &[(&str, &str)] = &[
    ("src/accounts/login_link.rs", "magic_link"),
    ("src/web/api/login_link.rs", "magic_link"),
    ("src/web/pages/login_link.rs", "magic_link"),
    ("tests/integration/user_login_link.rs", "magic_link"),
    ("src/accounts/identities.rs", "oauth"),
    ("src/config/providers.rs", "oauth"),
    ("src/web/api/oauth.rs", "oauth"),
    ("src/web/pages/login_methods.rs", "oauth"),
    ("src/web/pages/oauth.rs", "oauth"),
    ("templates/link_identity.html", "oauth"),
    ("templates/login_methods.html", "oauth"),
    ("templates/partials/providers.html", "oauth"),
    ("templates/provider_", "oauth"),
    ("tests/integration/oauth.rs", "oauth"),
    ("src/accounts/api_tokens.rs", "api_tokens"),
    ("src/accounts/permissions.rs", "api_tokens"),
    ("src/web/api/api_tokens.rs", "api_tokens"),
    ("src/web/pages/api_tokens.rs", "api_tokens"),
    ("src/web/programs.rs", "api_tokens"),
    ("src/web/programs.rs", "app"),
    ("templates/api_tokens.html", "api_tokens"),
    ("templates/icons/terminal.svg", "api_tokens"),
    ("tests/integration/api_tokens.rs", "api_tokens"),
    ("src/accounts/programs.rs", "oauth_server"),
    ("src/config/oauth_server.rs", "oauth_server"),
    ("src/web/api/authorize.rs", "oauth_server"),
    ("src/web/api/device.rs", "oauth_server"),
    ("src/web/oauth_server.rs", "oauth_server"),
    ("src/web/pages/authorize.rs", "oauth_server"),
    ("src/web/pages/device.rs", "oauth_server"),
    ("templates/authorize", "oauth_server"),
    ("templates/device.html", "oauth_server"),
    ("tests/integration/oauth_server.rs", "oauth_server"),
    ("src/accounts/stolen_sessions.rs", "device_bound"),
    ("src/config/device_bound.rs", "device_bound"),
    ("src/web/device_bound.rs", "device_bound"),
    ("tests/integration/device_bound.rs", "device_bound"),
    ("src/web/live.rs", "live"),
    ("static/live.js", "live"),
    ("tests/integration/live.rs", "live"),
    ("src/accounts/mfa.rs", "mfa"),
    ("src/web/api/mfa", "mfa"),
    ("src/web/pages/mfa", "mfa"),
    ("src/web/pages/second_factor.rs", "mfa"),
    ("templates/backup_codes.html", "mfa"),
    ("templates/mfa_", "mfa"),
    ("templates/partials/second_factor.html", "mfa"),
    ("templates/totp.html", "mfa"),
    ("tests/integration/second_factor.rs", "mfa"),
    ("src/config/passkeys.rs", "passkeys"),
    ("src/web/api/passkeys.rs", "passkeys"),
    ("src/web/pages/passkeys.rs", "passkeys"),
    ("src/web/passkey_options.rs", "passkeys"),
    ("static/passkeys.js", "passkeys"),
    ("locales/", "languages"),
    ("src/accounts/language.rs", "languages"),
    ("src/languages", "languages"),
    ("src/web/api/language.rs", "languages"),
    ("src/web/languages.rs", "languages"),
    ("src/web/pages/language.rs", "languages"),
    ("templates/icons/languages.svg", "languages"),
    ("templates/language.html", "languages"),
    ("templates/partials/languages.html", "languages"),
    ("tests/integration/languages.rs", "languages"),
    ("tests/integration/translations.rs", "languages"),
    ("src/database/sqlite.rs", "sqlite"),
    ("migrations/sqlite/", "sqlite"),
    ("src/database/postgres.rs", "postgres"),
    ("migrations/postgres/", "postgres"),
    (".cargo/", "app"),
    (".cargo/", "sqlite"),
    ("src/main.rs", "app"),
    ("src/server.rs", "app"),
    ("src/config/security_txt.rs", "app"),
    ("src/web/health.rs", "app"),
    ("src/web/well_known.rs", "app"),
    ("static/robots.txt", "app"),
    ("src/web/pages/home.rs", "app"),
    ("templates/home.html", "app"),
    ("templates/dashboard.html", "app"),
    // The tests start the whole application.
    ("tests/", "app"),
    (".dockerignore", "app"),
    (".github/", "app"),
    (".gitignore", "app"),
    ("Dockerfile", "app"),
    ("bacon.toml", "app"),
    ("compose.yaml", "app"),
    (".env.example", "app"),
    ("README.md", "app"),
    ("rustfmt.toml", "app"),
    ("src/web/api", "api"),
    ("tests/integration/api.rs", "api"),
    ("src/mount.rs", "install"),
];

/// Prefixes of paths of pages, and of their tests.
const OF_PAGES: [&str; 4] = ["src/web/", "static/", "templates/", "tests/"];

/// Prefixes of paths that an application without pages has too.
const OF_ALL: [&str; 27] = [
    "src/web/api",
    "src/web/development.rs",
    "src/web/device_bound.rs",
    "src/web/error.rs",
    "src/web/error_pages.rs",
    "src/web/forms.rs",
    "src/web/health.rs",
    "src/web/languages.rs",
    "src/web/live.rs",
    "src/web/mailbox.rs",
    "src/web/oauth_server.rs",
    "src/web/passkey_options.rs",
    "src/web/programs.rs",
    "src/web/account_error.rs",
    "src/web/request_body.rs",
    "src/web/request_span.rs",
    "src/web/security_headers.rs",
    "src/web/state.rs",
    "src/web/user_auth.rs",
    "src/web/well_known.rs",
    "templates/mail/",
    "tests/integration/accounts.rs",
    "tests/integration/api.rs",
    "tests/integration/device_bound.rs",
    "tests/integration/main.rs",
    "tests/integration/support/",
    "tests/integration/translations.rs",
];

/// Returns whether the application gets a file.
pub fn is_kept(path: &str, choices: &Choices) -> bool {
    let is_in = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let is_of_pages = is_in(&OF_PAGES) && !is_in(&OF_ALL);
    let mut regions = OF_FEATURES.iter().filter(|(prefix, _)| path.starts_with(prefix));
    regions.all(|(_, region)| choices.keeps(region) == Some(true)) && !(is_of_pages && choices.api_only)
}

/// Returns the path of a file in the application. With one database, migrations need no subfolder.
pub fn moved(path: &str, choices: &Choices) -> String {
    path.replace(migrations(choices.db), "migrations")
}

/// Returns the template's folder of migrations for a database.
pub fn migrations(db: Database) -> &'static str {
    match db {
        Database::Sqlite => "migrations/sqlite",
        Database::Postgres => "migrations/postgres",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::read;

    #[test]
    fn every_prefix_matches_a_file() {
        let is_there = |prefix: &str| read::embedded().iter().any(|file| file.path.starts_with(prefix));
        for (prefix, region) in OF_FEATURES {
            assert!(Choices::ALL.keeps(region).is_some(), "{prefix}");
            assert!(is_there(prefix), "{prefix}");
        }
        for prefix in OF_PAGES.iter().chain(&OF_ALL) {
            assert!(is_there(prefix), "{prefix}");
        }
    }

    #[test]
    fn files_are_left_out_with_their_feature() {
        let without = Choices { live: false, magic_link: false, ..Choices::ALL };
        let paths: Vec<_> = read::embedded().into_iter().map(|file| file.path).collect();
        let kept = |choices: &Choices| paths.iter().filter(|path| is_kept(path, choices)).count();
        assert_eq!(kept(&Choices::ALL) - kept(&without), 6);
        let by_json = Choices { api_only: true, ..Choices::ALL };
        for (path, pages, api) in [
            ("src/accounts/user.rs", true, true),
            ("src/web/user_auth.rs", true, true),
            ("templates/mail/email.txt", true, true),
            ("src/web/router.rs", true, false),
            ("templates/layout.html", true, false),
            ("static/app.css", true, false),
            ("src/web/api/router.rs", false, true),
            ("tests/integration/api.rs", false, true),
        ] {
            assert_eq!((is_kept(path, &Choices::ALL), is_kept(path, &by_json)), (pages, api), "{path}");
        }
        assert!(!is_kept("migrations/postgres/1.sql", &Choices::ALL));
        assert_eq!(moved("migrations/sqlite/1.sql", &Choices::ALL), "migrations/1.sql");
    }
}
