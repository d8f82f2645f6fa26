//! Detects common passwords: those of lists of leaked ones, and long ones that are composed of common parts.
//!
//! Few leaked passwords have the 15 characters that the policy requires, so guessing programs compose longer ones:
//! `Password12345678`, `qwertyuiopasdfgh`, `letmeinletmein1`. This module splits a password into such parts in the way
//! that takes the fewest guesses. If they are too few, the password is common.

use std::{collections::HashSet, sync::LazyLock};

/// Leaked passwords, in lower case.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| entries(include_str!("common.txt")).collect());

/// Shorter words that common passwords are composed of.
static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| entries(include_str!("words.txt")).collect());

/// Words between other words.
const FILLERS: [&str; 30] = [
    "and", "are", "can", "for", "has", "her", "his", "how", "into", "is", "like", "me", "much", "my", "not", "now",
    "of", "one", "our", "she", "so", "that", "the", "this", "to", "was", "with", "you", "your", "yours",
];

/// Adjacent keys on English, German and French keyboards, and the alphabet. They are matched backward too.
const LINES: [&str; 24] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890-=",
    "!@#$%^&*()_+",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiop",
    "yxcvbnm,.-",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn,;:!",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik,",
    "9ol.",
    "0p;/",
    "!qaz",
    "@wsx",
];

/// A password that takes fewer guesses than two to this power is common.
const ENOUGH: u32 = 43;

/// How many characters of a password are examined at most, to bound the work.
const LONGEST: usize = 256;

/// The longest word that is looked up.
const LONGEST_WORD: usize = 24;

/// A password that repeats a unit of at most this many characters is common: `abcdabcdabcdabcd`.
const SHORT_UNIT: usize = 4;

/// How many guesses the parts of a password take, as powers of two.
mod guesses {
    pub const WORD: u32 = 12;
    /// A repeated word takes no more guesses: the number of repetitions is guessed with the word.
    pub const AGAIN: u32 = 0;
    pub const FILLER: u32 = 6;
    /// Adjacent keys or letters.
    pub const RUN: u32 = 7;
    /// A repeated character.
    pub const SAME: u32 = 5;
    pub const DIGIT: u32 = 3;
    pub const PUNCTUATION: u32 = 3;
    pub const LETTER: u32 = 5;
    pub const OTHER: u32 = 12;
}

fn entries(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines().filter(|line| !line.starts_with('#'))
}

/// Returns whether a password is common.
pub(super) fn is_common(password: &str) -> bool {
    let folded = password.to_lowercase();
    if COMMON.contains(folded.as_str()) {
        return true;
    }
    let chars: Vec<char> = folded.chars().collect();
    if let Some(unit) = repeated_unit(&chars)
        && (unit.len() <= SHORT_UNIT || COMMON.contains(unit.iter().collect::<String>().as_str()))
    {
        return true;
    }
    fewest_guesses(&chars[..chars.len().min(LONGEST)]) < ENOUGH
}

/// Returns the shortest unit that the password repeats at least twice, with the last repetition possibly cut.
fn repeated_unit(chars: &[char]) -> Option<&[char]> {
    let repeats = |len: &usize| chars.iter().zip(&chars[*len..]).all(|(a, b)| a == b);
    (1..=chars.len() / 2).find(repeats).map(|len| &chars[..len])
}

/// Returns the fewest guesses that a password takes over all ways to split it into parts, as a power of two.
fn fewest_guesses(chars: &[char]) -> u32 {
    let spellings = [chars.to_vec(), plain(chars, 'i'), plain(chars, 'l')];
    // The guesses for the rest of the password, from each position.
    let mut fewest = vec![0; chars.len() + 1];
    for at in (0..chars.len()).rev() {
        let single = guesses_of(chars[at]) + fewest[at + 1];
        let parts = parts_at(chars, &spellings, at).map(|(len, guesses)| guesses + fewest[at + len]);
        fewest[at] = parts.min().unwrap_or(single).min(single);
    }
    fewest[0]
}

/// Returns the parts that begin at a position, as (length, guesses).
fn parts_at<'a>(
    chars: &'a [char],
    spellings: &'a [Vec<char>; 3],
    at: usize,
) -> impl Iterator<Item = (usize, u32)> + 'a {
    let same = chars[at..].iter().take_while(|char| **char == chars[at]).count();
    let run = LINES.iter().map(|line| run_along(line, &chars[at..])).max().unwrap_or_default();
    let words = spellings.iter().flat_map(move |spelling| words_at(spelling, at));
    // Each part of a run is a run too: `123456` takes as many guesses as `123`.
    let of_runs = [(same, guesses::SAME), (run, guesses::RUN)].into_iter();
    of_runs.flat_map(|(longest, guesses)| (3..=longest).map(move |len| (len, guesses))).chain(words)
}

fn words_at(spelling: &[char], at: usize) -> impl Iterator<Item = (usize, u32)> {
    let rest = &spelling[at..];
    (2..=rest.len().min(LONGEST_WORD)).filter_map(move |len| {
        let word: String = rest[..len].iter().collect();
        if FILLERS.contains(&word.as_str()) {
            return Some((len, guesses::FILLER));
        }
        let is_word = len >= 4 && (WORDS.contains(word.as_str()) || COMMON.contains(word.as_str()));
        let was_before = || spelling[..at].windows(len).any(|before| before == &rest[..len]);
        is_word.then(|| (len, if was_before() { guesses::AGAIN } else { guesses::WORD }))
    })
}

