//! Moves the template's files into one module of an existing application, with separate paths.

use std::path::Path;

use super::files::Files;
use crate::{
    plan::{Plan, migrations},
    sql::reversal,
};

/// Returns paths that a web application is likely to have itself, and our replacements.
fn addresses(plural: &str) -> [(&'static str, String); 5] {
    [
        ("\"/live\"", format!("\"/{plural}/live\"")),
        ("\"/me\"", format!("\"/{plural}/me\"")),
        ("\"/dev/mailbox", format!("\"/{plural}/dev/mailbox")),
        ("\"/static/", format!("\"/{plural}/static/")),
        ("\"/static\"", format!("\"/{plural}/static\"")),
    ]
}

/// The default port in the template's settings.
const DEFAULT_PORT: &str = "const DEFAULT_PORT: u16 = 4000;";

/// The prefix of settings in the template.
const ENV_PREFIX: &str = "const ENV_PREFIX: &str = \"AUTH_\";";

/// Returns the prefix of settings that are only for accounts.
pub fn prefix(module: &str) -> String {
    format!("{}_", module.to_ascii_uppercase())
}

/// How the template embeds its migrations.
const OWN_MIGRATIONS: &str = "sqlx::migrate!(\"./migrations\")";

/// Returns all files at their new places.
pub fn moved(files: Files, module: &str, plan: &Plan) -> Files {
    let (mut is_first, mut added, mut moved) = (true, 0, Files::new());
    for (path, text) in files {
        if path.starts_with("migrations/") {
            let known = migrations::name(Path::new(&path)).and_then(|name| plan.migrations.ours.get(name));
            let version = known.cloned().unwrap_or_else(|| {
                added += 1;
                plan.migrations.version(migrations::version(Path::new(&path)).unwrap_or_default(), added)
            });
            let adopted = plan.adopted.as_ref().filter(|_| is_first);
            moved.extend(migration(&path, text, &version, adopted, plan));
            is_first = false;
            continue;
        }
        let text = text_at(&text, module, &plan.users.plural);
        let text = text.replace(OWN_MIGRATIONS, &embedded(&plan.migrations.folder));
        let text = match plan.port {
            Some(port) => text.replace(DEFAULT_PORT, &format!("const DEFAULT_PORT: u16 = {port};")),
            None => text,
        };
        moved.insert(path_of(&path, module, &plan.folder), text);
    }
    moved
}

/// Returns the code that embeds a folder of migrations. sqlx refuses a plain name, which could be relative to the file.
fn embedded(folder: &str) -> String {
    let begin = if folder.starts_with("../") { "" } else { "./" };
    format!("sqlx::migrate!(\"{begin}{folder}\")")
}

/// Moves a migration to the host's folder, with a migration that reverts it if the host's have that.
fn migration(path: &str, text: String, version: &str, adopted: Option<&String>, plan: &Plan) -> Vec<(String, String)> {
    let text = match adopted {
        Some(adopted) => format!("{adopted}\n{}", text.trim_start()),
        None => text,
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let rest = name.split_once('_').map_or(name, |(_, rest)| rest);
    let path = format!("{}/{version}_{rest}", plan.migrations.folder);
    match path.strip_suffix(".sql").filter(|_| plan.migrations.reversible) {
        Some(stem) => {
            let down = reversal::of(&text, plan.choices.db);
            vec![(format!("{stem}.up.sql"), text), (format!("{stem}.down.sql"), down)]
        }
        None => vec![(path, text)],
    }
}

fn path_of(path: &str, module: &str, folder: &str) -> String {
    match path.split_once('/') {
        Some(("src", "lib.rs")) => within(folder, &format!("{module}.rs")),
        Some(("src", rest)) => within(folder, &format!("{module}/{rest}")),
        Some((folder @ ("locales" | "templates" | "static"), rest)) => format!("{folder}/{module}/{rest}"),
        _ => path.to_owned(),
    }
}

/// Returns a path in a folder, which can be the package itself.
fn within(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// Replaces the paths in code and pages.
fn text_at(text: &str, module: &str, plural: &str) -> String {
    let prefix = prefix(module);
    let moved = text
        .replace(ENV_PREFIX, &format!("const ENV_PREFIX: &str = \"{prefix}\";"))
        .replace("`AUTH_APP_ENV`", &format!("`{prefix}APP_ENV`"))
        .replace("crate::", &format!("crate::{module}::"))
        .replace("#[template(path = \"", &format!("#[template(path = \"{module}/"))
        .replace("{% extends \"", &format!("{{% extends \"{module}/"))
        .replace(" include \"", &format!(" include \"{module}/"))
        .replace("#[folder = \"static/\"]", &format!("#[folder = \"static/{module}/\"]"))
        .replace("#[folder = \"locales/\"]", &format!("#[folder = \"locales/{module}/\"]"));
    addresses(plural).iter().fold(moved, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::migrations::Migrations;

    #[test]
    fn migrations_are_moved_to_the_hosts_folder() {
        let paths = |migrations: Migrations| {
            let plan = Plan { migrations, ..Plan::default_for_tests() };
            let names = ["20260101000000_create", "20260301000000_more", "20260401000000_most"];
            let ours = names.map(|name| (format!("migrations/{name}.sql"), "CREATE TABLE a (id BLOB);".to_owned()));
            moved(Files::from(ours), "auth", &plan).into_keys().collect::<Vec<_>>()
        };
        let own = ["20260101000000_create", "20260301000000_more", "20260401000000_most"];
        assert_eq!(paths(Migrations::default()), own.map(|name| format!("migrations/{name}.sql")));
        let of_db = Migrations {
            folder: "../db/migrations".to_owned(),
            after: Some("0007".to_owned()),
            ..Migrations::default()
        };
        let numbered = |names: [&str; 3]| names.map(|name| format!("../db/migrations/{name}.sql"));
        assert_eq!(paths(of_db.clone()), numbered(["0008_create", "0009_more", "0010_most"]));

        // The host has added two since, and now there are two of ours more.
        let ours = [("create".to_owned(), "0008".to_owned())].into();
        let since = Migrations { ours, newest: Some("0010".to_owned()), ..of_db.clone() };
        assert_eq!(paths(since), numbered(["0008_create", "0011_more", "0012_most"]));

        let reversible = paths(Migrations { reversible: true, ..of_db });
        assert_eq!(reversible[..2], ["../db/migrations/0008_create.down.sql", "../db/migrations/0008_create.up.sql"]);
    }

    #[test]
    fn whatever_is_replaced_is_in_the_template() {
        let files = crate::template::read::embedded();
        let addresses = addresses("users");
        let replaced = [DEFAULT_PORT, ENV_PREFIX, "`AUTH_APP_ENV`"].into_iter();
        for text in replaced.chain(addresses.iter().map(|(from, _)| *from)) {
            assert!(files.iter().any(|file| file.text.contains(text)), "{text}");
        }
    }

    #[test]
    fn migrations_of_any_folder_can_be_embedded() {
        assert_eq!(embedded("migrations"), OWN_MIGRATIONS);
        assert_eq!(embedded("../db/migrations"), "sqlx::migrate!(\"../db/migrations\")");
    }

    #[test]
    fn paths_in_code_match_the_moved_files() {
        for (path, moved) in [
            ("src/lib.rs", "src/auth.rs"),
            ("src/web/router.rs", "src/auth/web/router.rs"),
            ("templates/mail/email.txt", "templates/auth/mail/email.txt"),
            ("static/app.css", "static/auth/app.css"),
            ("locales/de.po", "locales/auth/de.po"),
        ] {
            assert_eq!(path_of(path, "auth", "src"), moved);
        }
        let text = "use crate::web; #[template(path = \"a.html\")] #[folder = \"static/\"] \"/me\" href=\"/static/a\"";
        let moved = "use crate::auth::web; #[template(path = \"auth/a.html\")] #[folder = \"static/auth/\"] \"/users/me\" href=\"/users/static/a\"";
        assert_eq!(text_at(text, "auth", "users"), moved);
    }

    #[test]
    fn the_module_is_next_to_the_root_of_its_crate() {
        for (folder, root, page) in [
            ("", "auth.rs", "auth/web/assets.rs"),
            ("backend", "backend/auth.rs", "backend/auth/web/assets.rs"),
            ("src/bin/site", "src/bin/site/auth.rs", "src/bin/site/auth/web/assets.rs"),
        ] {
            assert_eq!(path_of("src/lib.rs", "auth", folder), root);
            assert_eq!(path_of("src/web/assets.rs", "auth", folder), page);
        }
    }
}
