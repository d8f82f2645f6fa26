//! A change to a file.

use anstyle::AnsiColor;

use crate::system::terminal::{STRONG, styled};

/// A file that is to be written, as it was and as it will be. The text of both has no byte order mark, and its lines
/// end in `\n`: what the host's file has of these stays as it is.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Below the package's folder, with `/` between its parts.
    pub path: String,
    pub(super) before: Before,
    pub(super) after: After,
    pub(super) must_parse: bool,
}

/// What has to be there for the edit to be right.
#[derive(Clone, Debug)]
pub(super) enum Before {
    Nothing,
    Text(String),
    /// The file is this program's own.
    Anything,
}

#[derive(Clone, Debug)]
pub(super) enum After {
    Nothing,
    Text(String),
    Bytes(Vec<u8>),
}

impl Edit {
    fn new(path: &str, before: Before, after: After) -> Self {
        Self { path: path.to_owned(), before, after, must_parse: true }
    }

    /// A file that is not there yet.
    pub fn create(path: &str, text: &str) -> Self {
        Self::new(path, Before::Nothing, After::Text(text.to_owned()))
    }

    pub fn change(path: &str, before: &str, after: String) -> Self {
        Self::new(path, Before::Text(before.to_owned()), After::Text(after))
    }

    pub fn remove(path: &str, before: &str) -> Self {
        Self::new(path, Before::Text(before.to_owned()), After::Nothing)
    }

    /// A text of this program's own, whatever is there.
    pub fn put(path: &str, text: String) -> Self {
        Self::new(path, Before::Anything, After::Text(text))
    }

    /// What is no text, whatever is there.
    pub fn put_bytes(path: &str, bytes: Vec<u8>) -> Self {
        Self::new(path, Before::Anything, After::Bytes(bytes))
    }

    /// The text has places in it that its owner must put right.
    pub fn with_conflicts(self) -> Self {
        Self { must_parse: false, ..self }
    }

    /// The text that the file will have.
    pub fn text(&self) -> Option<&str> {
        if let After::Text(text) = &self.after { Some(text) } else { None }
    }

    /// What the file will hold. `None` if it will go.
    pub fn content(&self) -> Option<&[u8]> {
        match &self.after {
            After::Nothing => None,
            After::Text(text) => Some(text.as_bytes()),
            After::Bytes(bytes) => Some(bytes),
        }
    }

    /// As `git diff` shows it.
    pub fn print_diff(&self) {
        let before = if let Before::Text(text) = &self.before { Some(text.as_str()) } else { None };
        let from = if before.is_some() { format!("a/{}", self.path) } else { "/dev/null".to_owned() };
        anstream::println!("{}", styled(STRONG, format!("--- {from}\n+++ b/{}", self.path)));
        let patch = diffy::create_patch(before.unwrap_or_default(), self.text().unwrap_or_default()).to_string();
        for line in patch.lines().skip_while(|line| !line.starts_with("@@")) {
            let style = match line.chars().next() {
                Some('+') => AnsiColor::Green.on_default(),
                Some('-') => AnsiColor::Red.on_default(),
                Some('@') => AnsiColor::Cyan.on_default(),
                _ => anstyle::Style::new(),
            };
            anstream::println!("{}", styled(style, line));
        }
    }
}
