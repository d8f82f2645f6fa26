//! What users are called: `User` and `users`, or whatever the application calls its people.

use serde::{Deserialize, Serialize};

use crate::{
    names::{self, NameError},
    sql_words,
};

/// What names of tables begin with that the databases keep for themselves.
const OF_DATABASES: [&str; 2] = ["pg_", "sqlite_"];

/// PostgreSQL cuts off what is longer than 63 letters, and names of indexes are longer than the table's.
const MAX_TABLE: usize = 40;

/// Words of the library and of the web. In an application whose people are members they are the same.
const KEPT: [&str; 1] = ["AuthUser"];
const KEPT_PARTS: [&str; 7] =
    ["users_tokens", "users_totp", "users_passkeys", "users_backup_codes", "user_id", "user_agent", "user_handle"];
/// What stands before a word that the library or the web has coined.
const KEPT_AFTER: [(&str, &[&str]); 2] = [("user", &[".", "://"]), ("User", &["type "])];
/// What stands behind such a word.
const KEPT_BEFORE: [&str; 3] = ["-agent", "-select", "-invalid"];

/// What stands before the table's name in a statement, and where the code says it.
const BEFORE_TABLE: [&str; 9] =
    ["FROM ", "INTO ", "UPDATE ", "TABLE ", "REFERENCES ", "ON ", "JOIN ", "EXISTS ", "TABLE: &'static str = \""];

/// The names of a user and of all users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNames {
    /// The type: `User`.
    pub singular: String,
    /// The table, and the first part of all paths: `users`.
    pub plural: String,
}

impl Default for UserNames {
    fn default() -> Self {
        Self { singular: "User".to_owned(), plural: "users".to_owned() }
    }
}

impl UserNames {
    /// From `--user Member --table members`. The table is the plural of the type, unless it is said.
    pub fn parse(singular: &str, plural: Option<&str>) -> Result<Self, NameError> {
        let is_type = singular.starts_with(|c: char| c.is_ascii_uppercase())
            && singular.chars().all(|c| c.is_ascii_alphanumeric())
            && singular != "Self";
        if !is_type {
            return Err(NameError::Type(singular.to_owned()));
        }
        let plural = plural.map_or_else(|| format!("{}s", snake_case(singular)), str::to_owned);
        let is_table = plural.starts_with(|c: char| c.is_ascii_lowercase())
            && plural.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !plural.contains("__")
            && !plural.ends_with('_')
            && plural.len() <= MAX_TABLE;
        let names = Self { singular: singular.to_owned(), plural };
        if !is_table {
            return Err(NameError::Table(names.plural));
        }
        if names::is_keyword(&names.snake()) {
            return Err(NameError::TypeOfRust { name: names.singular.clone(), word: names.snake() });
        }
        if OF_DATABASES.iter().any(|of_database| names.plural.starts_with(of_database)) {
            return Err(NameError::TableOfDatabase(names.plural));
        }
        Ok(names)
    }

    /// The table as it is written in a statement.
    pub fn in_sql(&self) -> String {
        self.quoted("\"")
    }

    /// The same in a string of Rust.
    pub fn in_rust(&self) -> String {
        self.quoted("\\\"")
    }

    fn quoted(&self, quote: &str) -> String {
        if sql_words::is_reserved(&self.plural) {
            format!("{quote}{}{quote}", self.plural)
        } else {
            self.plural.clone()
        }
    }

    /// Whether the table is the one that the library knows.
    pub fn has_users_table(&self) -> bool {
        self.plural == "users"
    }

