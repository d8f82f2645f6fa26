//! `cargo sigra install`: accounts in an application that was there before.

mod closing;

use std::{io, path::PathBuf};

use crate::{
    cli::{arguments::Install, choices},
    host::{
        cargo_toml::{self, DependencyError},
        database::{self, DatabaseError},
        edits::{Edit, EditError, Transaction},
        migrations::{Existing, MigrationError},
        module::{self, ModuleError},
        package::{Host, HostError},
        pool,
        requirements::{self, RequirementError},
        serve::{Around, ServeError, Survey},
        shadowed,
        trial::{self, TrialError, Wanted},
    },
    manifest::{Manifest, ManifestError},
    plan::{
        Plan,
        choices::{Database, Place},
        names::{AppName, NameError},
        sigra_source::SigraSourceError,
    },
    render::{
        application::{self, GenerateError},
        files::Files,
    },
    system::{
        git::{self, GitError},
        questions::{self, QuestionError},
        terminal::{self, STRONG, WARNING, styled},
        text_file::TextFile,
    },
    template::{
        read::TemplateError,
        taken::{self, TakenError},
    },
};

/// Why accounts were not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("these files are there already, and were not written by this program: {0}. Move them, or delete them")]
    FilesTaken(String),
    #[error(
        "accounts answer below `/{plural}/`, and would from now on in place of {routes}. Give them another name, \
         `--user Member --table members`, or move your routes; `--force` installs them all the same"
    )]
    Routes { plural: String, routes: String },
    #[error(
        "`--module {0}` can't be the module: use small letters, digits and `_`, and no word that Rust, a dependency or what is in the module has for its name, as in `--module login`"
    )]
    NoModule(String),
    #[error("accounts are in the module `{there}` already, and `--module {asked}` asks for others: leave it out")]
    OtherModule { there: String, asked: String },
    #[error("`{path}` can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Taken(#[from] TakenError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    SigraSource(#[from] SigraSourceError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Trial(#[from] TrialError),
}

/// Where everything goes, unless another module is asked for.
const MODULE: &str = "auth";

/// Where git is told what to ignore.
const IGNORED: &str = ".gitignore";

/// What git is to ignore, and a file that shows whether it does: secrets, and a database in the folder.
const SECRETS: [(&str, &str); 2] = [(".*_dev_secret", ".app_dev_secret"), (".env", ".env")];
const DATABASE_FILES: [(&str, &str); 3] =
    [("*.db", "app_dev.db"), ("*.db-shm", "app_dev.db-shm"), ("*.db-wal", "app_dev.db-wal")];

