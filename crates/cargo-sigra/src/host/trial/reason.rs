//! What Cargo says when it finds no versions, in a sentence.

use super::copy::Copy;

/// What a request to a registry ends with that nobody answers.
const OF_NETWORK: [&str; 8] = [
    "Could not resolve host",
    "Could not connect to",
    "Couldn't connect to",
    "Connection refused",
    "Timeout was reached",
    "network failure",
    "spurious network error",
    "download of config.json failed",
];

/// The error, without what came before it, and about the host in place of its copy.
pub fn said(stderr: &str, copy: &Copy) -> String {
    let from = stderr.find("error:").map_or(0, |at| at + "error:".len());
    copy.named(stderr[from..].trim())
}

pub fn is_of_network(said: &str) -> bool {
    OF_NETWORK.iter().any(|words| said.contains(words))
}

pub fn is_of_links(said: &str) -> bool {
    said.contains("links to the native library")
}

/// Which packages are at odds, and what to do, after what is said of it. Nothing if Cargo's own words have to do.
pub fn explained(said: &str) -> String {
    let Some(library) = between(said, "links to the native library `", "`") else {
        return String::new();
    };
    // The package that can't have it is told first, then the one that has it already.
    let (wanted, there) = said.split_once("which links to").unwrap_or((said, ""));
    let owner = |chain: &str| asked_by(chain).unwrap_or_else(|| "another package".to_owned());
    let (wanted_by, there_by) = (owner(wanted), owner(there));
    let range = between(wanted, "versions that meet the requirements `", "`");
    let range = range.map(|range| format!(" ({} {range})", name_of(wanted))).unwrap_or_default();
    format!(
        ": `{wanted_by}`{range} and `{there_by}` each bring another version of the native library `{library}`, and a program \
         can have only one: change the version of one of the two so that they agree"
    )
}

/// The dependency of the host's own that a chain of requirements begins with: the last in it, and one from a registry if
/// there is any.
fn asked_by(chain: &str) -> Option<String> {
    let of_kind = |kind: &str| {
        let mut named = chain.lines().filter_map(|line| between(line, &format!("... which satisfies {kind} `"), "`"));
        named.next_back().and_then(|dependency| dependency.split([' ', '=']).next()).map(str::to_owned)
    };
    of_kind("dependency").or_else(|| of_kind("path dependency"))
}

/// The package that no version was found of.
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
                ": `sqlx` (libsqlite3-sys >=0.30.1, <0.38.0) and `rusqlite` each bring another version of the native \
                 library `sqlite3`"
            ),
            "{explained}"
        );
        assert!(is_of_links(LINKS) && !is_of_network(LINKS));
    }

    #[test]
    fn other_reasons_are_told_in_cargos_own_words() {
        assert_eq!(explained("no matching package named `a` found"), "");
    }
}
