//! Translates texts, and puts values into them.

use std::fmt::Display;

use super::current::current;

/// Returns a text in the current language. A text that its file lacks stays English.
pub fn translate(text: &'static str) -> &'static str {
    current().translate(text)
}

/// Returns the singular or plural text for a number, in the current language.
pub fn translate_plural(one: &'static str, many: &'static str, number: impl TryInto<usize>) -> &'static str {
    current().translate_plural(one, many, number.try_into().unwrap_or(usize::MAX))
}

/// Puts values in place of their names in braces. A value can itself contain braces.
pub fn interpolate(text: &str, values: &[(&str, &dyn Display)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let known = behind.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        match known {
            Some((value, after)) => {
                filled += &value.to_string();
                rest = after;
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled + rest
}

// <pages>
/// Returns what comes before and after the value in a text, in the current language.
pub fn split_at_value(text: &'static str) -> (&'static str, &'static str) {
    let text = translate(text);
    let (before, rest) = text.split_once('{').unwrap_or((text, ""));
    (before, rest.split_once('}').map_or("", |(_, after)| after))
}
// </pages>

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_replace_their_names_once() {
        let values: [(&str, &dyn Display); 2] = [("email", &"{count}@example.com"), ("count", &3)];
        assert_eq!(interpolate("{count} for {email}", &values), "3 for {count}@example.com");
        for text in ["{", "}", "{}", "{unknown} {", "{email", "no value"] {
            assert_eq!(interpolate(text, &values), text);
        }
    }

    // <pages>
    #[test]
    fn a_text_splits_at_its_value() {
        assert_eq!(split_at_value("Type {email} to continue"), ("Type ", " to continue"));
        assert_eq!(split_at_value("You are {email}"), ("You are ", ""));
    }
    // </pages>
}
