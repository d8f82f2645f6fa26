//! Renders an application without languages: its texts are plain, in English.

use std::collections::BTreeSet;

use crate::template::texts::{self, Call, Part, TextError, Value};

/// Returns a file whose texts are no longer translated.
pub fn plain(path: &str, text: &str) -> Result<String, TextError> {
    let in_page = !path.ends_with(".rs");
    let mut plain = text.to_owned();
    for call in texts::calls(path, text)?.into_iter().rev() {
        let written = if in_page { on_page(path, &call) } else { in_code(&call) };
        plain.replace_range(call.range, &written);
    }
    Ok(plain)
}

/// Returns an expression: the text, or `format!` with the values in it.
fn in_code(call: &Call) -> String {
    match (&call.texts[..], call.part) {
        ([one, many], _) => {
            let number = call.values.first().map_or("", |value| &value.code);
            format!("match {number} {{ 1 => {}, _ => {} }}", formatted(one, call), formatted(many, call))
        }
        ([text, ..], Part::Whole) if call.values.is_empty() => literal(text),
        ([text, ..], Part::Whole) => formatted(text, call),
        ([text, ..], Part::Before) => literal(split(text).0),
        ([text, ..], Part::After) => literal(split(text).1),
        ([], _) => String::new(),
    }
}

/// Returns an expression for a `String`. It gets only the values that are in the text.
fn formatted(text: &str, call: &Call) -> String {
    let names = names(text);
    let values = call.values.iter().filter(|value| names.contains(&*value.name));
    // A variable with the name of the value is captured.
    let named = values.filter(|Value { name, code }| name != code);
    let named: String = named.map(|Value { name, code }| format!(", {name} = {code}")).collect();
    if names.is_empty() {
        format!("{}.to_owned()", literal(text))
    } else {
        format!("format!({}{named})", literal(text))
    }
}

/// Returns the text as part of a page, with an expression for each value.
fn on_page(path: &str, call: &Call) -> String {
    let Some(text) = call.texts.first() else { return String::new() };
    let escape = |text: &str| if path.ends_with(".html") { escaped(text) } else { text.to_owned() };
    match call.part {
        Part::Before => escape(split(text).0),
        Part::After => escape(split(text).1),
        Part::Whole => call.values.iter().fold(escape(text), |text, Value { name, code }| {
            text.replace(&format!("{{{name}}}"), &format!("{{{{ {} }}}}", of_page(code)))
        }),
    }
}

/// Returns the code as pages write it: macros need `self.email`, where pages otherwise have `email`.
fn of_page(code: &str) -> &str {
    match code.strip_prefix("self.") {
        Some(field) if !field.contains('(') => field,
        _ => code,
    }
}

/// Escapes a text for a page, also for an attribute in double quotes. Apostrophes need none there.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Returns what comes before and after the value in a text.
fn split(text: &str) -> (&str, &str) {
    let (before, rest) = text.split_once('{').unwrap_or((text, ""));
    (before, rest.split_once('}').map_or("", |(_, after)| after))
}

/// Returns the names of the values in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_code_become_literals() {
        for (code, expected) in [
            (r#"f(t!("Log in"))"#, r#"f("Log in")"#),
            (r#"t!("Say \"hi\"\n")"#, r#""Say \"hi\"\n""#),
            (r#"t!("Hi {a}", a)"#, r#"format!("Hi {a}")"#),
            (r#"t!("Hi {a}", a = user.name)"#, r#"format!("Hi {a}", a = user.name)"#),
            (r#"before!("Type {a} now")"#, r#""Type ""#),
            (r#"after!("Type {a} now")"#, r#"" now""#),
            (
                r#"t!("One, {a}", "{n} more, {a}", n = self.n, a)"#,
                r#"match self.n { 1 => format!("One, {a}"), _ => format!("{n} more, {a}", n = self.n) }"#,
            ),
            (r#"t!("One", "{n}", n)"#, r#"match n { 1 => "One".to_owned(), _ => format!("{n}") }"#),
        ] {
            assert_eq!(plain("a.rs", code).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn texts_on_pages_become_text() {
        for (page, expected) in [
            ("<p>{{ t!(\"Don't\") }}</p>", "<p>Don't</p>"),
            ("<p title=\"{{ t!(\"a < \\\"b\\\" & c\") }}\">", "<p title=\"a &lt; &quot;b&quot; &amp; c\">"),
            ("{{ t!(\"To {to}, {x}\", to = mail.to, x) }}", "To {{ mail.to }}, {{ x }}"),
            ("{{ t!(\"As {a}, {b}\", a = self.email, b = self.b()) }}", "As {{ email }}, {{ self.b() }}"),
            ("{{ before!(\"Type {a} now\") }}<b>{{ a }}</b>{{ after!(\"Type {a} now\") }}", "Type <b>{{ a }}</b> now"),
        ] {
            assert_eq!(plain("a.html", page).as_deref(), Ok(expected));
        }
        assert_eq!(plain("mail/a.txt", "{{ t!(\"a < b\") }}").as_deref(), Ok("a < b"));
    }

    #[test]
    fn the_template_has_no_text_that_can_not_become_plain() {
        let mut found = 0;
        for file in crate::template::read::embedded() {
            found += texts::calls(&file.path, &file.text).unwrap_or_else(|error| panic!("{error}")).len();
            let plain = plain(&file.path, &file.text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(texts::calls(&file.path, &plain), Ok(Vec::new()), "{}", file.path);
        }
        assert!(found > 400, "{found}");
    }
}
