//! Refuses names that the generated code uses for something else. They are found in the template itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use toml_edit::{DocumentMut, Item};

use super::{
    files,
    read::{self, TemplateError, TemplateFile},
    rename,
};
use crate::{
    plan::{
        choices::Choices,
        names::{self, AppName, NameError},
        users::UserNames,
    },
    system::cargo::DEPENDENCY_TABLES,
};

/// The name of the template.
const TEMPLATE: &str = "my_app";

/// A module that is only imported by its full path, so an application can have the same name.
const APP: &str = "app";

/// Why a name can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TakenError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Refuses names of dependencies, modules and imports, which would be mistaken for the application's crate.
pub fn refuse_app(app: &AppName) -> Result<(), TakenError> {
    let files = read::files()?;
    let mut taken = dependencies(&files);
    taken.extend(modules(&files).filter(|module| *module != APP).map(str::to_owned));
    for file in files.iter().filter(|file| file.path.ends_with(".rs") && file.text.contains(TEMPLATE)) {
        let (words, _) = words_and_literals(&file.text);
        if let (true, Ok(syntax)) = (words.iter().any(|word| word == TEMPLATE), syn::parse_file(&file.text)) {
            Scope(&mut taken).visit_file(&syntax);
        }
    }
    if taken.contains(&app.ident()) { Err(NameError::Taken(app.package().to_owned()).into()) } else { Ok(()) }
}

/// Returns whether a module can't have this name, because Rust, its content or a dependency uses it.
pub fn is_taken_for_module(module: &str) -> Result<bool, TemplateError> {
    let files = read::files()?;
    Ok(modules(&files).any(|inner| inner == module)
        || names::reserved(module).is_some()
        || dependencies(&files).contains(module))
}

/// Refuses names of users that would give two things in the generated code the same name.
pub fn refuse_users(users: &UserNames, choices: &Choices) -> Result<(), TakenError> {
    if *users == UserNames::default() {
        return Ok(());
    }
    let mut files = read::files()?;
    files.retain(|file| files::is_kept(&file.path, choices));
    let code: Vec<Code> = files.iter().filter_map(|file| Code::of(users, file)).collect();
    let clash = code
        .iter()
        .find_map(|code| Renamed::of(&code.words).clash())
        .or_else(|| code.iter().flat_map(|code| &code.literals).find_map(|literal| clash_in_literal(users, literal)))
        .or_else(|| clash_of_tables(users, &files))
        .or_else(|| clash_of_paths(users, &files));
    match clash {
        Some(word) => {
            let (singular, plural) = (users.singular.clone(), users.plural.clone());
            Err(NameError::UserTaken { singular, plural, word }.into())
        }
        None => Ok(()),
    }
}

/// A Rust file.
struct Code {
    /// Its words, before and after renaming.
    words: Vec<(String, String)>,
    literals: Vec<String>,
}

impl Code {
    fn of(users: &UserNames, file: &TemplateFile) -> Option<Self> {
        file.path.ends_with(".rs").then(|| {
            let (before, literals) = words_and_literals(&file.text);
            let (after, _) = words_and_literals(&rename::users(users, &file.path, &file.text));
            Self { words: before.into_iter().zip(after).collect(), literals }
        })
    }
}

fn words_and_literals(text: &str) -> (Vec<String>, Vec<String>) {
    fn walk(tokens: TokenStream, found: &mut (Vec<String>, Vec<String>)) {
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => found.0.push(ident.to_string()),
                TokenTree::Literal(literal) => found.1.push(literal.to_string()),
                TokenTree::Group(group) => walk(group.stream(), found),
                TokenTree::Punct(_) => {}
            }
        }
    }
    let mut found = Default::default();
    walk(TokenStream::from_str(text).unwrap_or_default(), &mut found);
    found
}

/// Returns a clash in a string: a column or another table in a statement, or another page in a path.
fn clash_in_literal(users: &UserNames, literal: &str) -> Option<String> {
    if users.has_users_table() {
        return None;
    }
    let is_word = |word: &&str| *word == users.plural;
    let begins = literal.strip_prefix("\"/").and_then(|path| path.split(['/', '"', '?', '#']).next());
    let mut words = literal.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_statement = literal.contains("SELECT ") || literal.contains("UPDATE ") || literal.contains("DELETE ");
    let has_table = literal.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == "users");
    let is_taken =
        begins.as_ref().is_some_and(is_word) || is_statement && has_table && words.any(|word| is_word(&word));
    is_taken.then(|| users.plural.clone())
}

/// Returns a clash of tables and indexes, which share one namespace.
fn clash_of_tables(users: &UserNames, files: &[TemplateFile]) -> Option<String> {
    let mut renamed = Renamed::default();
    for file in files.iter().filter(|file| file.path.ends_with(".sql")) {
        let names = |text: &str| -> Vec<String> {
            let made = text
                .split("CREATE ")
                .skip(1)
                .filter_map(|made| made.split_once("TABLE ").or_else(|| made.split_once("INDEX ")));
            made.filter_map(|(_, rest)| rest.split([' ', '\n']).next())
                .map(|name| name.trim_matches('"').to_owned())
                .collect()
        };
        let after = names(&rename::users(users, &file.path, &file.text));
        names(&file.text).into_iter().zip(after).for_each(|(before, after)| renamed.add(before, after));
    }
    renamed.clash()
}

