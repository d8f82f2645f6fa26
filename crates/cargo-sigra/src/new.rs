//! `cargo sigra new`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    choices::{Choices, Database, Place},
    cli::New,
    edits::{Edit, Transaction},
    generate::{self, Plan},
    git,
    manifest::{self, Manifest},
    names::AppName,
    questions, taken,
    terminal::{self, STRONG, WARNING, styled},
    workspace,
};

/// Why there is no new application.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    #[error("`{0}` has something in it: choose another name, or `cargo sigra install` there if it is an application")]
    NotEmpty(PathBuf),
    #[error("`{0}` has no last part that could be the application's name: give a path such as `my_app`")]
    NoName(PathBuf),
}

pub fn run(args: &New) -> Result<(), crate::Error> {
    let app = name_of(&args.path)?;
    refuse_what_is_there(&args.path)?;
    let users = args.parts.user_names()?;
    let choices = questions::choices(&args.parts, Place::New, questions::can_ask(args.yes))?;
    let choices = Choices { api_only: args.api_only, ..choices };
    taken::refuse_users(&users, &choices)?;
    let plan = Plan::new(app, users, choices, args.parts.sigra(&args.path)?);
    let files = generate::files(&plan)?;

    anstream::println!("{} {}: {}\n", styled(STRONG, "Creating"), plan.app.package(), choices.in_words());
    let mut edits: Vec<Edit> = files.iter().map(|(path, text)| Edit::create(path, text)).collect();
    edits.extend(Manifest::of(&plan, &files).edits(&files)?);
    Transaction::prepare(&args.path, &edits)?.commit()?;
    for line in summary(files.keys()) {
        terminal::step("create", line);
    }
    terminal::step("create", manifest::SUMMARY);
    match git::init_unless_inside(&args.path) {
        Ok(true) => terminal::step("create", ".git/"),
        Ok(false) => {}
        Err(error) => terminal::warn(format!("there is no repository yet: {error}")),
    }
    plan.sigra.say();
    if let Some(workspace) = workspace::around(&args.path) {
        anstream::println!(
            "\n{} `{}` is a workspace around it. Add \"{}\" to its `members`, and move the `[profile]` tables there",
            styled(WARNING, "warning:"),
            workspace.display(),
            args.path.display()
        );
    }
    terminal::next_commands(&next_commands(&args.path, &plan));
    Ok(())
}

fn name_of(path: &Path) -> Result<AppName, crate::Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    let app = AppName::parse(name.ok_or_else(|| NewError::NoName(path.to_owned()))?)?;
    taken::refuse_app(&app)?;
    Ok(app)
}

/// An empty folder is as good as none.
fn refuse_what_is_there(path: &Path) -> Result<(), NewError> {
    let is_free = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if is_free { Ok(()) } else { Err(NewError::NotEmpty(path.to_owned())) }
}

/// A line for each file at the top and each folder there.
pub fn summary<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for path in paths {
        match path.split_once('/') {
            Some((folder, _)) => *folders.entry(folder).or_default() += 1,
            None => lines.push(path.clone()),
        }
    }
    lines.extend(folders.into_iter().map(|(folder, count)| match count {
        1 => format!("{folder}/ (1 file)"),
        count => format!("{folder}/ ({count} files)"),
    }));
    lines
}

fn next_commands(path: &Path, plan: &Plan) -> Vec<String> {
    let run = match plan.choices.db {
        Database::Sqlite => "cargo run".to_owned(),
        Database::Postgres => format!("createdb {}_dev && cargo run", plan.app.ident()),
    };
    vec![format!("cd {}", in_shell(path)), run, "cargo test".to_owned()]
}

/// As a shell takes it.
fn in_shell(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = path.chars().all(|c| c.is_alphanumeric() || "/._-~\\:".contains(c));
    if is_plain { path.into_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_written_as_a_shell_takes_it() {
        for (path, written) in [
            ("apps/my_app", "apps/my_app"),
            ("Übung/app", "Übung/app"),
            ("my apps/app", "'my apps/app'"),
            ("Ada's/app", r"'Ada'\''s/app'"),
        ] {
            assert_eq!(in_shell(Path::new(path)), written);
        }
    }
}
