//! `cargo sigra new`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    cli::{arguments::New, choices},
    host::{
        edits::{Edit, EditError, Transaction},
        workspace,
    },
    manifest::{self, Manifest, ManifestError},
    plan::{
        Plan,
        choices::{Choices, Database, Place},
        names::{AppName, NameError},
        sigra_source::SigraSourceError,
    },
    render::{
        application::{self, GenerateError},
        files,
    },
    system::{
        git,
        questions::{self, QuestionError},
        terminal::{self, STRONG, WARNING, styled},
    },
    template::taken::{self, TakenError},
};

/// Why no application was created.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    #[error("`{0}` isn't empty: choose another name, or run `cargo sigra install` there if it is an application")]
    NotEmpty(PathBuf),
    #[error("`{0}` doesn't end in a name for the application: use a path such as `my_app`")]
    NoName(PathBuf),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Taken(#[from] TakenError),
    #[error(transparent)]
    SigraSource(#[from] SigraSourceError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Edit(#[from] EditError),
}

pub fn run(args: &New) -> Result<(), NewError> {
    let app = name_of(&args.path)?;
    refuse_nonempty_folder(&args.path)?;
    let users = args.parts.user_names()?;
    let choices = choices::choose(&args.parts, Place::New, questions::can_ask(args.yes))?;
    let choices = Choices { api_only: args.api_only, ..choices };
    taken::refuse_users(&users, &choices)?;
    let plan = Plan::new(app, users, choices, args.parts.sigra(&args.path)?);
    let files = application::files(&plan)?;

    anstream::println!("{} {}: {}\n", styled(STRONG, "Creating"), plan.app.package(), choices.in_words());
    let mut edits: Vec<Edit> = files.iter().map(|(path, text)| Edit::create(path, text)).collect();
    edits.extend(Manifest::of(&plan, &files).edits(&files)?);
    Transaction::prepare(&args.path, &edits)?.commit()?;
    for line in files::summary(files.keys()) {
        terminal::step("create", line);
    }
    terminal::step("create", manifest::SUMMARY);
    match git::init_unless_inside(&args.path) {
        Ok(true) => terminal::step("create", ".git/"),
        Ok(false) => {}
        Err(error) => terminal::warn(format!("no git repository was created: {error}")),
    }
    plan.sigra.print_note();
    if let Some(workspace) = workspace::around(&args.path) {
        anstream::println!(
            "\n{} `{}` is a workspace that contains it. Add \"{}\" to its `members`, and move the `[profile]` tables there",
            styled(WARNING, "warning:"),
            workspace.display(),
            args.path.display()
        );
    }
    terminal::next_commands(&next_commands(&args.path, &plan));
    Ok(())
}

fn name_of(path: &Path) -> Result<AppName, NewError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let app = AppName::parse(name.ok_or_else(|| NewError::NoName(path.to_owned()))?)?;
    taken::refuse_app(&app)?;
    Ok(app)
}

/// Accepts an empty folder like a missing one.
fn refuse_nonempty_folder(path: &Path) -> Result<(), NewError> {
    let is_free = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if is_free { Ok(()) } else { Err(NewError::NotEmpty(path.to_owned())) }
}

fn next_commands(path: &Path, plan: &Plan) -> Vec<String> {
    let run = match plan.choices.db {
        Database::Sqlite => "cargo run".to_owned(),
        Database::Postgres => format!("createdb {}_dev && cargo run", plan.app.ident()),
    };
    vec![format!("cd {}", in_shell(path)), run, "cargo test".to_owned()]
}

/// Quotes a path for a shell, if necessary.
fn in_shell(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = path.chars().all(|c| c.is_alphanumeric() || "/._-~\\:".contains(c));
    if is_plain { path.into_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_for_the_shell() {
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
