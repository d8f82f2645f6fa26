//! `docs/performance.md`: a page of sections, each rewritten by the benchmark that found its figures.

use std::{fs, io, path::Path};

use crate::{Result, machine};

const INTRODUCTION: &str = "# Performance

Programs in `bench/` measure all figures here, and each section has the command that wrote it. The ratios of one run on
one machine are comparable to those on other machines. The absolute numbers aren't.
";

/// The sections, in their order: the name of the program that writes it, and its heading.
const SECTIONS: [(&str, &str); 13] = [
    ("compare", "An authenticated request, compared to other libraries"),
    ("compare_details", "The comparison in detail"),
    ("compare_tokens", "Requests with a token"),
    ("two_cores", "Two workers, compared to one"),
    ("sqlite_reads", "Ways to look up a token in a SQLite file"),
    ("revocation", "A session deleted on another node"),
    ("scaling", "Ten million sessions, compared to ten thousand"),
    ("purge", "Reads while expired rows are purged"),
    ("argon2_libsodium", "A password hash, compared to libsodium"),
    ("argon2_c_reference", "A password hash, compared to the C reference implementation"),
    ("login_cost", "A login, compared to a bare password hash"),
    ("login_storm", "Pages during 256 logins"),
    ("timing", "Whether response times reveal accounts"),
];

/// What the programs need that are not built by default.
const FEATURES: [(&str, &str); 2] =
    [("argon2_libsodium", "--features libsodium "), ("argon2_c_reference", "--features c-reference ")];

/// Puts a program's figures into the page, which is made if it is not there.
pub fn write(page: &Path, program: &str, figures: &str) -> Result<()> {
    let text = match fs::read_to_string(page) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => INTRODUCTION.to_owned(),
        Err(error) => return Err(format!("{}: {error}", page.display()).into()),
    };
    Ok(fs::write(page, replace(&text, program, figures)?)?)
}

/// Shows a program's figures, and puts them into the page if there is to be one, with the run's circumstances.
pub fn publish(page: Option<&Path>, program: &str, figures: &str) -> Result<()> {
    println!("{figures}");
    match page {
        Some(page) => write(page, program, &format!("{figures}\n{}", circumstances(&command(program)))),
        None => Ok(()),
    }
}

/// What is said of a target.
#[must_use]
pub fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// What to say of a run besides its figures.
#[must_use]
pub fn circumstances(command: &str) -> String {
    format!(
        "Measured on {}, on {}, with {}:\n\n```sh\n{command}\n```\n",
        machine::today(),
        machine::describe(),
        machine::version("rustc")
    )
}

/// The command that this program was started with, as one types it in the repository.
#[must_use]
pub fn command(program: &str) -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    let features = FEATURES.iter().find(|(needs, _)| *needs == program).map_or("", |(_, features)| features);
    format!(
        "cargo run --release --manifest-path bench/Cargo.toml {features}--bin {program}{separator}{}",
        arguments.join(" ")
    )
}

/// The page with a section replaced, or added where its place is.
fn replace(page: &str, program: &str, figures: &str) -> Result<String> {
    let known = |name: &str| SECTIONS.iter().position(|(section, _)| *section == name);
    let at = known(program).ok_or_else(|| format!("no section is kept for {program}"))?;
    let section = format!("{}\n## {}\n\n{}\n{}\n", begin(program), SECTIONS[at].1, figures.trim_end(), end(program));
    if let (Some(from), Some(to)) = (page.find(&begin(program)), page.find(&end(program))) {
        let to = to + end(program).len() + 1;
        return Ok(format!("{}{section}{}", &page[..from], page.get(to..).unwrap_or_default()));
    }
    let next = SECTIONS[at + 1..].iter().find_map(|(later, _)| page.find(&begin(later)));
    let (before, after) = page.split_at(next.unwrap_or(page.len()));
    let gap = if after.is_empty() { "" } else { "\n" };
    Ok(format!("{}\n\n{section}{gap}{after}", before.trim_end()))
}

fn begin(program: &str) -> String {
    format!("<!-- written by bench {program} -->")
}

fn end(program: &str) -> String {
    format!("<!-- end of bench {program} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_in_its_place_and_then_replaced() {
        let page = replace("# Title\n", "purge", "first").unwrap();
        let page = replace(&page, "compare", "second").unwrap();
        assert!(page.find("second").unwrap() < page.find("first").unwrap());
        let page = replace(&page, "purge", "third").unwrap();
        assert!(page.contains("second") && page.contains("third") && !page.contains("first"));
        assert_eq!(replace(&page, "purge", "third").unwrap(), page);
    }

    #[test]
    fn what_stands_between_sections_stays() {
        let page = replace("# Title\n\nBy hand.\n", "compare", "figures").unwrap() + "\nBy hand too.\n";
        let page = replace(&page, "compare", "others").unwrap();
        assert!(page.starts_with("# Title\n\nBy hand.\n\n") && page.ends_with("\nBy hand too.\n"));
    }
}