pub fn run(args: &Install) -> Result<(), InstallError> {
    let host = Host::find()?;
    if !args.dry_run && !args.force {
        git::refuse_changed_files(&host.root)?;
    }
    let before = match Manifest::read(&host.root) {
        Ok(manifest) => Some(manifest),
        Err(ManifestError::Missing(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let asked = before.as_ref().map(|manifest| PathBuf::from(&manifest.migrations.folder)).or(args.migrations.clone());
    let existing = Existing::find(&host.root, asked.as_deref(), questions::can_ask(args.yes))?;
    let module = module_name(args, &host, before.as_ref())?;
    let survey = Survey::of(&host, &module, args.bin.as_deref(), before.is_some())?;
    let plan = match &before {
        Some(manifest) => Plan { rustfmt: host.rustfmt.clone(), ..manifest.plan(args.parts.sigra(&host.root)?) },
        None => new_plan(args, &host, &existing, &survey, module)?,
    };
    requirements::check(&host, &plan)?;
    let shadowed = shadowed(&survey, &plan.users.plural);
    if before.is_none() && !args.force && !shadowed.is_empty() {
        return Err(InstallError::Routes { plural: plan.users.plural, routes: shadowed.join(", ") });
    }
    let files = application::files(&plan)?;
    let created = new_files(&host, &files, before.as_ref())?;
    let (served, advice) = with_pool(&survey, &existing.sources(), plan.choices.db);
    let edits = edits(&host, &plan, &survey, served)?;
    if before.is_none() {
        existing.rehearse(&plan.users, &files, plan.choices.db)?;
    }
    let record = if before.is_none() { Manifest::of(&plan, &files).edits(&files)? } else { Vec::new() };
    let all: Vec<&Edit> = created.iter().chain(&edits).chain(&record).collect();
    let transaction = Transaction::prepare(&host.root, all.iter().copied())?;
    if !args.dry_run && !args.force {
        git::refuse_changed_files_at(&host.root, &transaction.elsewhere(&host.root))?;
    }
    trial::run(&host.root, &all, Wanted { resolve: !args.no_resolve, compile: args.check })?;
    for warning in existing.warnings(&plan.users, &files, plan.choices.db) {
        anstream::println!("{} {warning}\n", styled(WARNING, "warning:"));
    }
    if args.dry_run {
        created.iter().chain(&edits).for_each(Edit::print_diff);
    } else {
        transaction.commit()?;
        if before.is_none() {
            if let Err(error) = existing.touch() {
                terminal::warn(error);
            }
            anstream::println!("{} accounts: {}\n", styled(STRONG, "Installed"), plan.choices.in_words());
        }
        closing::say(&created, &edits, before.is_none());
        if before.is_none() {
            plan.sigra.say();
        }
    }
    if let Some(advice) = advice {
        anstream::println!("\n{advice}");
    }
    closing::advise(&host, &plan, &survey, &edits, &shadowed);
    Ok(())
}

/// The change around the router, with the host's own pool if it has one, and what its owner has to do about that.
fn with_pool<'a>(survey: &'a Survey, sources: &[String], db: Database) -> (Option<Around<'a>>, Option<&'static str>) {
    const HAND_OVER: &str = "Your application has a database already. Hand its pool over, so that users are beside its tables: \
         `with_accounts_in(app, &pool)` in place of `with_accounts(app)`";
    let advice = (!survey.has_accounts() && pool::is_named_in(sources, db)).then_some(HAND_OVER);
    let Some(around) = survey.around() else { return (None, advice) };
    match pool::handed_over(&around.after, &pool::functions(sources, db), db) {
        Some(after) => (Some(Around { after, ..around }), None),
        None => (Some(around), advice),
    }
}

/// The module of accounts: the one that they are in, or else the one that is asked for.
fn module_name(args: &Install, host: &Host, before: Option<&Manifest>) -> Result<String, InstallError> {
    if let Some(manifest) = before {
        let there = manifest.module.clone().unwrap_or_default();
        return match args.module.as_ref().filter(|asked| **asked != there) {
            Some(asked) => Err(InstallError::OtherModule { there, asked: asked.clone() }),
            None => Ok(there),
        };
    }
    let module = args.module.clone().unwrap_or_else(|| MODULE.to_owned());
    let is_module = module.starts_with(|c: char| c.is_ascii_lowercase())
        && module.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let is_taken = taken::is_taken_for_module(&module)? || host.own_dependencies().any(|it| it.key() == module);
    if is_module && !is_taken { Ok(module) } else { Err(InstallError::NoModule(module)) }
}

fn new_plan(
    args: &Install,
    host: &Host,
    existing: &Existing,
    survey: &Survey,
    module: String,
) -> Result<Plan, InstallError> {
    let folder = survey.folder()?;
    module::refuse_taken(host, survey, &module, &folder)?;
    let mut parts = args.parts.clone();
    let can_ask = questions::can_ask(args.yes);
    if parts.db.is_none() {
        parts.db = database::of(host, can_ask)?;
    }
    let users = parts.user_names()?;
    parts.id = parts.id.or(existing.id_of(&users, parts.db.unwrap_or(Database::Sqlite)));
    let choices = choices::choose(&parts, Place::Existing, can_ask)?;
    taken::refuse_users(&users, &choices)?;
    let mut plan = Plan {
        app: AppName::of_package(&host.package),
        users,
        choices,
        sigra: parts.sigra(&host.root)?,
        port: survey.port(),
        module: Some(module),
        folder,
        migrations: existing.migrations(),
        adopted: None,
        rustfmt: host.rustfmt.clone(),
    };
    let first = application::first_migration(&plan)?;
    plan.adopted = existing.adopted(&plan.users, &first, plan.choices.id, plan.choices.db)?;
    Ok(plan)
}

/// What is to be written. What the host has made of it since is left alone.
fn new_files(host: &Host, files: &Files, before: Option<&Manifest>) -> Result<Vec<Edit>, InstallError> {
    let (there, missing): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| host.root.join(path).exists());
    let is_ours = |path: &str| before.is_some_and(|manifest| manifest.files.contains_key(path));
    let taken: Vec<&str> = there.iter().map(|(path, _)| path.as_str()).filter(|path| !is_ours(path)).collect();
    if !taken.is_empty() {
        return Err(InstallError::FilesTaken(taken.join(", ")));
    }
    Ok(missing.into_iter().map(|(path, text)| Edit::create(path, text)).collect())
}

/// What is added to the host's own files.
fn edits(host: &Host, plan: &Plan, survey: &Survey, around: Option<Around>) -> Result<Vec<Edit>, InstallError> {
    let mut edits = Vec::new();
    edits.extend(cargo_toml::add(host, plan)?);
    edits.extend(module::declare(plan, survey, around));
    edits.extend(ignore(host, plan)?);
    Ok(edits)
}

/// Keeps what belongs to one machine out of the repository.
fn ignore(host: &Host, plan: &Plan) -> Result<Option<Edit>, InstallError> {
    let path = host.root.join(IGNORED);
    let before = match TextFile::read(&path) {
        Ok(file) => Some(file.text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(InstallError::Unreadable { path, error }),
    };
    let text = before.as_deref().unwrap_or_default();
    let mut after = text.to_owned();
    let database_files = DATABASE_FILES.iter().filter(|_| plan.choices.db == Database::Sqlite);
    for (pattern, example) in SECRETS.iter().chain(database_files) {
        let is_there = text.lines().any(|line| line.trim() == *pattern);
        // What is tracked stays so, whatever is ignored.
        if !is_there && !git::tracks(&host.root, pattern) && !git::ignores(&host.root, example) {
            let gap = if after.is_empty() || after.ends_with('\n') { "" } else { "\n" };
            after = format!("{after}{gap}{pattern}\n");
        }
    }
    Ok(match before {
        Some(before) if before == after => None,
        Some(before) => Some(Edit::change(IGNORED, &before, after)),
        None if after.is_empty() => None,
        None => Some(Edit::create(IGNORED, &after)),
    })
}

/// Routes of the host's that would no longer be answered by it, with their places.
fn shadowed(survey: &Survey, plural: &str) -> Vec<String> {
    let found = shadowed::find(survey.sources(), &survey.serving(), &format!("/{plural}/"));
    found
        .iter()
        .map(|route| format!("`{}` ({}:{})", route.path, survey.relative(&route.source.path), route.line))
        .collect()
}
