//! An edit of a file.

use anstyle::AnsiColor;

use crate::system::terminal::{STRONG, styled};

/// A file to write, with its text before and after. Neither text has a byte order mark, and their lines end in `\n`:
/// the file on disk keeps its own.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The path relative to the package's folder, with `/` as separator.
    pub path: String,
    pub(super) before: Before,
    pub(super) after: After,
    pub(super) must_parse: bool,
}

/// What the file must contain before the edit.
#[derive(Clone, Debug)]
pub(super) enum Before {
    Nothing,
    Text(String),
    /// Anything: the file belongs to this program.
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

    /// Creates a file, which must not exist yet.
    pub fn create(path: &str, text: &str) -> Self {
        Self::new(path, Before::Nothing, After::Text(text.to_owned()))
    }

    pub fn change(path: &str, before: &str, after: String) -> Self {
        Self::new(path, Before::Text(before.to_owned()), After::Text(after))
    }

    pub fn remove(path: &str, before: &str) -> Self {
        Self::new(path, Before::Text(before.to_owned()), After::Nothing)
    }

    /// Writes a text file of this program, whether it exists or not.
    pub fn put(path: &str, text: String) -> Self {
        Self::new(path, Before::Anything, After::Text(text))
    }

    /// Writes a binary file of this program, whether it exists or not.
    pub fn put_bytes(path: &str, bytes: Vec<u8>) -> Self {
        Self::new(path, Before::Anything, After::Bytes(bytes))
    }

    /// Marks the text as containing conflicts that the host must resolve, so it need not parse.
    pub fn with_conflicts(self) -> Self {
        Self { must_parse: false, ..self }
    }

    /// Returns the new text of the file.
    pub fn text(&self) -> Option<&str> {
        if let After::Text(text) = &self.after { Some(text) } else { None }
    }

    /// Returns the new content of the file. `None` if the file is removed.
    pub fn content(&self) -> Option<&[u8]> {
        match &self.after {
            After::Nothing => None,
            After::Text(text) => Some(text.as_bytes()),
            After::Bytes(bytes) => Some(bytes),
        }
    }

    /// Prints the edit like `git diff`.
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
