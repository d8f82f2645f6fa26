//! `cargo sigra install`: accounts in an application that was there before.

mod database;
mod dependencies;
mod migrations;
mod modules;
mod pool;
mod requirements;
mod serve;
mod shadowed;

use std::{io, path::PathBuf};

use crate::{
    choices::{Database, Place},
    cli::Install,
    edits::{Edit, Transaction},
    generate::{self, Files, Plan},
    git,
    host::Host,
    manifest::{self, Manifest, ManifestError},
    names::AppName,
    questions, taken,
    terminal::{self, STRONG, WARNING, styled},
    text_file::TextFile,
    trial::{self, Wanted},
};

pub use self::{
    database::DatabaseError,
    dependencies::{DependencyError, add as add_dependencies},
    migrations::{MigrationError, reversal_of, table_around, version},
    requirements::RequirementError,
};
use self::{migrations::Existing, serve::Served, shadowed::Shadowed};

/// Why accounts were not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(
        "these files are there already, and were not written by this program: {0}. Choose another module: `--module login`"
    )]
    Taken(String),
    #[error(
        "`--module {0}` can't be the module: use small letters, digits and `_`, and no word that Rust, a dependency or what is in the module has for its name, as in `--module login`"
    )]
    Module(String),
    #[error("accounts are in `src/{there}` already, and `--module {asked}` asks for others: leave it out")]
    OtherModule { there: String, asked: String },
    #[error("`{path}` can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
}

/// Where everything goes, unless another module is asked for.
const MODULE: &str = "auth";

/// Where git is told what to ignore.
const IGNORED: &str = ".gitignore";

/// What git is to ignore, and a file that shows whether it does: secrets, and a database in the folder.
const SECRETS: [(&str, &str); 2] = [(".*_dev_secret", ".app_dev_secret"), (".env", ".env")];
const DATABASE_FILES: [(&str, &str); 3] =
    [("*.db", "app_dev.db"), ("*.db-shm", "app_dev.db-shm"), ("*.db-wal", "app_dev.db-wal")];

pub fn run(args: &Install) -> Result<(), crate::Error> {
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
    let plan = match &before {
        Some(manifest) => same_plan(args, &host, manifest)?,
        None => new_plan(args, &host, &existing)?,
    };
    requirements::check(&host, &plan)?;
    let files = generate::files(&plan)?;
    let created = new_files(&host, &files, before.as_ref())?;
    let (served, advice) = with_pool(serve::find(&host, &plan), &existing.sources(), plan.choices.db);
    let edits = edits(&host, &plan, &served)?;
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
        say(&created, &edits, before.is_none());
        if before.is_none() {
            plan.sigra.say();
        }
    }
    if let Some(advice) = advice {
        anstream::println!("\n{advice}");
    }
    advise(&host, &plan, &served);
    Ok(())
}

/// With the host's own pool, if it has one, and what its owner has to do about it.
fn with_pool(served: Served, sources: &[String], db: Database) -> (Served, Option<&'static str>) {
    const HAND_OVER: &str = "Your application has a database already. Hand its pool over, so that users are beside its tables: \
         `with_accounts_in(app, &pool)` in place of `with_accounts(app)`";
    let advice = pool::is_named_in(sources, db).then_some(HAND_OVER);
    match served {
        Served::Already => (served, None),
        Served::Nowhere => (served, advice),
        Served::Here { path, before, after } => match pool::handed_over(&after, &pool::functions(sources, db), db) {
            Some(after) => (Served::Here { path, before, after }, None),
            None => (Served::Here { path, before, after }, advice),
        },
    }
}

/// As it was installed before.
fn same_plan(args: &Install, host: &Host, manifest: &Manifest) -> Result<Plan, crate::Error> {
    let there = manifest.module.clone().unwrap_or_default();
    if let Some(asked) = args.module.as_ref().filter(|asked| **asked != there) {
        return Err(InstallError::OtherModule { there, asked: asked.clone() }.into());
    }
    Ok(Plan { rustfmt: host.rustfmt.clone(), ..manifest.plan(args.parts.sigra(&host.root)?) })
}

fn new_plan(args: &Install, host: &Host, existing: &Existing) -> Result<Plan, crate::Error> {
    let module = args.module.clone().unwrap_or_else(|| MODULE.to_owned());
    let is_module = module.starts_with(|c: char| c.is_ascii_lowercase())
        && module.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let is_taken = taken::is_taken_for_module(&module)? || host.own_dependencies().any(|it| it.key() == module);
    if !is_module || is_taken {
        return Err(InstallError::Module(module).into());
    }
    let mut parts = args.parts.clone();
    let can_ask = questions::can_ask(args.yes);
    if parts.db.is_none() {
        parts.db = database::of(host, can_ask)?;
    }
    let users = parts.user_names()?;
    parts.id = parts.id.or(existing.id_of(&users, parts.db.unwrap_or(Database::Sqlite)));
    let choices = questions::choices(&parts, Place::Existing, can_ask)?;
    taken::refuse_users(&users, &choices)?;
    let mut plan = Plan {
        app: AppName::of_package(&host.package),
        users,
        choices,
        sigra: parts.sigra(&host.root)?,
        port: serve::port(host, &module),
        module: Some(module),
        migrations: existing.migrations(),
        adopted: None,
        rustfmt: host.rustfmt.clone(),
    };
    let first = generate::first_migration(&plan)?;
    plan.adopted = existing.adopted(&plan.users, &first, plan.choices.id, plan.choices.db)?;
    Ok(plan)
}

