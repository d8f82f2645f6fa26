//! Formats generated code, because removing regions and renaming change where lines break.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::files::Files;
use crate::system::text_file::TextFile;

/// The edition of the template.
const EDITION: &str = "2024";

/// The formatting of the template, and of new applications.
const SETTINGS: &str = "max_width = 120\nuse_small_heuristics = \"Max\"\n";

/// Why the code was not formatted.
#[derive(Debug, thiserror::Error)]
pub enum RustfmtError {
    #[error("can't run rustfmt: {0}. Install it with `rustup component add rustfmt`")]
    Missing(io::Error),
    #[error("rustfmt doesn't accept the settings in your rustfmt.toml: {0}")]
    Settings(String),
    #[error("rustfmt refuses the generated code, which is a bug in cargo-sigra:\n{0}")]
    Refused(String),
    #[error("can't format the generated code in a temporary folder: {0}")]
    Io(#[from] io::Error),
}

/// Returns the `rustfmt.toml` of an application: that of the first folder that has one, or an empty one.
pub fn settings(folders: &[&Path]) -> String {
    let names = ["rustfmt.toml", ".rustfmt.toml"];
    let mut paths = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    paths.find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default()
}

/// Formats all Rust files with the host's `rustfmt.toml`, or ours.
pub fn format(files: &mut Files, settings: Option<&str>) -> Result<(), RustfmtError> {
    match (format_by(files, settings.unwrap_or(SETTINGS)), settings) {
        (Err(RustfmtError::Refused(message)), Some(_)) if format_by(&mut files.clone(), "").is_ok() => {
            Err(RustfmtError::Settings(message))
        }
        (result, _) => result,
    }
}

/// Formats all Rust files. If the host's settings are invalid, uses rustfmt's defaults and returns the error as a
/// warning. Fails without rustfmt, because an upgrade couldn't compare unformatted code.
pub fn format_with_fallback(files: &mut Files, settings: Option<&str>) -> Result<Option<RustfmtError>, RustfmtError> {
    match format(files, settings) {
        Ok(()) => Ok(None),
        Err(error @ (RustfmtError::Missing(_) | RustfmtError::Io(_))) => Err(error),
        Err(error @ RustfmtError::Settings(_)) => format_by(files, "").map(|()| Some(error)),
        Err(error @ RustfmtError::Refused(_)) => Ok(Some(error)),
    }
}

/// Formats the files in a temporary folder, where they find each other's modules.
fn format_by(files: &mut Files, settings: &str) -> Result<(), RustfmtError> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("rustfmt.toml"), settings)?;
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
        // Settings can ask for other line endings, but texts in memory have only `\n`.
        *text = TextFile::read(&path)?.text;
    }
    Ok(())
}

/// Formats a file of the host after a change, if it was formatted before.
pub fn keep_formatted(before: &str, after: String, settings: Option<&str>) -> String {
    let was_formatted = formatted(before, settings).is_ok_and(|formatted| formatted == before);
    if was_formatted { formatted(&after, settings).unwrap_or(after) } else { after }
}

/// Formats a text through a pipe. In a folder, rustfmt would search for the files of modules.
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
    Ok(TextFile::decode(&String::from_utf8_lossy(&output.stdout)).text)
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
    fn only_rust_is_formatted() {
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
    fn a_changed_file_is_formatted_if_it_was_formatted_before() {
        let after = "mod a;\nfn b( ) { }\n".to_owned();
        assert_eq!(keep_formatted("mod a;\n", after.clone(), None), "mod a;\nfn b() {}\n");
        assert_eq!(keep_formatted("mod  a;\n", after.clone(), None), after);
        let crlf = Some("newline_style = \"Windows\"\n");
        assert_eq!(keep_formatted("mod a;\n", after.clone(), crlf), "mod a;\nfn b() {}\n");
        assert_eq!(keep_formatted("mod a;\n", after.clone(), Some("max_width = \"wide\"\n")), after);
        assert_eq!(keep_formatted("mod a;\n", "no Rust".to_owned(), None), "no Rust");
    }

    #[test]
    fn invalid_rust_is_refused() {
        let mut files = Files::from([("src/lib.rs".to_owned(), "fn {\n".to_owned())]);
        assert!(matches!(format(&mut files, None), Err(RustfmtError::Refused(_))));
        assert!(matches!(format(&mut files, Some("")), Err(RustfmtError::Refused(_))));
    }

    #[test]
    fn invalid_settings_fall_back_to_the_defaults() {
        let files = Files::from([("src/lib.rs".to_owned(), "fn  a( ) { }\n".to_owned())]);
        for (settings, is_reported) in [
            ("max_width = \"wide\"\n", true),
            ("edition = \"2030\"\n", true),
            ("not TOML", true),
            ("imports_granularity = \"Crate\"\nwrap_comments = true\n", false),
            ("newline_style = \"Windows\"\n", false),
        ] {
            let mut formatted = files.clone();
            let error = format_with_fallback(&mut formatted, Some(settings)).expect("rustfmt");
            assert_eq!(formatted["src/lib.rs"], "fn a() {}\n", "{settings}");
            assert_eq!(matches!(error, Some(RustfmtError::Settings(_))), is_reported, "{settings}");
        }
    }
}
