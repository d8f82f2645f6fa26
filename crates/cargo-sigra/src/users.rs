//! What users are called: `User` and `users`, or whatever the application calls its people.

use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// Names that the application has for something else.
const TAKEN: [&str; 15] = [
    "Account",
    "App",
    "Client",
    "Database",
    "Device",
    "Error",
    "Letter",
    "Link",
    "Live",
    "Page",
    "Scope",
    "Session",
    "Sigra",
    "Token",
    "Transaction",
];

/// Words of the library and of the web. In an application whose people are members they are the same.
const KEPT: [&str; 7] = [
    "announce_user",
    "log_in_user_with",
    "log_in_user_with_passkey_and",
    "reauthenticate_user",
    "reauthenticate_user_with_second_factor",
    "reauthenticate_user_with_second_factor_and",
    "user_fixture",
];
const KEPT_PARTS: [&str; 6] =
    ["users_tokens", "users_totp", "users_passkeys", "users_backup_codes", "user_id", "user_agent"];
/// What stands before a word that the library or the web has coined.
const KEPT_AFTER: [(&str, &[&str]); 6] = [
    ("user", &[".", "://"]),
    ("User", &["sigra::", "type "]),
    ("log_in_user", &["."]),
    ("log_in_user_with_passkey", &["."]),
    ("log_out_user", &["."]),
    ("register_user", &[" host.", "    async fn "]),
];
/// What stands behind such a word.
const KEPT_BEFORE: [&str; 4] = ["-agent", "-select", "-invalid", " as _"];

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
            && plural.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let names = Self { singular: singular.to_owned(), plural };
        if !is_table || names.plural == names.snake() {
            return Err(NameError::Table(names.plural));
        }
        if TAKEN.contains(&singular) || TAKEN.iter().any(|taken| format!("{}s", snake_case(taken)) == names.plural) {
            return Err(NameError::Reserved(format!("{} in {}", names.singular, names.plural)));
        }
        Ok(names)
    }

    /// Whether the table is the one that the library knows.
    pub fn has_users_table(&self) -> bool {
        self.plural == "users"
    }

    /// Puts the names in place of the template's.
    pub fn rename(&self, text: &str) -> String {
        if *self == Self::default() {
            return text.to_owned();
        }
        let mut renamed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_word) {
            let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |length| start + length);
            renamed.push_str(&rest[..start]);
            let word = &rest[start..end];
            if is_kept(&renamed, word, &rest[end..]) {
                renamed.push_str(word);
            } else {
                renamed.push_str(&self.rename_word(word));
            }
            rest = &rest[end..];
        }
        renamed.push_str(rest);
        renamed
    }

    /// Renames files as the modules in them are.
    pub fn rename_path(&self, path: &str) -> String {
        if *self == Self::default() { path.to_owned() } else { self.rename_word(path) }
    }

    /// Each part of an identifier: `list_user_sessions`, `UserNotifier`.
    fn rename_word(&self, word: &str) -> String {
        let plural_type: String = self.plural.split('_').map(capitalized).collect();
        let singular = self.snake();
        let names = [("users", &self.plural), ("user", &singular), ("Users", &plural_type), ("User", &self.singular)];
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
            members().rename(text),
            "pub struct Member; MemberNotifier list_member_sessions(members) \"/members/log-in\" member[email] Members \
             member_email"
        );
        assert_eq!(members().rename_path("src/web/user_auth.rs"), "src/web/member_auth.rs");
        let team = UserNames::parse("TeamMember", Some("staff")).expect("names");
        assert_eq!(
            team.rename("User user users Users user_auth"),
            "TeamMember team_member staff Staff team_member_auth"
        );
    }

    #[test]
    fn what_is_the_librarys_or_the_webs_stays() {
        for text in [
            "users_tokens_user_id_context",
            "users_totp",
            "users_passkeys_user_id",
            "users_backup_codes",
            "impl sigra::User for",
            "use sigra::{Session, User as _};",
            "scope.user()",
            "sigra.log_in_user(",
            "sigra.log_in_user_with(",
            "username",
            "user-agent",
            "smtp://user:password@host",
            "host.user_fixture()",
        ] {
            assert_eq!(members().rename(text), text);
        }
        assert_eq!(UserNames::default().rename("user User"), "user User");
    }

    #[test]
    fn names_that_can_not_be_are_refused() {
        for (singular, plural) in [
            ("member", None),
            ("Team Member", None),
            ("Member", Some("Members")),
            ("Member", Some("mem bers")),
            ("Member", Some("member")),
            ("Session", None),
            ("Person", Some("accounts")),
            ("", None),
            ("Self", None),
        ] {
            assert!(UserNames::parse(singular, plural).is_err(), "{singular} {plural:?}");
        }
    }
}
