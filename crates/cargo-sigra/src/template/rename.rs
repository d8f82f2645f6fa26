//! Replaces the template's names with those of the application.

use crate::plan::{
    names::{AppName, capitalized},
    users::UserNames,
};

/// Names of the library's tables and columns, and parts of names derived from them. They stay, with any names of users.
const OF_TABLES: [&str; 9] = [
    "users_tokens",
    "users_totp",
    "users_passkeys",
    "users_backup_codes",
    "user_identities",
    "user_id",
    "user_agent",
    "user_handle",
    "user_code",
];

/// Other words of the library and the web, with enough context to distinguish them from the application's own.
const PHRASES: [&str; 9] = [
    // The trait of a user, the code that one enters, the test host's type, and the user of a scope.
    "AuthUser",
    "UserCode",
    "type User",
    ".user",
    // Words of the web.
    "user-agent",
    "User-agent",
    "user-select",
    "user-invalid",
    "://user",
];

/// Words before a table's name in a statement, or before its name in code.
const BEFORE_TABLE: [&str; 9] =
    ["FROM ", "INTO ", "UPDATE ", "TABLE ", "REFERENCES ", "ON ", "JOIN ", "EXISTS ", "TABLE: &'static str = \""];

/// What comes before the name of the package, instead of the name of its crate.
const BEFORE_PACKAGE: [&str; 2] = ["CARGO_BIN_EXE_", "target/release/"];

/// Replaces the template's name with the application's, in a text.
pub fn app(name: &AppName, text: &str) -> String {
    let (package, ident) = (name.package(), name.ident());
    let mut parts = text.split("my_app");
    let mut renamed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_package = BEFORE_PACKAGE.iter().any(|before| renamed.ends_with(before));
        renamed.push_str(if is_package { package } else { &ident });
        renamed.push_str(part);
    }
    renamed.replace("MyApp", &name.title()).replace("my-app", &name.dashed()).replace("myapp", &name.joined())
}

/// Replaces the names of users in a file. In Rust, statements are in strings, so quotes are escaped.
pub fn users(names: &UserNames, path: &str, text: &str) -> String {
    if *names == UserNames::default() {
        return text.to_owned();
    }
    let table = if path.ends_with(".rs") { names.in_rust() } else { names.in_sql() };
    let mut renamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |length| start + length);
        renamed.push_str(&rest[..start]);
        let word = &rest[start..end];
        if is_kept(&renamed, word, &rest[end..]) {
            renamed.push_str(word);
        } else if word == "users" && is_in_statement(&renamed, &rest[end..]) {
            renamed.push_str(&table);
        } else {
            renamed.push_str(&word_of(names, word));
        }
        rest = &rest[end..];
    }
    renamed.push_str(rest);
    renamed
}

/// Replaces the names of users in the name of a file or a function.
pub fn users_in_name(names: &UserNames, name: &str) -> String {
    if *names == UserNames::default() { name.to_owned() } else { word_of(names, name) }
}

/// Replaces the names in each part of an identifier, such as `list_user_sessions` or `UserNotifier`.
fn word_of(names: &UserNames, word: &str) -> String {
    if word == "users" {
        return names.plural.clone();
    }
    let singular = names.snake();
    // If the table has a singular name, functions still need a plural for all users.
    let plural = if names.plural == singular { format!("{singular}s") } else { names.plural.clone() };
    let plural_type: String = plural.split('_').map(capitalized).collect();
    let names = [("users", &plural), ("user", &singular), ("Users", &plural_type), ("User", &names.singular)];
    let mut renamed = String::with_capacity(word.len());
    let mut rest = word;
    'word: while !rest.is_empty() {
        for (name, ours) in names {
            if rest.starts_with(name) && is_whole(&renamed, name, &rest[name.len()..]) {
                renamed.push_str(ours);
                rest = &rest[name.len()..];
                continue 'word;
            }
        }
        let letter = rest.chars().next().map_or(rest.len(), char::len_utf8);
        renamed.push_str(&rest[..letter]);
        rest = &rest[letter..];
    }
    renamed
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns whether a word belongs to the library or the web.
fn is_kept(before: &str, word: &str, behind: &str) -> bool {
    let is_in = |phrase: &&str| {
        phrase.split_once(word).is_some_and(|(start, end)| before.ends_with(start) && behind.starts_with(end))
    };
    OF_TABLES.iter().any(|name| word.contains(name)) || PHRASES.iter().any(is_in)
}

/// Returns whether the word is a table in a statement, and not part of a comment or a path.
fn is_in_statement(before: &str, behind: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    let is_comment = line.starts_with("//") || line.starts_with("--");
    let has_column = behind.strip_prefix('.').is_some_and(|column| column.starts_with(is_word));
    !is_comment && (has_column || BEFORE_TABLE.iter().any(|word| before.ends_with(word)))
}

