//! Each file in `locales/` translates every text of the code, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    str::FromStr,
};

use proc_macro2::{TokenStream, TokenTree};
use spiritless_po::Catalog;

/// A text of the code, and its form for many, if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Text {
    one: String,
    many: Option<String>,
    /// The names of the values that the code gives.
    values: BTreeSet<String>,
}

impl Text {
    /// Returns the names in all forms.
    fn names(&self) -> BTreeSet<&str> {
        names(&self.one).into_iter().chain(self.many.iter().flat_map(|many| names(many))).collect()
    }

    /// Returns the entry of a file that lacks this text.
    fn entry(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match &self.many {
            Some(many) => {
                format!("msgid {}\nmsgid_plural {}\nmsgstr[0] \"\"\nmsgstr[1] \"\"\n", quoted(&self.one), quoted(many))
            }
            None => format!("msgid {}\nmsgstr \"\"\n", quoted(&self.one)),
        }
    }
}

#[test]
fn every_text_has_the_values_that_it_names() {
    for text in texts() {
        let named: BTreeSet<String> = text.names().into_iter().map(str::to_owned).collect();
        assert_eq!(named, text.values, "{text:?}");
    }
}

#[test]
fn every_language_has_all_texts() {
    for (path, catalog) in catalogs() {
        let is_missing = |text: &&Text| !catalog.index().contains_key(&text.one);
        let missing: Vec<String> = texts().iter().filter(is_missing).map(Text::entry).collect();
        assert!(missing.is_empty(), "{path} lacks translations. Add:\n\n{}", missing.join("\n"));
    }
}

#[test]
fn no_language_has_other_texts() {
    let known: BTreeSet<String> = texts().into_iter().map(|text| text.one).collect();
    for (path, catalog) in catalogs() {
        let is_unknown = |text: &&String| !text.is_empty() && !known.contains(*text);
        let unknown: BTreeSet<&String> = catalog.index().keys().filter(is_unknown).collect();
        assert!(unknown.is_empty(), "{path} has translations of texts that are not in the code. Remove: {unknown:#?}");
    }
}

#[test]
fn every_translation_has_the_names_of_its_text() {
    for (path, catalog) in catalogs() {
        for text in texts() {
            let Some(entry) = catalog.index().get(&text.one) else { continue };
            let start = entry.string_table_index();
            let forms = &catalog.string_table()[start..start + entry.total_plurals() as usize];
            for form in forms {
                let (wanted, has): (_, BTreeSet<&str>) = (text.names(), names(form).into_iter().collect());
                let (adds, lacks) = (has.difference(&wanted).count(), wanted.difference(&has).count());
                // "One code" needs no number.
                let is_complete = lacks == 0 || text.many.is_some() && lacks == 1 && forms.len() > 1;
                assert!(adds == 0 && is_complete, "{path}: `{form}` must have the names of `{}`", text.one);
            }
            if text.many.is_some() {
                let forms_of_language = catalog.metadata()["Plural-Forms"].split(['=', ';']).nth(1);
                let count = forms_of_language.and_then(|count| count.trim().parse().ok());
                assert_eq!(Some(forms.len()), count, "{path}: forms of `{}`", text.one);
            }
        }
    }
}

/// Returns the files in `locales/`.
fn catalogs() -> BTreeMap<String, Catalog> {
    let paths = files("locales", "po");
    assert!(!paths.is_empty(), "`locales` has no file: to have only English, delete this test");
    let read = |(path, text): (String, String)| {
        let mut catalog = Catalog::new();
        catalog.add_str(&text).unwrap_or_else(|error| panic!("{path}: {:?}", error.error_messages()));
        (path, catalog)
    };
    paths.into_iter().map(read).collect()
}

/// Returns the texts of the code and of the templates.
fn texts() -> BTreeSet<Text> {
    let mut found = BTreeSet::new();
    for (path, text) in files("src", "rs") {
        let tokens = TokenStream::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        // The macros call each other, and their own tests have other texts.
        if path.starts_with("src/languages") {
            continue;
        }
        collect(tokens, &mut found);
        // <template>
        // Code that only some applications have is in comments.
        for commented in text.split("// <!").skip(1) {
            let region = commented.split("// </!").next().unwrap_or_default();
            let code: String = region.lines().skip(1).map(|line| line.trim().trim_start_matches("// ")).collect();
            collect(TokenStream::from_str(&code).unwrap_or_default(), &mut found);
        }
        // </template>
    }
    for (path, text) in files("templates", "html") {
        for code in text.split("{{").skip(1) {
            let code = code.split("}}").next().unwrap_or_default().trim_matches(['-', '~', '+']);
            let tokens = TokenStream::from_str(code).unwrap_or_else(|error| panic!("{path}: `{code}`: {error}"));
            collect(tokens, &mut found);
        }
    }
    assert!(found.len() > 50, "{found:?}");
    found
}

/// Collects the arguments of `t!`, `before!` and `after!`.
fn collect(tokens: TokenStream, found: &mut BTreeSet<Text>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let name = match index.checked_sub(2).map(|start| &tokens[start..index]) {
            Some([TokenTree::Ident(name), TokenTree::Punct(mark)]) if mark.as_char() == '!' => name.to_string(),
            _ => String::new(),
        };
        match &*name {
            "t" | "before" | "after" => found.insert(text(&name, group.stream())),
            _ => {
                collect(group.stream(), found);
                true
            }
        };
    }
}

fn text(name: &str, arguments: TokenStream) -> Text {
    let tokens: Vec<TokenTree> = arguments.clone().into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',');
    let (mut texts, mut values) = (Vec::new(), BTreeSet::new());
    for argument in tokens.split(is_comma).filter(|argument| !argument.is_empty()) {
        match argument {
            [TokenTree::Literal(literal)] => {
                let literal = syn::parse_str::<syn::LitStr>(&literal.to_string());
                texts.push(literal.unwrap_or_else(|error| panic!("{arguments}: {error}")).value());
            }
            [TokenTree::Ident(name), ..] => drop(values.insert(name.to_string())),
            _ => panic!("`{name}!({arguments})` has something else than texts and values"),
        }
    }
    let mut texts = texts.into_iter();
    let one = texts.next().unwrap_or_else(|| panic!("`{name}!({arguments})` has no text"));
    if name != "t" {
        // The page puts the value between both parts.
        values = names(&one).into_iter().map(str::to_owned).collect();
        assert_eq!(values.len(), 1, "`{name}!({arguments})` must have one name in braces");
    }
    Text { one, many: texts.next(), values }
}

/// Returns the names in braces.
fn names(text: &str) -> Vec<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

/// Returns the files with an extension below a folder, by their path.
fn files(folder: &str, extension: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("a path below it");
                let name = name.to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}
