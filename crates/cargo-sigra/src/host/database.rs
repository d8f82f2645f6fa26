//! Detects the database of a host, because accounts go there too.

use std::{collections::BTreeSet, path::Path};

use super::{dependency::Dependency, package::Host};
use crate::plan::choices::Database;

/// A database engine that a host can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Engine {
    Sqlite,
    Postgres,
    MySql,
}

/// Crates that use a database, and their feature for it. Without a feature, the crate is enough.
const CRATES: [(&str, Option<&str>, Engine); 26] = [
    ("sqlx", Some("sqlite"), Engine::Sqlite),
    ("sqlx", Some("sqlite-unbundled"), Engine::Sqlite),
    ("sqlx", Some("postgres"), Engine::Postgres),
    ("sqlx", Some("mysql"), Engine::MySql),
    ("diesel", Some("sqlite"), Engine::Sqlite),
    ("diesel", Some("postgres"), Engine::Postgres),
    ("diesel", Some("postgres_backend"), Engine::Postgres),
    ("diesel", Some("mysql"), Engine::MySql),
    ("diesel", Some("mysql_backend"), Engine::MySql),
    ("diesel-async", Some("sqlite"), Engine::Sqlite),
    ("diesel-async", Some("postgres"), Engine::Postgres),
    ("diesel-async", Some("mysql"), Engine::MySql),
    ("sea-orm", Some("sqlx-sqlite"), Engine::Sqlite),
    ("sea-orm", Some("rusqlite"), Engine::Sqlite),
    ("sea-orm", Some("sqlx-postgres"), Engine::Postgres),
    ("sea-orm", Some("sqlx-mysql"), Engine::MySql),
    ("rusqlite", None, Engine::Sqlite),
    ("tokio-rusqlite", None, Engine::Sqlite),
    ("deadpool-sqlite", None, Engine::Sqlite),
    ("r2d2_sqlite", None, Engine::Sqlite),
    ("postgres", None, Engine::Postgres),
    ("tokio-postgres", None, Engine::Postgres),
    ("deadpool-postgres", None, Engine::Postgres),
    ("bb8-postgres", None, Engine::Postgres),
    ("mysql", None, Engine::MySql),
    ("mysql_async", None, Engine::MySql),
];

/// Files in which a host sets `DATABASE_URL`. Those that it reads come first.
const ENV_FILES: [&str; 5] = [".env", ".env.local", ".env.example", ".env.sample", ".env.template"];

/// The beginnings and ends of database URLs. Diesel accepts a file name for SQLite.
const SCHEMES: [(&str, Engine); 6] = [
    ("postgres:", Engine::Postgres),
    ("postgresql:", Engine::Postgres),
    ("mysql:", Engine::MySql),
    ("mariadb:", Engine::MySql),
    ("sqlite:", Engine::Sqlite),
    ("file:", Engine::Sqlite),
];
const FILES: [&str; 4] = [".db", ".sqlite", ".sqlite3", ".db3"];

/// Why the database must be chosen with a flag.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    #[error("`{0}` uses SQLite and PostgreSQL: choose the database for accounts with `--db sqlite` or `--db postgres`")]
    Both(String),
    #[error(
        "`{0}` uses MySQL, which accounts don't support: give them a separate database with `--db sqlite` or `--db postgres`"
    )]
    MySql(String),
}

/// Returns the host's database, if it can be detected. If several are possible, returns `None` if the user can be
/// asked, and fails otherwise.
pub fn of(host: &Host, can_ask: bool) -> Result<Option<Database>, DatabaseError> {
    let by_url = url(&[&host.root, &host.workspace]);
    let engines = match by_url {
        Some(engine) => BTreeSet::from([engine]),
        None => [engines(host.own_dependencies()), engines(&host.others_dependencies)]
            .into_iter()
            .find(|engines| !engines.is_empty())
            .unwrap_or_default(),
    };
    match decided(&engines, &host.package) {
        Err(_) if can_ask => Ok(None),
        decided => decided,
    }
}

