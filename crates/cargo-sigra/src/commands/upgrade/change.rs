//! Decides what an upgrade does to each file. It never loses the host's changes.

use diffy::{ConflictStyle, MergeOptions};

use toml_edit::DocumentMut;

use crate::{render::files::Files, system::text_file};

/// What an upgrade does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    /// The host didn't change it.
    Update,
    /// Both changed it, in different places.
    Merge,
    /// Both changed it, in the same place.
    Conflict,
    Remove,
    LeaveDeleted,
    LeaveUnneeded,
    LeaveMigration,
    /// Both changed it in the same place, and the file can't have the marks of a conflict.
    LeaveOwn,
    /// Both changed it in different places, and together the changes aren't valid Rust or TOML.
    LeaveUnmerged,
}

/// A file, what to do with it, its text before, and its text afterwards if it is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    pub kind: Kind,
    pub before: Option<String>,
    pub text: Option<String>,
}

/// The code that was generated.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// As it was written.
    pub written: &'a Files,
    /// Formatted like the host's code now: its settings may have changed since.
    pub formatted: &'a Files,
}

/// Returns the changes for everything that differs between the code that was generated and `newer`. `read` returns the
/// host's text.
pub fn all<E>(base: Base, newer: &Files, read: impl Fn(&str) -> Result<Option<String>, E>) -> Result<Vec<Change>, E> {
    let Base { written, formatted } = base;
    let added = newer.keys().filter(|path| !formatted.contains_key(*path));
    let mut paths: Vec<&String> = formatted.keys().chain(added).collect();
    paths.sort();
    let mut changes = Vec::new();
    for path in paths {
        let [written, formatted, newer] = [written, formatted, newer].map(|files| files.get(path).map(String::as_str));
        if formatted == newer {
            continue;
        }
        let host = read(path)?;
        if host.as_deref() == newer {
            continue;
        }
        // The host may not have formatted it again.
        let base = if host.as_deref() == written { written } else { formatted };
        if let Some((kind, text)) = change(path, base, newer, host.as_deref()) {
            changes.push(Change { path: path.clone(), kind, before: host, text });
        }
    }
    Ok(changes)
}

fn change(path: &str, base: Option<&str>, newer: Option<&str>, host: Option<&str>) -> Option<(Kind, Option<String>)> {
    // A database may already have run it, and that can't be undone.
    if path.ends_with(".sql") && base.is_some() {
        return Some((Kind::LeaveMigration, None));
    }
    match (base, newer, host) {
        (None, Some(newer), None) => Some((Kind::Create, Some(newer.to_owned()))),
        (Some(_), Some(_), None) => Some((Kind::LeaveDeleted, None)),
        (Some(base), Some(newer), Some(host)) if base == host => Some((Kind::Update, Some(newer.to_owned()))),
        (base, Some(newer), Some(host)) => Some(match merge(base.unwrap_or_default(), host, newer) {
            // Cargo reads it before anything else, so the marks of a conflict would break every command.
            (Kind::Conflict, _) if path.starts_with(".cargo/") => (Kind::LeaveOwn, None),
            // Such as a table of TOML with a key of both.
            (Kind::Merge, Some(text)) if !parses(path, &text) && parses(path, host) => (Kind::LeaveUnmerged, None),
            merged => merged,
        }),
        (Some(base), None, Some(host)) if base == host => Some((Kind::Remove, None)),
        (_, None, Some(_)) => Some((Kind::LeaveUnneeded, None)),
        (_, None, None) => None,
    }
}

fn merge(base: &str, host: &str, newer: &str) -> (Kind, Option<String>) {
    let merged = MergeOptions::new().set_conflict_style(ConflictStyle::Merge).merge(base, host, newer);
    match merged {
        Ok(text) => (Kind::Merge, Some(text)),
        Err(text) => (Kind::Conflict, Some(text)),
    }
}

