//! Formatting what was generated: without a region, or with a longer name, lines are broken elsewhere.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::generate::Files;

/// The edition of the template.
const EDITION: &str = "2024";

/// How the template is formatted, and so what is generated from it.
const SETTINGS: &str = "max_width = 120\nuse_small_heuristics = \"Max\"\n";

/// Why the code was not formatted.
#[derive(Debug, thiserror::Error)]
pub enum RustfmtError {
    #[error("rustfmt can't be run, which is part of Rust: `rustup component add rustfmt` ({0})")]
    Missing(io::Error),
    #[error("rustfmt refuses the generated code, which is a mistake of this program:\n{0}")]
    Refused(String),
    #[error("the generated code can't be formatted in a temporary folder: {0}")]
    Io(#[from] io::Error),
}

/// Formats all Rust files, in a folder where they find each other's modules: by the host's `rustfmt.toml`, or ours.
pub fn format(files: &mut Files, settings: Option<&str>) -> Result<(), RustfmtError> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("rustfmt.toml"), settings.unwrap_or(SETTINGS))?;
    let mut sources: Vec<(PathBuf, &mut String)> = Vec::new();
    for (path, text) in files.iter_mut().filter(|(path, _)| path.ends_with(".rs")) {
        let path = folder.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text.as_bytes())?;
        sources.push((path, text));
    }
    if sources.is_empty() {
        return Ok(());
    }
    run(sources.iter().map(|(path, _)| path.as_path()))?;
    for (path, text) in sources {
        *text = fs::read_to_string(path)?;
    }
    Ok(())
}

/// A file of the host's after a change: formatted if it was so before.
pub fn keep_formatted(before: &str, after: String, settings: Option<&str>) -> Result<String, RustfmtError> {
    if formatted(before, settings)? == before { formatted(&after, settings) } else { Ok(after) }
}

/// Through a pipe: in a folder, rustfmt would look for the files of modules.
fn formatted(text: &str, settings: Option<&str>) -> Result<String, RustfmtError> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("rustfmt.toml"), settings.unwrap_or(SETTINGS))?;
    let mut child = Command::new("rustfmt")
        .args(["--edition", EDITION, "--config-path"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(RustfmtError::Missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(RustfmtError::Refused(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<(), RustfmtError> {
    let output = Command::new("rustfmt")
        .args(["--edition", EDITION])
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .map_err(RustfmtError::Missing)?;
    if output.status.success() {
        return Ok(());
    }
    Err(RustfmtError::Refused(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_is_formatted_and_nothing_else() {
        let mut files = Files::from([
            ("src/lib.rs".to_owned(), "mod  a;\n".to_owned()),
            ("src/a.rs".to_owned(), "fn  a( ) { }\n".to_owned()),
            ("a.sql".to_owned(), "SELECT  1\n".to_owned()),
        ]);
        format(&mut files, None).expect("formatted");
        assert_eq!(files["src/lib.rs"], "mod a;\n");
        assert_eq!(files["src/a.rs"], "fn a() {}\n");
        assert_eq!(files["a.sql"], "SELECT  1\n");
    }

    #[test]
    fn a_changed_file_is_formatted_if_it_was_so() {
        let after = "mod a;\nfn b( ) { }\n".to_owned();
        assert_eq!(keep_formatted("mod a;\n", after.clone(), None).expect("kept"), "mod a;\nfn b() {}\n");
        assert_eq!(keep_formatted("mod  a;\n", after.clone(), None).expect("kept"), after);
    }

    #[test]
    fn what_is_no_rust_is_refused() {
        let mut files = Files::from([("src/lib.rs".to_owned(), "fn {\n".to_owned())]);
        assert!(matches!(format(&mut files, None), Err(RustfmtError::Refused(_))));
    }
}
