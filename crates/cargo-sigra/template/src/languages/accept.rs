//! The header `Accept-Language` (RFC 9110 section 12.5.4): the languages that a browser asks for.

use std::cmp::Reverse;

use super::language::{Language, all};

/// How many languages of a header are read at most. Only an attacker would send more.
const MAX_RANGES: usize = 32;

/// Returns the language that a header prefers, if there is one of its languages.
pub fn from_accept_language(header: &str) -> Option<&'static Language> {
    let tags: Vec<&str> = all().map(|language| &*language.tag).collect();
    let chosen = choose(header, &tags)?;
    all().find(|language| language.tag == chosen)
}

/// Returns the tag that a header prefers. The first tag is the one for clients that accept all.
fn choose<'a>(header: &str, tags: &[&'a str]) -> Option<&'a str> {
    let mut ranges: Vec<(&str, u16)> = header.split(',').take(MAX_RANGES).filter_map(range).collect();
    let refused: Vec<&str> = ranges.iter().filter(|(_, weight)| *weight == 0).map(|(name, _)| *name).collect();
    ranges.retain(|(_, weight)| *weight > 0);
    ranges.sort_by_key(|(_, weight)| Reverse(*weight));
    let is_refused = |tag: &&&str| refused.iter().any(|name| name.eq_ignore_ascii_case(tag));
    let find = |name: &str| match name {
        "*" => tags.iter().find(|tag| !is_refused(tag)).copied(),
        name => look_up(name, tags),
    };
    ranges.into_iter().find_map(|(name, _)| find(name))
}

/// Parses `de-AT;q=0.8`, with the weight in thousandths. `None` for anything else.
fn range(text: &str) -> Option<(&str, u16)> {
    let (name, weight) = match text.split_once(';') {
        Some((name, weight)) => (name, weight.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?),
        None => (text, "1"),
    };
    let weight: f32 = weight.trim().parse().ok()?;
    let name = name.trim();
    let is_valid = !name.is_empty() && (0.0..=1.0).contains(&weight);
    is_valid.then_some((name, (weight * 1000.0) as u16))
}

/// Returns the tag for a name (RFC 4647 section 3.4): `de` for `de-AT`. If there is none, one of the same language:
/// `pt-BR` for `pt`.
fn look_up<'a>(name: &str, tags: &[&'a str]) -> Option<&'a str> {
    let mut shorter = name;
    loop {
        if let Some(tag) = tags.iter().find(|tag| tag.eq_ignore_ascii_case(shorter)) {
            return Some(tag);
        }
        match shorter.rsplit_once('-') {
            Some((begin, _)) => shorter = begin,
            None => break,
        }
    }
    let language = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    tags.iter().find(|tag| language(tag) == language(name)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: [&str; 4] = ["en", "de", "pt-BR", "zh-Hant"];

    #[test]
    fn the_language_with_the_highest_weight_is_chosen() {
        for (header, tag) in [
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("en;q=0.8, de;q=0.9", "de"),
            ("en, de", "en"),
            ("DE-ch", "de"),
            ("fr, de;q=0.2, en;q=0.1", "de"),
            ("de;q=0, en;q=0.1", "en"),
            ("pt", "pt-BR"),
            ("pt-PT", "pt-BR"),
            ("zh-Hant-TW", "zh-Hant"),
            ("fr, *;q=0.5", "en"),
            ("*, en;q=0", "de"),
            ("de ; q = 0.5 , en;q=0.4", "de"),
        ] {
            assert_eq!(choose(header, &TAGS), Some(tag), "{header}");
        }
    }

    #[test]
    fn nonsense_is_ignored() {
        for header in ["", ",", ";", "q=1", "fr", "de;q=2", "de;q=-1", "de;q=NaN", "de;level=1", "de;q=", "\u{e9}"] {
            assert_eq!(choose(header, &TAGS), None, "{header}");
        }
        assert_eq!(choose("de;q=x, en;q=0.1", &TAGS), Some("en"));
    }

    #[test]
    fn a_long_header_is_read_in_part() {
        assert_eq!(choose(&("xx,".repeat(100_000) + "de"), &TAGS), None);
        assert_eq!(choose(&"de-".repeat(100_000), &TAGS), Some("de"));
    }
}
