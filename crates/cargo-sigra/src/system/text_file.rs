//! Text as other people's editors leave it: with a byte order mark, with CRLF. It is changed without them, and
//! written back with them.

use std::{fs, io, path::Path};

use diffy::{DiffOptions, Line};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, with `\n` at the end of each line, and what it takes to write it back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub text: String,
    has_byte_order_mark: bool,
    /// Whether each line ends in `\r\n`.
    lines: Vec<bool>,
    /// Whether new ones do.
    has_crlf: bool,
}

impl TextFile {
    pub fn read(path: &Path) -> io::Result<Self> {
        fs::read_to_string(path).map(|stored| Self::decode(&stored))
    }

    /// Nothing yet.
    pub fn new(has_crlf: bool) -> Self {
        Self { text: String::new(), has_byte_order_mark: false, lines: Vec::new(), has_crlf }
    }

    /// Whether its lines end in `\r\n`.
    pub fn has_crlf(&self) -> bool {
        self.has_crlf
    }

    /// Where lines end in several ways, new ones end as most do.
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

    /// Another text in place of this one, as it is to be stored: each line that stays ends as it did.
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
        // With all lines around a change, so that the one hunk is the whole file.
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

/// Parses Rust so that spans are offsets into this very text: `syn` leaves a `#!` line out of them.
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
    fn what_an_editor_has_put_there_stays() {
        for stored in ["a\nb\n", "a\r\nb\r\n", "\u{feff}a\r\nb\r\n", "\u{feff}a\n", "", "a"] {
            let file = TextFile::decode(stored);
            assert!(!file.text.contains(['\r', '\u{feff}']), "{stored:?}");
            assert_eq!(file.encode(&file.text), stored);
        }
        assert_eq!(TextFile::decode("\u{feff}a\r\nb\r\n").encode("a\nmore\n"), "\u{feff}a\r\nmore\r\n");
    }

    #[test]
    fn lines_that_end_in_several_ways_stay_as_they_are() {
        let stored = "a\r\nb\nc\r\nd\r\ne";
        let file = TextFile::decode(stored);
        assert_eq!(file.encode(&file.text), stored);
        assert_eq!(file.encode("a\nb\nnew\nd\ne"), "a\r\nb\nnew\r\nd\r\ne");
        assert_eq!(file.encode("new\na\nb\nc\nd\ne\n"), "new\r\na\r\nb\nc\r\nd\r\ne\r\n");
        let mostly_lf = TextFile::decode("a\nb\nc\r\nd\n");
        assert_eq!(mostly_lf.encode("a\nnew\nc\nd\n"), "a\nnew\nc\r\nd\n");
    }

    #[test]
    fn places_in_a_script_are_places_in_its_file() {
        for text in ["#!/usr/bin/env cargo\nfn main() {}\n", "#![allow(dead_code)]\nfn main() {}\n", "fn main() {}\n"] {
            let file = parse_rust(text).expect("Rust");
            let span = file.items.last().expect("a function").span().byte_range();
            assert_eq!(&text[span], "fn main() {}");
        }
    }
}
