//! Names of the application.

use serde::{Deserialize, Serialize};

/// Crates that come with Rust, and folders that Cargo creates next to binaries.
const OF_RUST: [&str; 5] = ["alloc", "core", "proc_macro", "std", "test"];
const OF_CARGO: [&str; 4] = ["build", "deps", "examples", "incremental"];

/// File names that Windows reserves, with any extension.
const OF_WINDOWS: [&str; 22] = [
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

/// The longest name that crates.io accepts.
const MAX_NAME: usize = 64;

/// Why a name can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    #[error(
        "`{0}` is not a valid application name: use lowercase letters and digits, with single `_` or `-` between words, and start with a letter"
    )]
    Letters(String),
    #[error("`{name}` has uppercase letters, but crate names are lowercase: use `{suggestion}`")]
    Capitals { name: String, suggestion: String },
    #[error("can't use `{0}` as the name because it is {1}: choose another, such as `{0}_app`")]
    Reserved(String, &'static str),
    #[error(
        "can't use `{0}` as the name because the generated code uses it for something else: choose another, such as `{0}_app`"
    )]
    Taken(String),
    #[error(
        "`--user {0}` is not a valid type name: use letters and digits, and start with an uppercase letter, such as `--user Member`"
    )]
    Type(String),
    #[error(
        "can't use `--user {name}` because its variables would be called `{word}`, a Rust keyword: choose another, such as `--user Member`"
    )]
    TypeOfRust { name: String, word: String },
    #[error(
        "`--table {0}` is not a valid table name: use lowercase letters, digits and `_`, at most 40, such as `--table members`"
    )]
    Table(String),
    #[error(
        "can't use `--table {0}` because databases reserve names that start like this: choose another, such as `--table members`"
    )]
    TableOfDatabase(String),
    #[error(
        "can't use `--user {singular} --table {plural}` because the generated code already has something called `{word}`: choose other names, such as `--user Member --table members`"
    )]
    UserTaken { singular: String, plural: String, word: String },
}

/// Returns whether a word is a keyword in some edition of Rust.
pub fn is_keyword(word: &str) -> bool {
    word == "gen" || syn::parse_str::<syn::Ident>(word).is_err()
}

/// Returns whether a name has only lowercase letters, digits and `_`, and starts with a letter.
pub fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Returns what else a crate or module of this name would be.
pub fn reserved(ident: &str) -> Option<&'static str> {
    let lists: [(bool, &str); 4] = [
        (is_keyword(ident), "a Rust keyword"),
        (OF_RUST.contains(&ident), "a crate that comes with Rust"),
        (OF_CARGO.contains(&ident), "a folder that Cargo creates"),
        (OF_WINDOWS.contains(&ident), "a reserved file name on Windows"),
    ];
    lists.into_iter().find_map(|(is_in, what)| is_in.then_some(what))
}

/// The name of an application, which has several spellings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppName(String);

impl AppName {
    /// Parses the name of a new application.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let is_split = name.split(['_', '-']).any(str::is_empty);
        if !is_plain || is_split || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.len() > MAX_NAME {
            return Err(NameError::Letters(name.to_owned()));
        }
        if name.contains(|c: char| c.is_ascii_uppercase()) {
            return Err(NameError::Capitals { name: name.to_owned(), suggestion: small(name) });
        }
        let parsed = Self(name.to_owned());
        match reserved(&parsed.ident()) {
            Some(what) => Err(NameError::Reserved(name.to_owned(), what)),
            None => Ok(parsed),
        }
    }

    /// Returns the name of an existing application, which can be anything that Cargo accepts.
    pub fn of_package(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the name for Cargo: `my-app`.
    pub fn package(&self) -> &str {
        &self.0
    }

    /// Returns the name for Rust, cookies and files: `my_app`. Letters outside ASCII are left out.
    pub fn ident(&self) -> String {
        let ident: String = self.words().map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_");
        let ident: String = ident.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if ident.contains(|c: char| c.is_ascii_alphanumeric()) { ident } else { "app".to_owned() }
    }

    /// Returns the name for titles: `MyApp`.
    pub fn title(&self) -> String {
        self.words().map(capitalized).collect()
    }

    /// Returns the name without separators: `myapp`.
    pub fn joined(&self) -> String {
        self.ident().replace('_', "")
    }

    /// Returns the name for host names: `my-app`.
    pub fn dashed(&self) -> String {
        self.ident().replace('_', "-")
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split(['_', '-']).filter(|word| !word.is_empty())
    }
}

/// Returns `my_app` for `MyApp`.
fn small(name: &str) -> String {
    let mut small = String::new();
    let mut is_in_word = false;
    for letter in name.chars() {
        small.extend((is_in_word && letter.is_ascii_uppercase()).then_some('_'));
        small.push(letter.to_ascii_lowercase());
        is_in_word = letter.is_ascii_lowercase();
    }
    small
}

/// Returns `Word` for `word`.
pub fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rust_or_cargo_refuse_are_refused() {
        let long = "a".repeat(65);
        for name in ["", "1st", "my app", "../up", "a/b", "über", "_x", "-x", "my__app", "my-_app", "app_", &long] {
            assert_eq!(AppName::parse(name), Err(NameError::Letters(name.to_owned())));
        }
        for (name, suggestion) in
            [("My_App", "my_app"), ("myApp", "my_app"), ("Shop", "shop"), ("HTTP2App", "http2app")]
        {
            let expected = NameError::Capitals { name: name.to_owned(), suggestion: suggestion.to_owned() };
            assert_eq!(AppName::parse(name), Err(expected));
        }
        for name in [
            "fn",
            "self",
            "gen",
            "crate",
            "yield",
            "virtual",
            "async",
            "try",
            "test",
            "core",
            "std",
            "alloc",
            "proc-macro",
            "build",
            "deps",
            "examples",
            "incremental",
            "con",
            "aux",
            "com1",
        ] {
            assert!(matches!(AppName::parse(name), Err(NameError::Reserved(_, _))), "{name}");
        }
        for name in ["club", "photo-blog", "union", "raw", "gen2", "self_care"] {
            assert!(AppName::parse(name).is_ok(), "{name}");
        }
    }
}
