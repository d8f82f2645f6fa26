//! The file `.env`: settings for this machine only. Git ignores it.

use std::{collections::HashMap, fs, io};

use super::error::SettingsError;

const ENV_FILE: &str = ".env";

/// Replaces `$` while the file is parsed, to prevent variable substitution. It is a code point that never occurs in
/// text.
const DOLLAR: &str = "\u{fdd0}";

/// Reads the file. A missing file has no settings.
pub fn read() -> Result<HashMap<String, String>, SettingsError> {
    match fs::read_to_string(ENV_FILE) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => Err(SettingsError::EnvFile(error)),
    }
}

/// Takes values literally: `$` doesn't start a variable. Windows editors may put a byte order mark at the start.
fn parse(text: &str) -> Result<HashMap<String, String>, SettingsError> {
    let text = text.trim_start_matches('\u{feff}').replace('$', DOLLAR);
    let settings = dotenvy::from_read_iter(text.as_bytes()).map(|setting| match setting {
        Ok((name, value)) => Ok((name, value.replace(DOLLAR, "$"))),
        Err(dotenvy::Error::LineParse(rest, _)) => Err(SettingsError::EnvLine(line_that_ends_with(&text, &rest))),
        Err(dotenvy::Error::Io(error)) => Err(SettingsError::EnvFile(error)),
        Err(error) => Err(SettingsError::EnvFile(io::Error::other(error))),
    });
    settings.collect()
}

/// Returns the number of the line that couldn't be parsed.
fn line_that_ends_with(text: &str, rest: &str) -> usize {
    let rest = rest.lines().next().unwrap_or_default().trim_end();
    let is_it = |line: &str| !line.trim_start().starts_with('#') && line.trim_end().ends_with(rest);
    text.lines().position(is_it).map_or(1, |before| before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literal() {
        let text = "\u{feff}A=pa$$word\r\nB=\"A$AP <a@b.example>\" # a shop\nC='$1 ${A} #'\n\nexport D=${A}$\nE=\n";
        let settings = parse(text).expect("settings");
        for (name, value) in
            [("A", "pa$$word"), ("B", "A$AP <a@b.example>"), ("C", "$1 ${A} #"), ("D", "${A}$"), ("E", "")]
        {
            assert_eq!(settings[name], value, "{name}");
        }
    }

    #[test]
    fn an_invalid_line_is_named_by_its_number() {
        for (text, number) in [
            ("# a comment: b c\nA=b c", 2),
            ("A=b\n\nB=$c d\n", 3),
            ("no setting", 1),
            ("A=1\nB=\"open\nC=2\n", 2),
            ("A='x'\nB=pa\\$word", 2),
        ] {
            let error = parse(text).expect_err("no setting");
            assert!(matches!(error, SettingsError::EnvLine(line) if line == number), "{text}: {error}");
        }
    }
}
