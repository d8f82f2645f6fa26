//! Renders the translations of an application: only those of texts that it has.

use std::collections::BTreeSet;

use super::files::Files;
use crate::template::texts::{self, TextError};

/// Removes the translations of texts that the application doesn't have.
pub fn keep_used(files: &mut Files) -> Result<(), TextError> {
    let mut used = BTreeSet::new();
    for (path, text) in files.iter() {
        used.extend(texts::calls(path, text)?.into_iter().filter_map(|call| call.texts.into_iter().next()));
    }
    for (_, text) in files.iter_mut().filter(|(path, _)| path.ends_with(".po")) {
        let entries = text.split("\n\n").filter(|entry| is_used(entry, &used));
        let kept: Vec<&str> = entries.map(str::trim_end).collect();
        *text = kept.join("\n\n") + "\n";
    }
    Ok(())
}

/// Returns whether an entry is the header or the translation of one of the texts.
fn is_used(entry: &str, used: &BTreeSet<String>) -> bool {
    key(entry).is_none_or(|text| text.is_empty() || used.contains(&text))
}

/// Returns the English text of an entry, which can be on several lines.
fn key(entry: &str) -> Option<String> {
    let mut lines = entry.lines().skip_while(|line| !line.starts_with("msgid "));
    let first = lines.next()?.strip_prefix("msgid ")?;
    let further = lines.take_while(|line| line.starts_with('"'));
    let parts = [first].into_iter().chain(further).map(|quoted| syn::parse_str::<syn::LitStr>(quoted.trim()));
    parts.map(|part| part.ok().map(|part| part.value())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translations_of_other_texts_are_left_out() {
        let header = "msgid \"\"\nmsgstr \"\"\n\"Language: de\\n\"";
        let of = |text: &str| format!("#. A comment.\nmsgid {text}\nmsgstr \"…\"");
        let (here, long) = (of("\"Log \\\"in\\\"\""), of("\"\"\n\"{n} \"\n\"code\""));
        let mut files = Files::from([
            ("src/a.rs".to_owned(), "t!(\"Log \\\"in\\\"\")".to_owned()),
            ("templates/a.html".to_owned(), "{{ t!(\"{n} code\", \"{n} codes\", n) }}".to_owned()),
            ("locales/de.po".to_owned(), [header, &here, &of("\"Log\""), &long].join("\n\n") + "\n"),
        ]);
        keep_used(&mut files).expect("files");
        assert_eq!(files["locales/de.po"], [header, &here, &long].join("\n\n") + "\n");
    }
}
