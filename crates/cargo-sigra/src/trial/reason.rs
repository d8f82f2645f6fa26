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

/// The dependency of the host's own that a chain of requirements begins with: the last but one in it.
fn asked_by(chain: &str) -> Option<String> {
    let mut names = chain.lines().filter_map(|line| {
        line.trim_start().strip_prefix("... which satisfies ")?;
        between(line, "dependency `", "`")
            .map(|dependency| dependency.split([' ', '=']).next().unwrap_or_default().to_owned())
    });
    names.next_back()
}

/// The package that no version was found of.
fn name_of(said: &str) -> &str {
    between(said, "failed to select a version for `", "`").unwrap_or("which needs")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split_once(after).map(|(found, _)| found)
}
