//! Text files with a byte order mark or CRLF. Texts are edited without these, and written back with them.

use std::{fs, io, path::Path};

use diffy::{DiffOptions, Line};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, with `\n` at the end of each line, and what is needed to write it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub text: String,
    has_byte_order_mark: bool,
    /// Whether each line ends in `\r\n`.
    lines: Vec<bool>,
    /// Whether new lines end in `\r\n`.
    has_crlf: bool,
}

impl TextFile {
    pub fn read(path: &Path) -> io::Result<Self> {
        fs::read_to_string(path).map(|stored| Self::decode(&stored))
    }

    /// Returns a new, empty file.
    pub fn new(has_crlf: bool) -> Self {
        Self { text: String::new(), has_byte_order_mark: false, lines: Vec::new(), has_crlf }
    }

    /// Returns whether its lines end in `\r\n`.
    pub fn has_crlf(&self) -> bool {
        self.has_crlf
    }

    /// Decodes a file. If line endings are mixed, new lines get the most frequent one.
    pub fn decode(stored: &str) -> Self {
        let text = stored.strip_prefix(BYTE_ORDER_MARK);
        let lines: Vec<bool> = stored.split_inclusive('\n').map(|line| line.ends_with("\r\n")).collect();
        Self {
            text: text.unwrap_or(stored).replace("\r\n", "\n"),
            has_byte_order_mark: text.is_some(),
            has_crlf: lines.iter().filter(|has_crlf| **has_crlf).count() * 2 > lines.len(),
            lines,
        }
    }

    /// Encodes a new text for this file. Each line that stays keeps its ending.
    pub fn encode(&self, text: &str) -> String {
        let is_mixed = self.lines.iter().any(|has_crlf| *has_crlf != self.has_crlf);
        let stored = match (is_mixed, self.has_crlf) {
            (true, _) => self.encode_lines(text),
            (false, true) => text.replace('\n', "\r\n"),
            (false, false) => text.to_owned(),
        };
        if self.has_byte_order_mark { format!("{BYTE_ORDER_MARK}{stored}") } else { stored }
    }

    fn encode_lines(&self, text: &str) -> String {
        let mut before = self.lines.iter().copied();
        let mut stored = String::new();
        let mut push = |line: &str, has_crlf: bool| match line.strip_suffix('\n') {
            Some(line) => stored.extend([line, if has_crlf { "\r\n" } else { "\n" }]),
            None => stored.push_str(line),
        };
        if text == self.text {
            text.split_inclusive('\n').zip(before).for_each(|(line, has_crlf)| push(line, has_crlf));
            return stored;
        }
        // With enough context that the only hunk is the whole file.
        let patch = DiffOptions::new().set_context_len(self.lines.len()).create_patch(&self.text, text);
        for line in patch.hunks().iter().flat_map(|hunk| hunk.lines()) {
            match line {
                Line::Context(line) => push(line, before.next().unwrap_or(self.has_crlf)),
                Line::Delete(_) => drop(before.next()),
                Line::Insert(line) => push(line, self.has_crlf),
            }
        }
        stored
    }
}

/// Parses Rust so that spans are offsets into this text. `syn` itself leaves out a `#!` line.
pub fn parse_rust(text: &str) -> syn::Result<syn::File> {
    match text.strip_prefix("#!") {
        Some(rest) if !rest.trim_start().starts_with('[') => {
            let end = text.find('\n').unwrap_or(text.len());
            syn::parse_file(&format!("{}{}", " ".repeat(end), &text[end..]))
        }
        _ => syn::parse_file(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::spanned::Spanned;

    #[test]
    fn byte_order_marks_and_line_endings_are_kept() {
        for stored in ["a\nb\n", "a\r\nb\r\n", "\u{feff}a\r\nb\r\n", "\u{feff}a\n", "", "a"] {
            let file = TextFile::decode(stored);
            assert!(!file.text.contains(['\r', '\u{feff}']), "{stored:?}");
            assert_eq!(file.encode(&file.text), stored);
        }
        assert_eq!(TextFile::decode("\u{feff}a\r\nb\r\n").encode("a\nmore\n"), "\u{feff}a\r\nmore\r\n");
    }

    #[test]
    fn mixed_line_endings_are_kept() {
        let stored = "a\r\nb\nc\r\nd\r\ne";
        let file = TextFile::decode(stored);
        assert_eq!(file.encode(&file.text), stored);
        assert_eq!(file.encode("a\nb\nnew\nd\ne"), "a\r\nb\nnew\r\nd\r\ne");
        assert_eq!(file.encode("new\na\nb\nc\nd\ne\n"), "new\r\na\r\nb\nc\r\nd\r\ne\r\n");
        let mostly_lf = TextFile::decode("a\nb\nc\r\nd\n");
        assert_eq!(mostly_lf.encode("a\nnew\nc\nd\n"), "a\nnew\nc\r\nd\n");
    }

    #[test]
    fn spans_in_a_script_are_offsets_in_its_file() {
        for text in ["#!/usr/bin/env cargo\nfn main() {}\n", "#![allow(dead_code)]\nfn main() {}\n", "fn main() {}\n"] {
            let file = parse_rust(text).expect("Rust");
            let span = file.items.last().expect("a function").span().byte_range();
            assert_eq!(&text[span], "fn main() {}");
        }
    }
}