/// Returns how many characters follow a line of keys, forward or backward.
fn run_along(line: &str, chars: &[char]) -> usize {
    let follow = |keys: &mut dyn Iterator<Item = char>| {
        let from_first = keys.skip_while(|key| *key != chars[0]);
        from_first.zip(chars).take_while(|(key, char)| key == *char).count()
    };
    follow(&mut line.chars()).max(follow(&mut line.chars().rev()))
}

fn guesses_of(char: char) -> u32 {
    match char {
        '0'..='9' => guesses::DIGIT,
        'a'..='z' => guesses::LETTER,
        _ if char.is_ascii() => guesses::PUNCTUATION,
        _ => guesses::OTHER,
    }
}

/// Replaces digits and signs by the letters that they look like. A 1 is an i or an l.
fn plain(chars: &[char], one: char) -> Vec<char> {
    let letter = |char: &char| match char {
        '0' => 'o',
        '1' | '!' | '|' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        char => *char,
    };
    chars.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the entries that are as long as the default policy requires.
    fn long(list: &'static str) -> impl Iterator<Item = &'static str> {
        entries(list).filter(|entry| entry.chars().count() >= 15)
    }

    /// OWASP ASVS 6.2.4: at least the 3,000 most common passwords that the policy would otherwise accept.
    #[test]
    fn invariant_15_thousands_of_common_passwords_are_as_long_as_the_policy_asks() {
        let list = include_str!("common.txt");
        assert!(long(list).count() >= 6000);
        for password in long(list) {
            assert!(is_common(password) && is_common(&password.to_uppercase()), "{password}");
        }
        let debris = |entry: &&str| entry.contains("&#") || !entry.is_ascii() || entry.len() < 8;
        assert_eq!(entries(list).find(debris), None);
        assert!(entries(include_str!("words.txt")).all(|word| word.chars().all(|char| char.is_ascii_lowercase())));
    }

    /// Returns passwords as guessing programs compose them.
    fn put_together() -> Vec<String> {
        let words = ["password", "qwerty", "letmein", "welcome", "dragon", "football", "iloveyou", "princess"];
        let mut put_together = Vec::new();
        for (number, word) in words.iter().enumerate() {
            for digits in (0..12_345_678).step_by(50_021) {
                put_together.push(format!("{word}{digits:0>8}"));
                put_together.push(format!("{digits:0>8}{word}!"));
            }
            for other in words.iter().skip(number + 1) {
                put_together.extend([
                    format!("{word}{other}"),
                    format!("{word}.{other}1"),
                    format!("{other}_{word}2026"),
                ]);
            }
            put_together.push(format!("my{word}is{word}"));
        }
        put_together.retain(|password| password.chars().count() >= 15);
        put_together
    }

    #[test]
    fn invariant_15_combinations_of_common_passwords_are_common() {
        let put_together = put_together();
        assert!(put_together.len() > 3000, "{}", put_together.len());
        for password in put_together {
            assert!(is_common(&password), "{password}");
        }
    }

    #[test]
    fn invariant_15_sequences_rows_repetitions_and_leet_are_common() {
        for password in [
            "123456789012345",
            "987654321098765",
            "abcdefghijklmnop",
            "zyxwvutsrqponmlkjihgfedcba",
            "qwertyuiopasdfgh",
            "qwertyuiopasdfghjkl",
            "lkjhgfdsaqwertyuiop",
            "zxcvbnmasdfghjkl",
            "azertyuiopqsdfgh",
            "qwertzuiopasdfgh",
            "1qaz2wsx3edc4rfv5tgb",
            "!qaz@wsx#edc$rfv",
            "1234567890abcdef",
            "111111111111112",
            "000000000000001",
            "passw0rdpassw0rd",
            "p@ssw0rdp@ssw0rd",
            "P4$$w0rd12345678",
            "1l0v3y0u1l0v3y0u",
            "trustno1trustno1",
            "changemechangeme1",
            "administrator1234",
            "password1234567",
            "iloveyousomuch1",
            "mypasswordispassword",
            "thequickbrownfox",
            "the quick brown fox",
            "correct horse battery staple",
            "CorrectHorseBatteryStaple",
        ] {
            assert!(is_common(password), "{password}");
        }
    }

    #[test]
    fn uncommon_words_are_not_a_common_password() {
        for password in [
            "tunnel walrus copper lantern",
            "magnet orchid puddle seventeen",
            "violet lantern over quiet water",
            "482901573648201",
            "xk7-qp2-vnd-84t",
            "dragon football princess monkey",
            "fünf große Bäume stehen im Wald",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }

    /// It takes milliseconds. Trying every combination of its letters would take years.
    #[test]
    fn a_long_password_is_checked_quickly() {
        let password: String = "1l0v3y0u".chars().cycle().take(1023).chain(['?']).collect();
        let begun = std::time::Instant::now();
        assert!(is_common(&password));
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }
}
