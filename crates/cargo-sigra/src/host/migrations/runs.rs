//! Finds which migrations the code runs: `sqlx::migrate!("…")`, and other tools.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{paths::normalized, sqlx_toml, workspace::Member};
use crate::system::text_file::TextFile;

/// Folders of a package whose code isn't part of its binaries.
const NOT_IN_PROGRAMS: [&str; 4] = ["target", "tests", "benches", "examples"];

/// A folder of migrations, and the file that runs them.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub source: PathBuf,
    pub folder: PathBuf,
}

/// A tool other than sqlx that creates tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Diesel,
    Refinery,
    SeaOrm,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Diesel => "Diesel",
            Self::Refinery => "Refinery",
            Self::SeaOrm => "SeaORM",
        })
    }
}

impl Tool {
    pub fn of(member: &Member) -> Vec<Self> {
        let depends_on = |names: &[&str]| member.dependencies.iter().any(|(name, _)| names.contains(&name.as_str()));
        let tools = [
            (Self::Diesel, depends_on(&["diesel", "diesel-async", "diesel_migrations"])),
            (Self::Refinery, depends_on(&["refinery"])),
            (Self::SeaOrm, depends_on(&["sea-orm", "sea-orm-migration"])),
        ];
        tools.into_iter().filter_map(|(tool, is_there)| is_there.then_some(tool)).collect()
    }

    /// Returns the folders that its migrations can be in.
    pub fn folders(self, root: &Path) -> Vec<PathBuf> {
        match self {
            Self::Diesel => root.ancestors().take(3).map(|folder| folder.join("migrations")).collect(),
            Self::Refinery | Self::SeaOrm => Vec::new(),
        }
    }
}

/// Returns the migrations that a package runs, outside its tests.
pub fn of(member: &Member) -> Vec<Run> {
    if !member.dependencies.iter().any(|(name, _)| name == "sqlx") {
        return Vec::new();
    }
    let default = sqlx_toml::default_folder(&member.root);
    let mut runs = Vec::new();
    for source in sources(&member.root) {
        let Ok(file) = TextFile::read(&source) else { continue };
        let Ok(tokens) = file.text.trim_start_matches("#!/").parse::<TokenStream>() else { continue };
        for named in named_in(tokens) {
            let named = named.as_deref().unwrap_or(&default);
            // Paths that are read at run time are relative to the folder that the program runs in.
            let folders = [&member.root, &member.workspace].map(|root| normalized(&root.join(named)));
            let folder = folders.iter().find(|folder| folder.is_dir()).unwrap_or(&folders[0]).clone();
            runs.push(Run { source: source.clone(), folder });
        }
    }
    runs
}

/// Returns all source files of a package's binaries, without packages in subfolders.
pub fn sources(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_other = path.join("Cargo.toml").exists() || NOT_IN_PROGRAMS.contains(&name.as_str());
            if path.is_dir() && !is_other && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "build.rs" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns the folders that a file names. `None` stands for the default folder.
fn named_in(tokens: TokenStream) -> Vec<Option<String>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match (token, tokens.get(at + 1), tokens.get(at + 2)) {
            (TokenTree::Punct(hash), Some(TokenTree::Group(attribute)), _)
                if hash.as_char() == '#' && is_for_tests(&attribute.stream()) =>
            {
                at = end_of_item(&tokens, at + 2);
                continue;
            }
            (TokenTree::Ident(name), Some(TokenTree::Punct(bang)), Some(TokenTree::Group(folder)))
                if *name == "migrate" && bang.as_char() == '!' =>
            {
                found.push(first_text(&folder.stream()));
                at += 2;
            }
            (TokenTree::Ident(name), ..) if *name == "Migrator" => {
                if let (Some(TokenTree::Ident(new)), Some(TokenTree::Group(path))) =
                    (tokens.get(at + 3), tokens.get(at + 4))
                    && *new == "new"
                    && let Some(folder) = first_text(&path.stream())
                {
                    found.push(Some(folder));
                }
            }
            (TokenTree::Group(group), ..) => found.extend(named_in(group.stream())),
            _ => {}
        }
        at += 1;
    }
    found
}

/// Returns whether an attribute is `#[cfg(test)]`.
fn is_for_tests(attribute: &TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text.starts_with("cfg(") && text.contains("test") && !text.contains("not(test")
}

/// Returns the index after the braces or the semicolon of the item that begins here.
fn end_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(sign) => sign.as_char() == ';',
        _ => false,
    };
    tokens[from.min(tokens.len())..].iter().position(is_end).map_or(tokens.len(), |length| from + length + 1)
}

fn first_text(tokens: &TokenStream) -> Option<String> {
    tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Literal(literal) => {
            syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value())
        }
        TokenTree::Group(group) => first_text(&group.stream()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Vec<Option<String>> {
        named_in(source.parse().expect("tokens"))
    }

    #[test]
    fn folders_are_found_in_all_forms_of_calls() {
        for (source, folder) in [
            ("async fn f() { sqlx::migrate!().run(&pool).await?; }", None),
            ("static M: Migrator = sqlx::migrate!(\"./sql\");", Some("./sql")),
            ("async fn f() { migrate!(\"../db/migrations\").run(&pool).await }", Some("../db/migrations")),
            ("fn f() { tokio::select! { r = sqlx::migrate!(\"a\").run(p) => {} } }", Some("a")),
            ("fn f() { Migrator::new(Path::new(\"b\")) }", Some("b")),
        ] {
            assert_eq!(named(source), [folder.map(str::to_owned)], "{source}");
        }
    }

    #[test]
    fn migrations_in_tests_and_comments_are_ignored() {
        for source in [
            "#[cfg(test)] mod tests { fn f() { sqlx::migrate!(\"a\") } }",
            "#[cfg(test)] static M: Migrator = sqlx::migrate!();",
            "// sqlx::migrate!()\nfn migrate() { migrate(); }",
            "#[cfg(all(test, unix))] fn f() -> A { sqlx::migrate!() }",
        ] {
            assert_eq!(named(source), [], "{source}");
        }
        assert_eq!(named("#[cfg(test)] mod a { } fn f() { sqlx::migrate!() }").len(), 1);
    }
}
