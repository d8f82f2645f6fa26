//! Text as other people's editors leave it: with a byte order mark, with CRLF. It is changed without them, and
//! written back with them.

use std::{fs, io, path::Path};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, with `\n` at the end of each line, and what it takes to write it back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub text: String,
    has_byte_order_mark: bool,
    has_crlf: bool,
}

impl TextFile {
    pub fn read(path: &Path) -> io::Result<Self> {
        fs::read_to_string(path).map(|stored| Self::decode(&stored))
    }

    /// Nothing yet.
    pub fn new(has_crlf: bool) -> Self {
        Self { text: String::new(), has_byte_order_mark: false, has_crlf }
    }

    /// Whether its lines end in `\r\n`.
    pub fn has_crlf(&self) -> bool {
        self.has_crlf
    }

    /// Of a file whose lines end in several ways, most decide: it can't be written back as it was in any case.
    pub fn decode(stored: &str) -> Self {
        let text = stored.strip_prefix(BYTE_ORDER_MARK);
        let crlf = stored.matches("\r\n").count();
        Self {
            text: text.unwrap_or(stored).replace("\r\n", "\n"),
            has_byte_order_mark: text.is_some(),
            has_crlf: crlf > 0 && crlf * 2 > stored.matches('\n').count(),
        }
    }

    /// Another text in place of this one, as it is to be stored.
    pub fn encode(&self, text: &str) -> String {
        let text = if self.has_crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        if self.has_byte_order_mark { format!("{BYTE_ORDER_MARK}{text}") } else { text }
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
    fn places_in_a_script_are_places_in_its_file() {
        for text in ["#!/usr/bin/env cargo\nfn main() {}\n", "#![allow(dead_code)]\nfn main() {}\n", "fn main() {}\n"] {
            let file = parse_rust(text).expect("Rust");
            let span = file.items.last().expect("a function").span().byte_range();
            assert_eq!(&text[span], "fn main() {}");
        }
    }
}
