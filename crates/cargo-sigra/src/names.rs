//! Names of the application, and what the template calls it.

use serde::{Deserialize, Serialize};

/// Words that Rust does not let a crate be called, and folders that Cargo makes.
const RESERVED: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "unsafe", "use", "where", "while", "test", "core",
];

/// Crates that the application depends on: its own name would hide theirs.
const TAKEN: [&str; 18] = [
    "askama",
    "axum",
    "serde",
    "serde_json",
    "sigra",
    "sqlx",
    "std",
    "thiserror",
    "time",
    "tokio",
    "tower",
    "tower_http",
    "tracing",
    "tracing_subscriber",
    "url",
    "uuid",
    "tempfile",
    "alloc",
];

/// Why an application can't be called that.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    #[error("`{0}` is no name for an application: use letters, digits, `_` and `-`, and begin with a letter")]
    Letters(String),
    #[error("`--user {0}` is no name of a type: begin with a capital letter, as in `--user Member`")]
    Type(String),
    #[error(
        "`--table {0}` is no name of a table: use small letters, digits and `_`, and the plural, as in `--table members`"
    )]
    Table(String),
    #[error("`{0}` can't be the name, for Rust, a dependency or the generated code has it already: choose another one")]
    Reserved(String),
}

/// The name of an application, in each of its spellings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

impl AppName {
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(NameError::Letters(name.to_owned()));
        }
        let parsed = Self(name.to_owned());
        let ident = parsed.ident();
        if RESERVED.contains(&ident.as_str()) || TAKEN.contains(&ident.as_str()) {
            return Err(NameError::Reserved(name.to_owned()));
        }
        Ok(parsed)
    }

    /// As Cargo knows it: `my-app`.
    pub fn package(&self) -> &str {
        &self.0
    }

    /// As Rust and file names have it: `my_app`.
    pub fn ident(&self) -> String {
        self.0.replace('-', "_").to_ascii_lowercase()
    }

    /// As people read it: `MyApp`.
    pub fn title(&self) -> String {
        self.words().map(capitalized).collect()
    }

    /// Without anything between its words: `myapp`.
    pub fn joined(&self) -> String {
        self.words().map(str::to_ascii_lowercase).collect()
    }

    /// As in host names: `my-app`.
    pub fn dashed(&self) -> String {
        self.ident().replace('_', "-")
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split(['_', '-']).filter(|word| !word.is_empty())
    }

    /// Puts the name in place of the template's.
    pub fn rename(&self, text: &str) -> String {
        let binary = format!("CARGO_BIN_EXE_{}", self.0);
        text.replace("CARGO_BIN_EXE_my_app", &binary)
            .replace("my_app", &self.ident())
            .replace("MyApp", &self.title())
            .replace("my-app", &self.dashed())
            .replace("myapp", &self.joined())
    }
}

impl TryFrom<String> for AppName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_all_its_spellings() {
        let name = AppName::parse("photo-blog_2").expect("a name");
        assert_eq!(name.package(), "photo-blog_2");
        assert_eq!(
            name.rename("my_app MyApp my-app myapp _my_app_key CARGO_BIN_EXE_my_app"),
            "photo_blog_2 PhotoBlog2 photo-blog-2 photoblog2 _photo_blog_2_key CARGO_BIN_EXE_photo-blog_2"
        );
    }

    #[test]
    fn what_rust_or_cargo_would_refuse_is_refused_here() {
        for name in ["", "1st", "my app", "../up", "a/b", "über", "_x", "-x"] {
            assert_eq!(AppName::parse(name), Err(NameError::Letters(name.to_owned())));
        }
        for name in ["fn", "self", "test", "axum", "tower-http", "Std"] {
            assert_eq!(AppName::parse(name), Err(NameError::Reserved(name.to_owned())));
        }
    }
}
