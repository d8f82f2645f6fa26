//! The code with which a user lets a program in from another device.

use std::fmt;

use crate::base::{error::Error, token::random_bytes};

/// The letters of a user code: no vowels, so that it isn't a word, and no digits that look like letters (RFC 8628
/// section 6.1). Eight of them have 34.5 bits of entropy, which the limit of attempts makes enough for ten minutes.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

const LETTERS_OF_CODE: usize = 8;

/// The code that a user reads on one device and enters on another: `BCDF-GHJK`. It is read in upper or lower case, with
/// or without anything between the letters.
///
/// ```
/// use sigra::oauth_server::UserCode;
///
/// let code = UserCode::parse("bcdf ghjk").expect("a code");
/// assert_eq!(code.to_string(), "BCDF-GHJK");
/// assert!(UserCode::parse("BCDF-GHJA").is_none(), "it has a vowel");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct UserCode([u8; LETTERS_OF_CODE]);

impl UserCode {
    /// Parses what a user entered. Returns `None` if it can't be a code.
    #[must_use]
    pub fn parse(entered: &str) -> Option<Self> {
        if entered.len() > 64 {
            return None;
        }
        let is_between = |c: &char| c.is_whitespace() || matches!(c, '-' | '–' | '.' | '_');
        let letters = entered.chars().filter(|c| !is_between(c)).map(|c| {
            let upper = u8::try_from(c.to_ascii_uppercase()).ok()?;
            LETTERS.contains(&upper).then_some(upper)
        });
        letters.collect::<Option<Vec<u8>>>()?.try_into().ok().map(Self)
    }

    pub(crate) fn generate() -> Result<Self, Error> {
        let mut letters = [0; LETTERS_OF_CODE];
        let mut filled = 0;
        while filled < LETTERS_OF_CODE {
            // A byte above the largest multiple of 20 is drawn again, so that all letters are equally likely.
            for byte in random_bytes::<16>()?.into_iter().filter(|byte| *byte < 240).take(LETTERS_OF_CODE - filled) {
                letters[filled] = LETTERS[usize::from(byte % 20)];
                filled += 1;
            }
        }
        Ok(Self(letters))
    }

    /// Returns the letters, without what is between them.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = std::str::from_utf8(&self.0).unwrap_or_default();
        write!(f, "{}-{}", &letters[..4], &letters[4..])
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_eight_consonants_however_it_is_written() {
        let code = UserCode::generate().expect("randomness");
        let shown = code.to_string();
        assert_eq!((shown.len(), &shown[4..5]), (9, "-"));
        assert!(shown.bytes().filter(|letter| *letter != b'-').all(|letter| LETTERS.contains(&letter)));
        for entered in [shown.to_lowercase(), shown.replace('-', ""), format!(" {} ", shown.replace('-', " – "))] {
            assert!(UserCode::parse(&entered) == Some(code.clone()), "{entered}");
        }
        for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ1", "BCDF-GHJÉ", &"B".repeat(100)] {
            assert!(UserCode::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{code:?}"), "UserCode([redacted])");
    }

    #[test]
    fn all_letters_of_user_codes_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::<u8, usize>::new();
        for _ in 0..2500 {
            UserCode::generate().expect("randomness").0.iter().for_each(|b| *counts.entry(*b).or_default() += 1);
        }
        // 20,000 letters: 1000 of each, plus or minus 31.
        assert!(counts.len() == 20 && counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
