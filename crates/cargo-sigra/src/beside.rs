//! Where the template's files go in an application that was there before: all of them into one module, with paths of
//! their own.

use std::path::Path;

use crate::{
    generate::{Files, Plan},
    install::version,
};

/// What a web application has of its own, and where ours goes in place of it.
fn addresses(plural: &str) -> [(&'static str, String); 4] {
    [
        ("\"/live\"", format!("\"/{plural}/live\"")),
        ("\"/me\"", format!("\"/{plural}/me\"")),
        ("\"/dev/mailbox\"", format!("\"/{plural}/dev/mailbox\"")),
        ("\"/static/", format!("\"/{plural}/static/")),
    ]
}

/// What the template's settings say of the port.
const DEFAULT_PORT: &str = "const DEFAULT_PORT: u16 = 4000;";

/// Before the names of settings that are for accounts alone.
pub fn prefix(module: &str) -> String {
    format!("{}_", module.to_ascii_uppercase())
}

/// All files, at their new places.
pub fn moved(files: Files, module: &str, plan: &Plan) -> Files {
    let mut migrations = 0;
    let mut moved = Files::new();
    for (path, text) in files {
        let is_migration = path.starts_with("migrations/");
        migrations += u64::from(is_migration);
        let text = match &plan.adopted {
            Some(adopted) if is_migration && migrations == 1 => format!("{adopted}\n{}", text.trim_start()),
            _ => text_at(&text, module, &plan.users.plural),
        };
        let text = match plan.port {
            Some(port) => text.replace(DEFAULT_PORT, &format!("const DEFAULT_PORT: u16 = {port};")),
            None => text,
        };
        moved.insert(path_of(&path, module, plan.migrations_after, migrations), text);
    }
    moved
}

fn path_of(path: &str, module: &str, migrations_after: Option<u64>, number: u64) -> String {
    match path.split_once('/') {
        Some(("src", "lib.rs")) => format!("src/{module}.rs"),
        Some((folder @ ("src" | "templates" | "static"), rest)) => format!("{folder}/{module}/{rest}"),
        Some(("migrations", name)) => {
            let own = version(Path::new(name)).unwrap_or_default();
            let after = migrations_after.map_or(own, |newest| own.max(newest + number));
            let rest = name.split_once('_').map_or(name, |(_, rest)| rest);
            format!("migrations/{after}_{rest}")
        }
        _ => path.to_owned(),
    }
}

/// Its paths in code, in pages and on disk.
fn text_at(text: &str, module: &str, plural: &str) -> String {
    let prefix = prefix(module);
    let moved = text
        .replace("const ENV_PREFIX: &str = \"AUTH_\";", &format!("const ENV_PREFIX: &str = \"{prefix}\";"))
        .replace("`AUTH_APP_ENV`", &format!("`{prefix}APP_ENV`"))
        .replace("crate::", &format!("crate::{module}::"))
        .replace("#[template(path = \"", &format!("#[template(path = \"{module}/"))
        .replace("{% extends \"", &format!("{{% extends \"{module}/"))
        .replace(" include \"", &format!(" include \"{module}/"))
        .replace("include_str!(\"../../static/", &format!("include_str!(\"../../../static/{module}/"));
    addresses(plural).iter().fold(moved, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_come_after_the_hosts_in_their_own_order() {
        let name = "migrations/20260101000000_create.sql";
        assert_eq!(path_of(name, "auth", None, 1), name);
        assert_eq!(path_of(name, "auth", Some(20240101000000), 1), name);
        assert_eq!(path_of(name, "auth", Some(20261231000000), 1), "migrations/20261231000001_create.sql");
        let second = "migrations/20260201000000_add.sql";
        assert_eq!(path_of(second, "auth", Some(20261231000000), 2), "migrations/20261231000002_add.sql");
    }

    #[test]
    fn code_and_pages_find_each_other() {
        for (path, moved) in [
            ("src/lib.rs", "src/auth.rs"),
            ("src/web/router.rs", "src/auth/web/router.rs"),
            ("templates/mail/letter.txt", "templates/auth/mail/letter.txt"),
            ("static/app.css", "static/auth/app.css"),
        ] {
            assert_eq!(path_of(path, "auth", None, 0), moved);
        }
        let text = "use crate::web; #[template(path = \"a.html\")] include_str!(\"../../static/a.css\") \"/me\" href=\"/static/a\"";
        let moved = "use crate::auth::web; #[template(path = \"auth/a.html\")] include_str!(\"../../../static/auth/a.css\") \"/users/me\" href=\"/users/static/a\"";
        assert_eq!(text_at(text, "auth", "users"), moved);
    }
}
