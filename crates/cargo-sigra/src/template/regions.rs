//! Regions of the template's files: lines between `<name>` and `</name>`, each on a separate line in a comment.
//!
//! A region is kept with its feature, and `<!name>` … `</!name>` without it. Code in the latter is commented out,
//! because the template compiles with all features, and uncommented if it is kept.

/// The syntax of comments in a kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comments {
    open: &'static str,
    close: &'static str,
}

impl Comments {
    /// Returns the syntax by the extension of a file. `None` for files without regions.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit('.').next().unwrap_or(name);
        let (open, close) = match extension {
            "rs" | "js" => ("//", ""),
            "sql" => ("--", ""),
            "toml" | "yaml" | "yml" | "gitignore" | "dockerignore" | "example" | "Dockerfile" => ("#", ""),
            "css" => ("/*", "*/"),
            "html" | "txt" => ("{#", "#}"),
            "md" => ("<!--", "-->"),
            _ => return None,
        };
        Some(Self { open, close })
    }

    /// Returns the text of a comment, if the line is one.
    fn content(self, line: &str) -> Option<&str> {
        let inside = line.trim().strip_prefix(self.open)?.strip_suffix(self.close)?;
        // Askama's signs against white space belong to the comment.
        let inside = if self.open == "{#" { inside.trim_start_matches('-').trim_end_matches('-') } else { inside };
        Some(inside)
    }

    /// Returns the line without its comment signs. Indentation inside the comment is kept.
    fn uncomment(self, line: &str) -> Option<String> {
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        let content = self.content(line)?;
        let content = content.strip_prefix(' ').unwrap_or(content);
        Some(format!("{indent}{}", content.trim_end()).trim_end().to_owned())
    }
}