fn parses(path: &str, text: &str) -> bool {
    match path.rsplit_once('.') {
        Some((_, "rs")) => text_file::parse_rust(text).is_ok(),
        Some((_, "toml")) => text.parse::<DocumentMut>().is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";
    const NEWER: &str = "one\ntwo\nthree\nfour\nfive, newer\n";

    fn of(path: &str, base: Option<&str>, newer: Option<&str>, host: Option<&str>) -> Option<(Kind, Option<String>)> {
        let files = |text: Option<&str>| text.map(|text| (path.to_owned(), text.to_owned())).into_iter().collect();
        let (written, newer): (Files, Files) = (files(base), files(newer));
        let base = Base { written: &written, formatted: &written };
        let changes = all(base, &newer, |_| Ok::<_, Infallible>(host.map(str::to_owned)));
        let Ok(mut changes) = changes;
        changes.pop().map(|change| (change.kind, change.text))
    }

    #[test]
    fn files_that_the_host_did_not_change_are_updated() {
        assert_eq!(of("a", Some(BASE), Some(NEWER), Some(BASE)), Some((Kind::Update, Some(NEWER.to_owned()))));
        assert_eq!(of("a", None, Some(NEWER), None), Some((Kind::Create, Some(NEWER.to_owned()))));
        assert_eq!(of("a", Some(BASE), None, Some(BASE)), Some((Kind::Remove, None)));
    }

    #[test]
    fn a_file_that_the_host_did_not_format_again_is_updated() {
        let files = |text: &str| Files::from([("a".to_owned(), text.to_owned())]);
        let (written, formatted, newer) = (files("a\n  b\n"), files("a\n\tb\n"), files("a\n\tb\n\tc\n"));
        let base = Base { written: &written, formatted: &formatted };
        for host in ["a\n  b\n", "a\n\tb\n"] {
            let Ok(changes) = all(base, &newer, |_| Ok::<_, Infallible>(Some(host.to_owned())));
            assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), [Kind::Update], "{host:?}");
        }
    }

    #[test]
    fn both_changes_are_kept() {
        let host = "one, mine\ntwo\nthree\nfour\nfive\n";
        let merged = "one, mine\ntwo\nthree\nfour\nfive, newer\n".to_owned();
        assert_eq!(of("a", Some(BASE), Some(NEWER), Some(host)), Some((Kind::Merge, Some(merged))));
    }

    #[test]
    fn a_conflict_is_marked_as_git_does() {
        let host = "one\ntwo\nthree\nfour\nfive, mine\n";
        let marked =
            "one\ntwo\nthree\nfour\n<<<<<<< ours\nfive, mine\n=======\nfive, newer\n>>>>>>> theirs\n".to_owned();
        assert_eq!(of("a", Some(BASE), Some(NEWER), Some(host)), Some((Kind::Conflict, Some(marked))));
        let (kind, text) = of("a", None, Some(NEWER), Some("mine\n")).expect("a change");
        let text = text.expect("a text");
        assert_eq!(kind, Kind::Conflict);
        assert!(text.contains("mine\n") && text.contains("five, newer\n"), "{text}");
    }

    #[test]
    fn the_hosts_own_changes_are_kept() {
        for (base, newer, host) in [
            (Some(BASE), Some(BASE), Some("mine")),
            (Some(BASE), Some(BASE), None),
            (Some(BASE), Some(NEWER), Some(NEWER)),
            (None, Some(NEWER), Some(NEWER)),
            (Some(BASE), None, None),
        ] {
            assert_eq!(of("a", base, newer, host), None);
        }
        assert_eq!(of("a", Some(BASE), Some(NEWER), None), Some((Kind::LeaveDeleted, None)));
        assert_eq!(of("a", Some(BASE), None, Some("mine")), Some((Kind::LeaveUnneeded, None)));
    }

    #[test]
    fn a_configuration_of_cargo_never_gets_the_marks_of_a_conflict() {
        let path = ".cargo/config.toml";
        let same_line = "one\ntwo\nthree\nfour\nfive, mine\n";
        for (base, host) in [(None, "mine"), (Some(BASE), same_line), (Some(BASE), "mine")] {
            assert_eq!(of(path, base, Some(NEWER), Some(host)), Some((Kind::LeaveOwn, None)), "{host}");
        }
        let other_line = "one, mine\ntwo\nthree\nfour\nfive\n";
        let merged = "one, mine\ntwo\nthree\nfour\nfive, newer\n".to_owned();
        assert_eq!(of(path, Some(BASE), Some(NEWER), Some(other_line)), Some((Kind::Merge, Some(merged))));
        assert_eq!(of(path, None, Some(NEWER), None), Some((Kind::Create, Some(NEWER.to_owned()))));
    }

    #[test]
    fn changes_that_are_invalid_together_leave_the_hosts_file() {
        let base = "[dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\nd = \"1\"\ne = \"1\"\n";
        let newer = format!("{base}new = \"2\"\n");
        let host = base.replace("[dependencies]\n", "[dependencies]\nnew = \"1\"\n");
        assert_eq!(of("Cargo.toml", Some(base), Some(&newer), Some(&host)), Some((Kind::LeaveUnmerged, None)));
        let text = of("notes.txt", Some(base), Some(&newer), Some(&host)).and_then(|(_, text)| text);
        assert!(text.is_some_and(|text| text.matches("new = ").count() == 2), "another file is merged");
        let broken = format!("]{host}");
        let (kind, _) = of("Cargo.toml", Some(base), Some(&newer), Some(&broken)).expect("a change");
        assert_eq!(kind, Kind::Merge, "it was invalid before");

        let base = "mod a;\n\nfn one() {}\n\nfn two() {}\n\nfn three() {}\n";
        let (newer, host) = (base.replace("three() {}", "three() {\n}"), base.replace("fn one() {}", "fn one() {"));
        assert_eq!(of("a.rs", Some(base), Some(&newer), Some(&host)).expect("a change").0, Kind::Merge);
    }

    #[test]
    fn migrations_are_only_added() {
        let path = "migrations/1.sql";
        assert_eq!(of(path, None, Some(NEWER), None), Some((Kind::Create, Some(NEWER.to_owned()))));
        assert_eq!(of(path, Some(BASE), Some(NEWER), Some(BASE)), Some((Kind::LeaveMigration, None)));
        assert_eq!(of(path, Some(BASE), None, Some(BASE)), Some((Kind::LeaveMigration, None)));
    }
}