/// Returns whether a name is a whole word: `user` in `user_auth`, but not in `username`.
fn is_whole(before: &str, name: &str, behind: &str) -> bool {
    let goes_on = behind.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on_before =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && before.ends_with(|c: char| c.is_ascii_alphanumeric());
    !goes_on && !goes_on_before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_name_are_replaced() {
        let name = AppName::parse("photo-blog_2").expect("a name");
        assert_eq!(name.package(), "photo-blog_2");
        assert_eq!(
            app(&name, "my_app MyApp my-app myapp _my_app_key CARGO_BIN_EXE_my_app target/release/my_app"),
            "photo_blog_2 PhotoBlog2 photo-blog-2 photoblog2 _photo_blog_2_key CARGO_BIN_EXE_photo-blog_2 target/release/photo-blog_2"
        );
    }

    #[test]
    fn a_name_can_contain_the_templates_name() {
        let name = AppName::parse("my_app_2").expect("a name");
        let text = "my_app CARGO_BIN_EXE_my_app target/release/my_app";
        assert_eq!(app(&name, text), "my_app_2 CARGO_BIN_EXE_my_app_2 target/release/my_app_2");
    }

    #[test]
    fn an_existing_package_can_have_any_name() {
        let name = AppName::of_package("Über-Shop_");
        assert_eq!(app(&name, "my_app MyApp my-app myapp"), "ber_shop ÜberShop ber-shop bershop");
        assert_eq!(app(&AppName::of_package("日本"), "my_app my-app"), "app app");
        assert_eq!(AppName::of_package("web").ident(), "web");
    }

    fn members() -> UserNames {
        UserNames::parse("Member", None).expect("names")
    }

    #[test]
    fn the_applications_own_names_are_replaced() {
        let text =
            "pub struct User; UserNotifier list_user_sessions(users) \"/users/log-in\" user[email] Users user_email";
        assert_eq!(
            users(&members(), "a.rs", text),
            "pub struct Member; MemberNotifier list_member_sessions(members) \"/members/log-in\" member[email] Members \
             member_email"
        );
        assert_eq!(users_in_name(&members(), "src/web/user_auth.rs"), "src/web/member_auth.rs");
        let team = UserNames::parse("TeamMember", Some("staff")).expect("names");
        assert_eq!(
            users(&team, "a.rs", "User user users Users user_auth"),
            "TeamMember team_member staff Staff team_member_auth"
        );
    }

    #[test]
    fn names_of_the_library_and_of_the_web_are_kept() {
        for text in [
            "users_tokens_user_id_context",
            "users_totp",
            "users_passkeys_user_id",
            "users_backup_codes",
            "impl sigra::AuthUser for",
            "use sigra::{AuthUser as _, CookieSession};",
            "scope.user()",
            "sigra.log_in(",
            "sigra.log_in_with(",
            "username",
            "user-agent",
            "User-agent",
            "smtp://user:password@host",
        ] {
            assert_eq!(users(&members(), "a.rs", text), text);
        }
        assert_eq!(users(&UserNames::default(), "a.rs", "user User"), "user User");
    }

    #[test]
    fn tables_and_columns_of_the_library_keep_their_names() {
        use sigra::schema;

        let schemas = [schema::POSTGRES, schema::SQLITE].join("\n");
        let words = schemas.split(|c| !is_word(c)).filter(|word| word.starts_with("user") || word.contains("_user"));
        let words: std::collections::BTreeSet<&str> = words.filter(|word| word.contains('_')).collect();
        assert!(words.contains("user_handle") && words.contains("users_tokens_series"), "{words:?}");
        for word in words {
            assert_eq!(users(&members(), "migrations/sqlite/1.sql", word), word);
        }
    }

    #[test]
    fn a_reserved_word_is_quoted_where_it_is_a_table() {
        let orders = UserNames::parse("Order", Some("order")).expect("names");
        let sql = "CREATE TABLE users (id);\nCREATE UNIQUE INDEX users_email ON users (email); -- of users\n";
        assert_eq!(
            users(&orders, "a.sql", sql),
            "CREATE TABLE \"order\" (id);\nCREATE UNIQUE INDEX orders_email ON \"order\" (email); -- of order\n"
        );
        let code = "\"SELECT id FROM users WHERE users.id = $1\"; \"/users/log-in\"; fn delete_users(user: User)\n/// ON users";
        assert_eq!(
            users(&orders, "a.rs", code),
            "\"SELECT id FROM \\\"order\\\" WHERE \\\"order\\\".id = $1\"; \"/order/log-in\"; fn delete_orders(order: Order)\n/// ON \
             order"
        );
        assert_eq!((orders.in_sql(), members().in_sql()), ("\"order\"".to_owned(), "members".to_owned()));
    }
}
