//! Which files of the template an application gets, and where. Files that belong to a feature as a whole are
//! listed here, and not marked.

use crate::choices::{Choices, Database};

/// What a path begins with, and the region that all of it belongs to.
const OF_FEATURES: &[(&str, &str)] = &[
    ("src/accounts/log_in_link.rs", "magic_link"),
    ("src/web/user_log_in_link_controller.rs", "magic_link"),
    ("tests/user_log_in_link.rs", "magic_link"),
    ("src/web/live.rs", "live"),
    ("static/live.js", "live"),
    ("tests/live.rs", "live"),
    ("src/accounts/mfa.rs", "mfa"),
    ("src/web/mfa_", "mfa"),
    ("src/web/second_factor.rs", "mfa"),
    ("src/web/trusted_browsers_controller.rs", "mfa"),
    ("static/print.js", "mfa"),
    ("templates/backup_codes.html", "mfa"),
    ("templates/mfa_", "mfa"),
    ("templates/partials/second_factor.html", "mfa"),
    ("templates/totp.html", "mfa"),
    ("tests/second_factor.rs", "mfa"),
    ("src/web/passkey", "passkeys"),
    ("static/passkeys.js", "passkeys"),
    ("src/database/sqlite.rs", "sqlite"),
    ("migrations/sqlite/", "sqlite"),
    ("src/database/postgres.rs", "postgres"),
    ("migrations/postgres/", "postgres"),
    ("tests/outage.rs", "postgres"),
    ("src/main.rs", "app"),
    ("templates/home.html", "app"),
    ("templates/dashboard.html", "app"),
    // They begin with what an application has that is all ours.
    ("tests/", "app"),
    (".gitignore", "app"),
    (".env.example", "app"),
    ("README.md", "app"),
    ("rustfmt.toml", "app"),
    ("src/beside.rs", "install"),
    ("tests/beside.rs", "install"),
];

/// Whether the application gets the file.
pub fn is_kept(path: &str, choices: &Choices) -> bool {
    let mut regions = OF_FEATURES.iter().filter(|(prefix, _)| path.starts_with(prefix));
    regions.all(|(_, region)| choices.keeps(region) == Some(true))
}

/// Where it is in the application. One database needs no folder of its own.
pub fn moved(path: &str, choices: &Choices) -> String {
    path.replace(migrations(choices.db), "migrations")
}

/// Where the template has the migrations for a database.
pub fn migrations(db: Database) -> &'static str {
    match db {
        Database::Sqlite => "migrations/sqlite",
        Database::Postgres => "migrations/postgres",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;

    #[test]
    fn every_row_of_the_table_is_of_something() {
        for (prefix, region) in OF_FEATURES {
            assert!(Choices::ALL.keeps(region).is_some(), "{prefix}");
            assert!(template::embedded().iter().any(|file| file.path.starts_with(prefix)), "{prefix}");
        }
    }

    #[test]
    fn files_go_with_their_features() {
        let without = Choices { live: false, magic_link: false, ..Choices::ALL };
        let paths: Vec<_> = template::embedded().into_iter().map(|file| file.path).collect();
        let kept = |choices: &Choices| paths.iter().filter(|path| is_kept(path, choices)).count();
        assert_eq!(kept(&Choices::ALL) - kept(&without), 6);
        assert!(!is_kept("migrations/postgres/1.sql", &Choices::ALL));
        assert_eq!(moved("migrations/sqlite/1.sql", &Choices::ALL), "migrations/1.sql");
    }
}