/// A mistake in the template. Tests find it before users do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the template's `{path}`, line {line}: {mistake}")]
pub struct RegionError {
    path: String,
    line: usize,
    mistake: Mistake,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Mistake {
    #[error("`</{0}>` closes a region that isn't open")]
    NotOpen(String),
    #[error("`<{0}>` isn't closed")]
    NotClosed(String),
    #[error("unknown region `{0}`")]
    Unknown(String),
    #[error("code that is kept only without a feature must be commented out")]
    NotCommentedOut,
}

struct Region {
    /// The name in the marker, with `!` if the region is kept only without the feature.
    name: String,
    is_kept: bool,
    line: usize,
}

enum Marker<'a> {
    Open(&'a str),
    Close(&'a str),
}

/// Returns the text with the wanted regions and without markers. `is_kept` returns `None` for unknown names.
pub fn apply(path: &str, text: &str, is_kept: impl Fn(&str) -> Option<bool>) -> Result<String, RegionError> {
    let Some(comments) = Comments::of(path) else { return Ok(text.to_owned()) };
    let failed = |line: usize, mistake| RegionError { path: path.to_owned(), line: line + 1, mistake };
    let mut open: Vec<Region> = Vec::new();
    let mut kept = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        match comments.content(line).and_then(marker) {
            Some(Marker::Open(name)) => {
                let feature = name.trim_start_matches('!');
                let is_on = is_kept(feature).ok_or_else(|| failed(number, Mistake::Unknown(feature.to_owned())))?;
                open.push(Region { name: name.to_owned(), is_kept: is_on != name.starts_with('!'), line: number });
            }
            Some(Marker::Close(name)) => {
                if open.pop_if(|region| region.name == name).is_none() {
                    return Err(failed(number, Mistake::NotOpen(name.to_owned())));
                }
            }
            None => {
                let is_inverse = open.iter().any(|region| region.name.starts_with('!'));
                let line = if is_inverse && !line.trim().is_empty() {
                    comments.uncomment(line).ok_or_else(|| failed(number, Mistake::NotCommentedOut))?
                } else {
                    line.to_owned()
                };
                if open.iter().all(|region| region.is_kept) {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
        }
    }
    match open.pop() {
        Some(region) => Err(failed(region.line, Mistake::NotClosed(region.name))),
        None => Ok(kept),
    }
}

/// Parses a comment that contains only a marker.
fn marker(content: &str) -> Option<Marker<'_>> {
    let inside = content.trim().strip_prefix('<')?.strip_suffix('>')?;
    let (is_close, name) = match inside.strip_prefix('/') {
        Some(name) => (true, name),
        None => (false, inside),
    };
    let feature = name.strip_prefix('!').unwrap_or(name);
    let is_name = !feature.is_empty() && feature.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then_some(if is_close { Marker::Close(name) } else { Marker::Open(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(path: &str, text: &str, features: &[&str]) -> Result<String, String> {
        let known = ["mfa", "live", "pages"];
        let is_kept = |name: &str| known.contains(&name).then(|| features.contains(&name));
        apply(path, text, is_kept).map_err(|error| error.to_string())
    }

    #[test]
    fn a_region_is_removed_without_its_feature_and_markers_always() {
        let text = "a\n    // <live>\n    b\n    // </live>\nc\n";
        assert_eq!(with("a.rs", text, &["live"]).as_deref(), Ok("a\n    b\nc\n"));
        assert_eq!(with("a.rs", text, &[]).as_deref(), Ok("a\nc\n"));
    }

    #[test]
    fn code_that_is_kept_without_a_feature_is_uncommented() {
        let text = "// <live>\nlet a = 1;\n// </live>\n// <!live>\n//     let a = 2; // two\n\n// </!live>\n";
        assert_eq!(with("a.rs", text, &["live"]).as_deref(), Ok("let a = 1;\n"));
        assert_eq!(with("a.rs", text, &[]).as_deref(), Ok("    let a = 2; // two\n\n"));
        let html = "{# <!live> #}\n  {# <p>{{ name }}</p> #}\n{#- </!live> -#}\n";
        assert_eq!(with("a.html", html, &[]).as_deref(), Ok("  <p>{{ name }}</p>\n"));
    }

    #[test]
    fn regions_nest() {
        let text = "-- <pages>\n1\n-- <mfa>\n2\n-- </mfa>\n-- <!mfa>\n-- 3\n-- </!mfa>\n4\n-- </pages>\n";
        assert_eq!(with("a.sql", text, &["pages", "mfa"]).as_deref(), Ok("1\n2\n4\n"));
        assert_eq!(with("a.sql", text, &["pages"]).as_deref(), Ok("1\n3\n4\n"));
        assert_eq!(with("a.sql", text, &["mfa"]).as_deref(), Ok(""));
    }

    #[test]
    fn every_kind_of_file_has_its_comment_syntax() {
        for (path, text) in [
            ("a.js", "// <live>\nx\n// </live>\n"),
            ("a.sql", "-- <live>\nx\n-- </live>\n"),
            ("Cargo.toml", "# <live>\nx\n# </live>\n"),
            (".gitignore", "# <live>\nx\n# </live>\n"),
            ("a.css", "/* <live> */\nx\n/* </live> */\n"),
            ("mail/a.txt", "{# <live> #}\nx\n{# </live> #}\n"),
            ("README.md", "<!-- <live> -->\nx\n<!-- </live> -->\n"),
        ] {
            assert_eq!(with(path, text, &["live"]).as_deref(), Ok("x\n"), "{path}");
            assert_eq!(with(path, text, &[]).as_deref(), Ok(""), "{path}");
        }
        assert_eq!(with("icon.svg", "<live>\n", &[]).as_deref(), Ok("<live>\n"));
    }

    #[test]
    fn text_that_only_resembles_a_marker_is_kept() {
        let text = "// Vec<live> is a type\n// <live\n// < live >\nlet a: Vec<u8>;\n";
        assert_eq!(with("a.rs", text, &[]).as_deref(), Ok(text));
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (text, mistake) in [
            ("a\n// <live>\n", "the template's `a.rs`, line 2: `<live>` isn't closed"),
            ("// </live>\n", "the template's `a.rs`, line 1: `</live>` closes a region that isn't open"),
            (
                "// <live>\n// <mfa>\n// </live>\n",
                "the template's `a.rs`, line 3: `</live>` closes a region that isn't open",
            ),
            ("// <life>\n", "the template's `a.rs`, line 1: unknown region `life`"),
            (
                "// <!live>\nlet a = 1;\n// </!live>\n",
                "the template's `a.rs`, line 2: code that is kept only without a feature must be commented out",
            ),
        ] {
            assert_eq!(with("a.rs", text, &["live"]), Err(mistake.to_owned()));
        }
    }
}