/// What is to be written. What the host has made of it since is left alone.
fn new_files(host: &Host, files: &Files, before: Option<&Manifest>) -> Result<Vec<Edit>, InstallError> {
    let (there, missing): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| host.root.join(path).exists());
    let is_ours = |path: &str| before.is_some_and(|manifest| manifest.files.contains_key(path));
    let taken: Vec<&str> = there.iter().map(|(path, _)| path.as_str()).filter(|path| !is_ours(path)).collect();
    if !taken.is_empty() {
        return Err(InstallError::Taken(taken.join(", ")));
    }
    Ok(missing.into_iter().map(|(path, text)| Edit::create(path, text)).collect())
}

/// What is added to the host's own files.
fn edits(host: &Host, plan: &Plan, served: &Served) -> Result<Vec<Edit>, crate::Error> {
    let mut edits = Vec::new();
    edits.extend(dependencies::add(host, plan)?);
    edits.extend(modules::declare(host, plan, served)?);
    edits.extend(ignore(host, plan)?);
    Ok(edits)
}

/// Keeps what belongs to one machine out of the repository.
fn ignore(host: &Host, plan: &Plan) -> Result<Option<Edit>, crate::Error> {
    let path = host.root.join(IGNORED);
    let before = match TextFile::read(&path) {
        Ok(file) => Some(file.text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(InstallError::Unreadable { path, error }.into()),
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

fn say(created: &[Edit], edits: &[Edit], is_first: bool) {
    if created.is_empty() && edits.is_empty() {
        anstream::println!("Everything is there already.");
    }
    for line in crate::new::summary(created.iter().map(|edit| &edit.path)) {
        terminal::step("create", line);
    }
    if is_first {
        terminal::step("create", manifest::SUMMARY);
    }
    for edit in edits {
        terminal::step("change", &edit.path);
    }
}

/// What is left for the host to do.
fn advise(host: &Host, plan: &Plan, served: &Served) {
    let module = plan.module.as_deref().unwrap_or(MODULE);
    if let Served::Nowhere = served {
        let path = if host.lib.is_some() { host.library_name() } else { "crate".to_owned() };
        anstream::println!(
            "\nNo `axum::serve(listener, app)` was found that accounts could be put around. Where your router is served, write\n\n    \
             let app = {path}::{module}::with_accounts(app).await?;\n    \
             axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await?;"
        );
    }
    if git::tracks(&host.root, ".env") {
        anstream::println!(
            "\n{} git tracks `.env`, so that secrets in it are in the repository. If they are no examples: `git rm --cached .env`, \
             and add it to .gitignore",
            styled(WARNING, "warning:")
        );
    }
    let plural = &plan.users.plural;
    for Shadowed { place, path } in shadowed::find(host, &format!("/{plural}"), module) {
        anstream::println!(
            "\n{} accounts answer below `/{plural}/` from now on, and `{place}` has `{path}`. Move it, or install with other \
             names: `--user Member --table members`",
            styled(WARNING, "warning:")
        );
    }
    anstream::println!(
        "\nA handler says in its arguments who may call it: {}",
        styled(STRONG, format!("scope: sigra::Scope<{module}::accounts::{}>", plan.users.singular))
    );
    anstream::println!(
        "\nYour own routes answer as before, to every origin. A handler that asks for a scope answers 403 to forms and scripts \
         of other origins: name yours in {}",
        styled(STRONG, "TRUSTED_ORIGINS")
    );
    anstream::println!(
        "\nA setting that your application uses otherwise, such as `APP_ENV`, is {} for accounts",
        styled(STRONG, format!("{}APP_ENV", crate::beside::prefix(module)))
    );
    if plan.port.is_none() {
        anstream::println!(
            "\nLinks in mails begin with http://127.0.0.1:4000: set {} if your router is served elsewhere",
            styled(STRONG, "PUBLIC_URL")
        );
    }
    terminal::next_commands(&next_commands(host, plan));
}

fn next_commands(host: &Host, plan: &Plan) -> Vec<String> {
    let mut commands = Vec::new();
    if plan.choices.db == Database::Postgres {
        commands.push("export DATABASE_URL=postgres://user:password@localhost/database".to_owned());
    }
    // A library is run by another package.
    if host.bin.is_some() {
        let port = plan.port.map_or_else(|| "…".to_owned(), |port| port.to_string());
        let open = |path| format!("open http://127.0.0.1:{port}/{}/{path}", plan.users.plural);
        commands.extend(["cargo run".to_owned(), open("register"), open("dev/mailbox")]);
    }
    commands.push("cargo sigra routes".to_owned());
    commands
}
