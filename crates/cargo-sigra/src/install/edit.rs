//! A file that is to be written, as it was and as it will be.

use std::{fs, path::Path};

use anstyle::AnsiColor;

use super::InstallError;
use crate::terminal::{STRONG, styled};

pub struct Edit {
    /// Below the host's folder.
    pub path: String,
    before: Option<String>,
    pub after: String,
}

impl Edit {
    pub fn create(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), before: None, after: text.to_owned() }
    }

    pub fn change(path: &str, before: &str, after: String) -> Self {
        Self { path: path.to_owned(), before: Some(before.to_owned()), after }
    }

    pub fn apply(&self, root: &Path) -> Result<(), InstallError> {
        let path = root.join(&self.path);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, &self.after)).map_err(|error| InstallError::Unwritable { path, error })
    }

    /// As `git diff` shows it.
    pub fn print_diff(&self) {
        let from = if self.before.is_some() { format!("a/{}", self.path) } else { "/dev/null".to_owned() };
        anstream::println!("{}", styled(STRONG, format!("--- {from}\n+++ b/{}", self.path)));
        let patch = diffy::create_patch(self.before.as_deref().unwrap_or_default(), &self.after).to_string();
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
