//! Explains why Cargo can't resolve the dependencies.

use super::copy::Copy;

/// Words in Cargo's message if a registry is unreachable.
const NETWORK_ERRORS: [&str; 8] = [
    "Could not resolve host",
    "Could not connect to",
    "Couldn't connect to",
    "Connection refused",
    "Timeout was reached",
    "network failure",
    "spurious network error",
    "download of config.json failed",
];

/// Returns the error in Cargo's output, with paths of the host instead of those of the copy.
pub fn message(stderr: &str, copy: &Copy) -> String {
    let from = stderr.find("error:").map_or(0, |at| at + "error:".len());
    copy.named(stderr[from..].trim())
}

pub fn is_network_error(said: &str) -> bool {
    NETWORK_ERRORS.iter().any(|words| said.contains(words))
}

pub fn is_links_conflict(said: &str) -> bool {
    said.contains("links to the native library")
}

/// Returns an explanation of which packages conflict and how to fix it. Empty if Cargo's message has to do.
pub fn explained(said: &str) -> String {
    let Some(library) = between(said, "links to the native library `", "`") else {
        return String::new();
    };
    // Cargo first names the package that can't have the library, then the one that already has it.
    let (wanted, existing) = said.split_once("which links to").unwrap_or((said, ""));
    let owner = |chain: &str| required_by(chain).unwrap_or_else(|| "another package".to_owned());
    let (wanted_by, existing_by) = (owner(wanted), owner(existing));
    let range = between(wanted, "versions that meet the requirements `", "`");
    let range = range.map(|range| format!(" ({} {range})", name_of(wanted))).unwrap_or_default();
    format!(
        ": `{wanted_by}`{range} and `{existing_by}` need different versions of the native library `{library}`, but a program \
         can have only one: change one of their versions so that they agree"
    )
}

/// Returns the host's own dependency at the start of a chain of requirements: the last one in it, preferably from a
/// registry.
fn required_by(chain: &str) -> Option<String> {
    let of_kind = |kind: &str| {
        let mut named = chain.lines().filter_map(|line| between(line, &format!("... which satisfies {kind} `"), "`"));
        named.next_back().and_then(|dependency| dependency.split([' ', '=']).next()).map(str::to_owned)
    };
    of_kind("dependency").or_else(|| of_kind("path dependency"))
}

/// Returns the package for which no version was found.
fn name_of(said: &str) -> &str {
    between(said, "failed to select a version for `", "`").unwrap_or("which needs")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: &str = "failed to select a version for `libsqlite3-sys`.
    ... required by package `sqlx-sqlite v0.9.0`
    ... which satisfies dependency `sqlx-sqlite = \"=0.9.0\"` of package `sqlx v0.9.0`
    ... which satisfies dependency `sqlx = \"^0.9\"` of package `web v0.1.0 (/srv/web)`
versions that meet the requirements `>=0.30.1, <0.38.0` are: 0.37.0

package `libsqlite3-sys` links to the native library `sqlite3`, but it conflicts with a previous package which links to \
`sqlite3` as well:
package `libsqlite3-sys v0.38.0`
    ... which satisfies dependency `libsqlite3-sys = \"^0.38.0\"` of package `rusqlite v0.40.0`
    ... which satisfies dependency `rusqlite = \"^0.40\"` of package `db v0.1.0 (/srv/db)`
    ... which satisfies path dependency `db` (locked to 0.1.0) of package `web v0.1.0 (/srv/web)`
";

    #[test]
    fn packages_that_link_the_same_library_are_named() {
        let explained = explained(LINKS);
        assert!(
            explained.starts_with(
                ": `sqlx` (libsqlite3-sys >=0.30.1, <0.38.0) and `rusqlite` need different versions of the native \
                 library `sqlite3`"
            ),
            "{explained}"
        );
        assert!(is_links_conflict(LINKS) && !is_network_error(LINKS));
    }

    #[test]
    fn other_reasons_are_left_to_cargos_message() {
        assert_eq!(explained("no matching package named `a` found"), "");
    }
}