fn decided(engines: &BTreeSet<Engine>, package: &str) -> Result<Option<Database>, DatabaseError> {
    let has = |engine| engines.contains(&engine);
    match (has(Engine::Sqlite), has(Engine::Postgres), has(Engine::MySql)) {
        (true, false, _) => Ok(Some(Database::Sqlite)),
        (false, true, _) => Ok(Some(Database::Postgres)),
        (true, true, _) => Err(DatabaseError::Both(package.to_owned())),
        (false, false, true) => Err(DatabaseError::MySql(package.to_owned())),
        (false, false, false) => Ok(None),
    }
}

fn engines<'a>(dependencies: impl IntoIterator<Item = &'a Dependency>) -> BTreeSet<Engine> {
    let of = |dependency: &'a Dependency| {
        let is_on = |feature: &str| dependency.features.iter().any(|on| on == feature);
        let signs = CRATES.iter().filter(|(name, _, _)| *name == dependency.name && dependency.is_of_package());
        signs.filter(move |(_, feature, _)| feature.is_none_or(is_on)).map(|(_, _, engine)| *engine)
    };
    dependencies.into_iter().flat_map(of).collect()
}

/// Returns the engine of the first `DATABASE_URL`.
fn url(folders: &[&Path]) -> Option<Engine> {
    let files = folders.iter().flat_map(|folder| ENV_FILES.map(|name| folder.join(name)));
    let variables = files.filter_map(|path| dotenvy::from_path_iter(path).ok()).flatten().flatten();
    variables.filter(|(name, _)| name == "DATABASE_URL").find_map(|(_, url)| engine_of(&url))
}

fn engine_of(url: &str) -> Option<Engine> {
    let url = url.to_ascii_lowercase();
    let by_scheme = SCHEMES.iter().find(|(scheme, _)| url.starts_with(scheme)).map(|(_, engine)| *engine);
    let is_file = || !url.contains("://") && FILES.iter().any(|end| url.ends_with(end));
    by_scheme.or_else(|| is_file().then_some(Engine::Sqlite))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_engine_is_detected_by_the_url() {
        for (url, engine) in [
            ("postgres://ada@localhost/blog", Some(Engine::Postgres)),
            ("postgresql:///blog", Some(Engine::Postgres)),
            ("mysql://localhost/blog", Some(Engine::MySql)),
            ("sqlite::memory:", Some(Engine::Sqlite)),
            ("app.sqlite3", Some(Engine::Sqlite)),
            ("", None),
            ("mongodb://localhost/blog.db", None),
        ] {
            assert_eq!(engine_of(url), engine, "{url}");
        }
    }

    #[test]
    fn env_files_come_before_their_examples() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(url(&[folder.path()]), None);
        fs::write(folder.path().join(".env.example"), "DATABASE_URL=sqlite://blog.db\n").expect("written");
        assert_eq!(url(&[folder.path()]), Some(Engine::Sqlite));
        fs::write(folder.path().join(".env"), "NAME=blog\nDATABASE_URL=\"postgres://localhost/blog\"\n")
            .expect("written");
        assert_eq!(url(&[folder.path()]), Some(Engine::Postgres));
    }

    #[test]
    fn an_ambiguous_database_is_not_chosen() {
        use Engine::{MySql, Postgres, Sqlite};
        let decided = |engines: &[Engine]| decided(&engines.iter().copied().collect(), "blog");
        assert_eq!(decided(&[]), Ok(None));
        assert_eq!(decided(&[Postgres, MySql]), Ok(Some(Database::Postgres)));
        assert_eq!(decided(&[Sqlite]), Ok(Some(Database::Sqlite)));
        assert_eq!(decided(&[Sqlite, Postgres]), Err(DatabaseError::Both("blog".to_owned())));
        assert_eq!(decided(&[MySql]), Err(DatabaseError::MySql("blog".to_owned())));
    }
}
