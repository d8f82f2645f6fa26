//! `cargo sigra new`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

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
        files::{self, Files},
    },
    system::{
        git::{self, GitError},
        json::{self, JsonError},
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
    #[error("the application was created, but not committed: {0}")]
    Commit(GitError),
    #[error("can't commit: {0}")]
    NoCommit(GitError),
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    application: &'a str,
    folder: &'a Path,
    choices: Choices,
    created: Vec<&'a String>,
    /// Whether a git repository was created, and everything committed.
    repository: bool,
    committed: bool,
    /// The commands to run next.
    next: Vec<String>,
}

/// An application that was created.
struct Created {
    plan: Plan,
    files: Files,
    /// Whether a git repository was created.
    repository: bool,
}

pub fn run(args: &New) -> Result<(), NewError> {
    let plan = plan(args)?;
    let created = create(args, plan)?;
    if args.commit {
        let message = format!("Generate {} with cargo sigra new", created.plan.app.package());
        git::commit_all(&args.path, &message).map_err(NewError::Commit)?;
    }
    if args.json {
        return Ok(json::print(&report(args, &created))?);
    }
    print(args, &created);
    Ok(())
}

/// Checks the arguments, and asks for what they leave open.
fn plan(args: &New) -> Result<Plan, NewError> {
    let app = name_of(&args.path)?;
    refuse_nonempty_folder(&args.path)?;
    if args.commit {
        git::refuse_commit(&args.path).map_err(NewError::NoCommit)?;
    }
    let users = args.parts.user_names()?;
    let choices = choices::choose(&args.parts, Place::New, questions::can_ask(args.yes || args.json))?;
    let choices = Choices { api_only: args.api_only, ..choices };
    taken::refuse_users(&users, &choices)?;
    Ok(Plan::new(app, users, choices, args.parts.sigra(&args.path)?))
}

/// Writes all files, and creates a git repository unless the folder is in one.
fn create(args: &New, plan: Plan) -> Result<Created, NewError> {
    let files = application::files(&plan)?;
    let mut edits: Vec<Edit> = files.iter().map(|(path, text)| Edit::create(path, text)).collect();
    edits.extend(Manifest::of(&plan, &files).edits(&files)?);
    Transaction::prepare(&args.path, &edits)?.commit()?;
    let repository = git::init_unless_inside(&args.path).unwrap_or_else(|error| {
        terminal::warn(format!("no git repository was created: {error}"));
        false
    });
    Ok(Created { plan, files, repository })
}

fn report<'a>(args: &'a New, created: &'a Created) -> Report<'a> {
    let Created { plan, files, repository } = created;
    Report {
        application: plan.app.package(),
        folder: &args.path,
        choices: plan.choices,
        created: files.keys().collect(),
        repository: *repository,
        committed: args.commit,
        next: next_commands(&args.path, plan),
    }
}

fn print(args: &New, created: &Created) {
    let Created { plan, files, repository } = created;
    anstream::println!("{} {}: {}\n", styled(STRONG, "Created"), plan.app.package(), plan.choices.in_words());
    for line in files::summary(files.keys()) {
        terminal::step("create", line);
    }
    terminal::step("create", manifest::SUMMARY);
    if *repository {
        terminal::step("create", ".git/");
    }
    if args.commit {
        terminal::step("commit", "everything");
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
    terminal::next_commands(&next_commands(&args.path, plan));
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
