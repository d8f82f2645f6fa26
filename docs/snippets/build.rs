//! Makes the Rust snippets of the guides complete, so that rustdoc can compile them.
//!
//! A guide shows only what it is about. What a snippet needs beside that is in a comment above it, which no reader
//! sees:
//!
//! ```md
//! <!-- compiled with
//! async fn example(sigra: Sigra<User>) {
//! ...
//! }
//! -->
//! ```
//!
//! `...` stands for the snippet, and can be left out at the end. Every snippet has the imports of `guides::prelude`.

use std::{collections::BTreeSet, env, fs, io, path::Path};

const FRAME: &str = "<!-- compiled with\n";
const PRELUDE: &str = "# #[allow(unused_imports)] use guides::prelude::*;";

fn main() -> io::Result<()> {
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    println!("cargo::rerun-if-changed=..");
    let mut modules = String::new();
    for guide in guides(Path::new(".."))? {
        let text = fs::read_to_string(format!("../{guide}.md"))?;
        if !text.contains("```rust") {
            continue;
        }
        let complete = complete(&text).map_err(|error| io::Error::other(format!("docs/{guide}.md: {error}")))?;
        fs::write(format!("{out}/{guide}.md"), complete)?;
        let name = guide.replace('-', "_");
        modules +=
            &format!("#[doc = include_str!(concat!(env!(\"OUT_DIR\"), \"/{guide}.md\"))]\npub mod {name} {{}}\n");
    }
    fs::write(format!("{out}/guides.rs"), modules)
}

/// Returns the names of the guides.
fn guides(folder: &Path) -> io::Result<BTreeSet<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.filter_map(|name| name.map(|name| name.strip_suffix(".md").map(str::to_owned)).transpose()).collect()
}

/// Returns a guide whose snippets have hidden lines in place of the comments above them.
fn complete(guide: &str) -> Result<String, String> {
    let (mut complete, mut rest) = (String::new(), guide);
    while let Some((before, block)) = rest.split_once("```") {
        let (head, code) = block.split_once('\n').ok_or("a code block without an end")?;
        let (code, after) = code.split_once("```").ok_or("a code block without an end")?;
        let (text, frame) = match before.split_once(FRAME) {
            Some((text, frame)) => (text, frame.trim_end().strip_suffix("-->").ok_or("`compiled with` without code")?),
            None => (before, ""),
        };
        let is_compiled = head.split(',').next() == Some("rust") && !head.contains("ignore");
        if !is_compiled && !frame.is_empty() {
            return Err(format!("a snippet that isn't compiled has a frame: {frame}"));
        }
        let (first, last) = frame.split_once("...\n").unwrap_or((frame, ""));
        complete += text;
        if is_compiled {
            complete += &format!("```{head}\n{PRELUDE}\n{}{code}{}```", hidden(first), hidden(last));
        } else {
            complete += &format!("```{head}\n{code}```");
        }
        rest = after;
    }
    Ok(complete + rest)
}

fn hidden(lines: &str) -> String {
    lines.lines().map(|line| format!("# {line}\n")).collect()
}