    /// Puts the names in place of the template's, in a file. Rust has its statements in strings.
    pub fn rename(&self, path: &str, text: &str) -> String {
        if *self == Self::default() {
            return text.to_owned();
        }
        let table = if path.ends_with(".rs") { self.in_rust() } else { self.in_sql() };
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
                renamed.push_str(&self.rename_word(word));
            }
            rest = &rest[end..];
        }
        renamed.push_str(rest);
        renamed
    }

    /// Of a file or a function: each is renamed as the other.
    pub fn rename_name(&self, path: &str) -> String {
        if *self == Self::default() { path.to_owned() } else { self.rename_word(path) }
    }

    /// Each part of an identifier: `list_user_sessions`, `UserNotifier`.
    fn rename_word(&self, word: &str) -> String {
        if word == "users" {
            return self.plural.clone();
        }
        let singular = self.snake();
        // Where the table is called as one of its rows, functions still tell one user from all.
        let plural = if self.plural == singular { format!("{singular}s") } else { self.plural.clone() };
        let plural_type: String = plural.split('_').map(capitalized).collect();
        let names = [("users", &plural), ("user", &singular), ("Users", &plural_type), ("User", &self.singular)];
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

    fn snake(&self) -> String {
        snake_case(&self.singular)
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a word is the library's or the web's.
fn is_kept(before: &str, word: &str, behind: &str) -> bool {
    KEPT.contains(&word)
        || KEPT_PARTS.iter().any(|part| word.contains(part))
        || KEPT_BEFORE.iter().any(|end| behind.starts_with(end))
        || KEPT_AFTER.iter().any(|(kept, starts)| *kept == word && starts.iter().any(|start| before.ends_with(start)))
}

/// Whether the word is the table in a statement, and not in a comment or in a path.
fn is_in_statement(before: &str, behind: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    let is_comment = line.starts_with("//") || line.starts_with("--");
    let has_column = behind.strip_prefix('.').is_some_and(|column| column.starts_with(is_word));
    !is_comment && (has_column || BEFORE_TABLE.iter().any(|word| before.ends_with(word)))
}

/// `user` in `user_auth`, and not in `username`.
fn is_whole(before: &str, name: &str, behind: &str) -> bool {
    let goes_on = behind.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on_before =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && before.ends_with(|c: char| c.is_ascii_alphanumeric());
    !goes_on && !goes_on_before
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// `TeamMember` as `team_member`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> UserNames {
        UserNames::parse("Member", None).expect("names")
    }

    #[test]
    fn what_is_the_applications_is_renamed() {
        let text =
            "pub struct User; UserNotifier list_user_sessions(users) \"/users/log-in\" user[email] Users user_email";
        assert_eq!(
            members().rename("a.rs", text),
            "pub struct Member; MemberNotifier list_member_sessions(members) \"/members/log-in\" member[email] Members \
             member_email"
        );
        assert_eq!(members().rename_name("src/web/user_auth.rs"), "src/web/member_auth.rs");
        let team = UserNames::parse("TeamMember", Some("staff")).expect("names");
        assert_eq!(
            team.rename("a.rs", "User user users Users user_auth"),
            "TeamMember team_member staff Staff team_member_auth"
        );
    }

    #[test]
    fn names_of_the_library_and_of_the_web_stay() {
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
            "smtp://user:password@host",
        ] {
            assert_eq!(members().rename("a.rs", text), text);
        }
        assert_eq!(UserNames::default().rename("a.rs", "user User"), "user User");
    }

    #[test]
    fn tables_and_columns_of_the_library_keep_their_names() {
        use sigra::store::{POSTGRES_SCHEMA, SQLITE_SCHEMA};

        let schemas = format!("{POSTGRES_SCHEMA}\n{SQLITE_SCHEMA}");
        let words = schemas.split(|c| !is_word(c)).filter(|word| word.starts_with("user") || word.contains("_user"));
        let words: std::collections::BTreeSet<&str> = words.filter(|word| word.contains('_')).collect();
        assert!(words.contains("user_handle") && words.contains("users_tokens_series"), "{words:?}");
        for word in words {
            assert_eq!(members().rename("migrations/sqlite/1.sql", word), word);
        }
    }

    #[test]
    fn a_word_of_sql_is_in_quotes_where_it_is_a_table() {
        let orders = UserNames::parse("Order", Some("order")).expect("names");
        let sql = "CREATE TABLE users (id);\nCREATE UNIQUE INDEX users_email ON users (email); -- of users\n";
        assert_eq!(
            orders.rename("a.sql", sql),
            "CREATE TABLE \"order\" (id);\nCREATE UNIQUE INDEX orders_email ON \"order\" (email); -- of order\n"
        );
        let code = "\"SELECT id FROM users WHERE users.id = $1\"; \"/users/log-in\"; fn delete_users(user: User)\n/// ON users";
        assert_eq!(
            orders.rename("a.rs", code),
            "\"SELECT id FROM \\\"order\\\" WHERE \\\"order\\\".id = $1\"; \"/order/log-in\"; fn delete_orders(order: Order)\n/// ON \
             order"
        );
        assert_eq!((orders.in_sql(), members().in_sql()), ("\"order\"".to_owned(), "members".to_owned()));
    }

    #[test]
    fn names_that_can_not_be_are_refused() {
        for (singular, plural) in [
            ("member", None),
            ("Team Member", None),
            ("Member", Some("Members")),
            ("Member", Some("mem bers")),
            ("Member", Some("_members")),
            ("Member", Some("team__members")),
            ("Member", Some("members_")),
            ("Member", Some("pg_class")),
            ("Member", Some("sqlite_members")),
            ("Member", Some("a_name_that_is_longer_than_a_database_takes")),
            ("Type", None),
            ("Gen", None),
            ("", None),
            ("Self", None),
        ] {
            assert!(UserNames::parse(singular, plural).is_err(), "{singular} {plural:?}");
        }
    }
}