/// Returns a clash of paths, regardless of case, because some file systems ignore it.
fn clash_of_paths(users: &UserNames, files: &[TemplateFile]) -> Option<String> {
    let mut renamed = Renamed::default();
    files
        .iter()
        .for_each(|file| renamed.add(file.path.clone(), rename::users_in_name(users, &file.path).to_lowercase()));
    renamed.clash()
}

/// The names before renaming, by the names afterwards.
#[derive(Default)]
struct Renamed(BTreeMap<String, BTreeSet<String>>);

impl Renamed {
    fn of<'a>(words: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        let mut renamed = Self::default();
        words.into_iter().for_each(|(before, after)| renamed.add(before.clone(), after.clone()));
        renamed
    }

    fn add(&mut self, before: String, after: String) {
        self.0.entry(after).or_default().insert(before);
    }

    /// Returns a name that two things have now.
    fn clash(self) -> Option<String> {
        self.0.into_iter().find(|(_, before)| before.len() > 1).map(|(after, _)| after)
    }
}

/// Returns the modules at the top of the crate.
fn modules(files: &[TemplateFile]) -> impl Iterator<Item = &str> {
    files.iter().filter_map(|file| file.path.strip_prefix("src/")?.strip_suffix(".rs"))
}

/// Returns the dependencies, by their names in code.
fn dependencies(files: &[TemplateFile]) -> BTreeSet<String> {
    let manifest = files.iter().find(|file| file.path == "Cargo.toml").and_then(|file| file.text.parse().ok());
    let doc: DocumentMut = manifest.unwrap_or_default();
    let tables = DEPENDENCY_TABLES.iter().filter_map(|table| doc.get(table).and_then(Item::as_table_like));
    tables.flat_map(|table| table.iter().map(|(name, _)| name.replace('-', "_"))).collect()
}

/// Collects modules and imports.
struct Scope<'a>(&'a mut BTreeSet<String>);

impl<'ast> Visit<'ast> for Scope<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.0.insert(module.ident.to_string());
        visit::visit_item_mod(self, module);
    }

    fn visit_use_name(&mut self, name: &'ast syn::UseName) {
        self.0.insert(name.ident.to_string());
    }

    fn visit_use_rename(&mut self, name: &'ast syn::UseRename) {
        self.0.insert(name.rename.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_can_not_have_the_name_of_something_it_uses() {
        for name in ["web", "database", "dotenvy", "axum", "tower-http", "config", "accounts", "sigra", "tempfile"] {
            let app = AppName::parse(name).expect("a name");
            assert!(matches!(refuse_app(&app), Err(TakenError::Name(NameError::Taken(_)))), "{name}");
        }
        for name in ["club", "photo-blog", "backend", "app", "shop", "users", "blog", "auth", "frontend", "site"] {
            let app = AppName::parse(name).expect("a name");
            refuse_app(&app).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn refused(singular: &str, plural: Option<&str>) -> Option<String> {
        let users = UserNames::parse(singular, plural).expect("names");
        match refuse_users(&users, &Choices::ALL) {
            Ok(()) => None,
            Err(TakenError::Name(NameError::UserTaken { word, .. })) => Some(word),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn users_can_not_have_the_name_of_another_type() {
        for singular in [
            "Form", "Path", "Result", "State", "Json", "Option", "Session", "Scope", "Error", "String", "Vec", "Some",
            "Email", "Url", "Password", "Router",
        ] {
            assert!(refused(singular, None).is_some(), "{singular}");
        }
        for singular in
            ["Member", "TeamMember", "Customer", "Person", "Player", "Student", "Employee", "Order", "Group"]
        {
            assert_eq!(refused(singular, None), None, "{singular}");
        }
    }

    #[test]
    fn the_table_can_not_have_the_name_of_another_table_or_path() {
        for table in
            ["users_tokens", "audit_events", "static", "dev", "me", "e", "t", "email", "audit_events_inserted_at"]
        {
            assert_eq!(refused("Member", Some(table)).as_deref(), Some(table));
        }
        for table in ["members", "member", "user", "users", "people", "order", "values", "select", "group"] {
            assert_eq!(refused("Member", Some(table)), None, "{table}");
        }
        assert_eq!(refused("User", Some("user")), None);
    }

    #[test]
    fn a_module_can_not_have_the_name_of_something_in_it() {
        for module in
            ["accounts", "mount", "config", "database", "web", "axum", "gen", "mod", "tower_http", "con", "std"]
        {
            assert!(is_taken_for_module(module).expect("the template"), "{module}");
        }
        for module in ["auth", "login", "user", "identity", "people"] {
            assert!(!is_taken_for_module(module).expect("the template"), "{module}");
        }
    }
}
