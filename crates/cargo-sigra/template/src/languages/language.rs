//! The languages: English, and one for each file in `locales/`.

use std::{borrow::Cow, sync::LazyLock};

use rust_embed::Embed;
use spiritless_po::Catalog;

use super::error::LanguageError;

/// The entry of a file's header with the language's own name: `Deutsch`.
const NAME: &str = "X-Language-Name";

/// Languages that are written from right to left. A tag can also name such a script.
const RIGHT_TO_LEFT: [&str; 14] =
    ["ar", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi", "Arab", "Hebr"];

/// The language of the texts in the code.
pub static ENGLISH: Language = Language { tag: Cow::Borrowed("en"), name: Cow::Borrowed("English"), catalog: None };

static TRANSLATED: LazyLock<Result<Vec<Language>, LanguageError>> = LazyLock::new(read);

/// The translations are part of the program. A debug build reads them from the disk when it starts.
#[derive(Embed)]
#[folder = "locales/"]
struct Files;

/// A language that people can choose.
pub struct Language {
    /// Its tag (BCP 47), which is also the name of its file: `de` or `pt-BR`.
    pub tag: Cow<'static, str>,
    /// Its own name: `Deutsch`.
    pub name: Cow<'static, str>,
    /// The translations. `None` for English.
    catalog: Option<Catalog>,
}

impl Language {
    fn parse(path: &str, file: &[u8]) -> Result<Self, LanguageError> {
        let invalid = |mistake: &str| LanguageError { path: path.to_owned(), mistake: mistake.to_owned() };
        let text = str::from_utf8(file).map_err(|_| invalid("it isn't UTF-8"))?;
        // As editors and git write files on Windows.
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let mut catalog = Catalog::new();
        catalog.add_str(&text).map_err(|error| invalid(&error.error_messages().join(", ")))?;
        let name = catalog.metadata().get(NAME).filter(|name| !name.is_empty()).cloned();
        let name = name.ok_or_else(|| invalid("its header has no X-Language-Name, the language's own name"))?;
        let tag = path.trim_end_matches(".po").to_owned();
        Ok(Self { tag: tag.into(), name: name.into(), catalog: Some(catalog) })
    }

    /// Returns `rtl` for a language that is written from right to left, and `ltr` for others.
    pub fn direction(&self) -> &'static str {
        let is_rtl = |part: &str| RIGHT_TO_LEFT.iter().any(|known| known.eq_ignore_ascii_case(part));
        if self.tag.split('-').any(is_rtl) { "rtl" } else { "ltr" }
    }

    pub(super) fn translate(&'static self, text: &'static str) -> &'static str {
        self.catalog.as_ref().map_or(text, |catalog| catalog.gettext(text))
    }

    pub(super) fn translate_plural(
        &'static self,
        one: &'static str,
        many: &'static str,
        number: usize,
    ) -> &'static str {
        match &self.catalog {
            Some(catalog) => catalog.ngettext(one, many, number),
            None if number == 1 => one,
            None => many,
        }
    }
}

#[cfg(test)]
impl Language {
    pub fn for_tests(tag: &'static str) -> Self {
        Self { tag: tag.into(), name: tag.into(), catalog: None }
    }
}

/// Returns all languages, English first.
pub fn all() -> impl Iterator<Item = &'static Language> {
    [&ENGLISH].into_iter().chain(TRANSLATED.iter().flatten())
}

/// Returns the language with this tag.
pub fn find(tag: &str) -> Option<&'static Language> {
    all().find(|language| language.tag.eq_ignore_ascii_case(tag))
}

/// Fails if a file in `locales/` can't be read.
pub fn check() -> Result<(), &'static LanguageError> {
    TRANSLATED.as_ref().map(drop)
}

fn read() -> Result<Vec<Language>, LanguageError> {
    let mut paths: Vec<_> = Files::iter().filter(|path| path.ends_with(".po")).collect();
    paths.sort();
    paths.iter().filter_map(|path| Some(Language::parse(path, &Files::get(path)?.data))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_read() {
        check().unwrap_or_else(|error| panic!("{error}"));
    }

    const FILE: &str = "msgid \"\"\nmsgstr \"\"\n\"Plural-Forms: nplurals=3; plural=n==1 ? 0 : n%10>=2 && n%10<=4 ? 1 : 2;\\n\"\n\
        \"X-Language-Name: Polski\\n\"\n\n\
        msgid \"{n} code\"\nmsgid_plural \"{n} codes\"\nmsgstr[0] \"{n} kod\"\nmsgstr[1] \"{n} kody\"\nmsgstr[2] \"{n} kod\u{f3}w\"\n\n\
        #, fuzzy\nmsgid \"Log in\"\nmsgstr \"Zarejestruj\"\n";

    #[test]
    fn a_language_has_its_own_plurals() {
        for file in [FILE.to_owned(), format!("\u{feff}{}", FILE.replace('\n', "\r\n"))] {
            let language = Language::parse("pl.po", file.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
            let language: &'static Language = Box::leak(Box::new(language));
            assert_eq!((&*language.tag, &*language.name), ("pl", "Polski"));
            let codes = [0, 1, 2, 5, 22].map(|number| language.translate_plural("{n} code", "{n} codes", number));
            assert_eq!(codes, ["{n} kod\u{f3}w", "{n} kod", "{n} kody", "{n} kod\u{f3}w", "{n} kody"]);
            assert_eq!(language.translate("Log in"), "Log in", "a translation that is marked as doubtful isn't used");
            assert_eq!(language.translate("Unknown"), "Unknown");
        }
    }

    #[test]
    fn a_file_that_can_not_be_read_is_named() {
        let error = |file: &[u8]| Language::parse("pl.po", file).err().expect("an error").to_string();
        assert_eq!(error(b"\xff"), "can't read `locales/pl.po`: it isn't UTF-8");
        let nameless = error(FILE.replace("X-Language-Name", "X-Other").as_bytes());
        assert!(nameless.ends_with("its header has no X-Language-Name, the language's own name"), "{nameless}");
        for mistake in ["msgid \"unfinished", "nonsense", "msgid \"a\"\nmsgid \"b\""] {
            let error = error(format!("{FILE}\n{mistake}\n").as_bytes());
            assert!(error.starts_with("can't read `locales/pl.po`: "), "{error}");
        }
        assert!(error(FILE.replace("n==1 ?", "n==1 &").as_bytes()).contains("plural"), "the rule of plurals is wrong");
    }

    #[test]
    fn the_direction_of_a_language_is_known() {
        for (tag, direction) in
            [("en", "ltr"), ("de-AT", "ltr"), ("ar", "rtl"), ("fa-IR", "rtl"), ("he", "rtl"), ("az-arab", "rtl")]
        {
            assert_eq!(Language::for_tests(tag).direction(), direction, "{tag}");
        }
    }
}
