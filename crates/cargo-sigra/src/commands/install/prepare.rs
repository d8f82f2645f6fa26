//! What an installation writes, after all checks.

use std::{io, path::PathBuf};

use super::{
    error::InstallError,
    shadowed_routes::{ShadowedRoutes, refuse_shadowed, shadowed_routes},
};
use crate::{
    cli::{arguments::Install, choices},
    host::{
        cargo_toml, database,
        edits::{Edit, Transaction},
        migrations::Existing,
        module,
        package::Host,
        pool, requirements,
        serve::{Around, Survey},
        trial::{self, Checks},
    },
    manifest::{Manifest, ManifestError},
    plan::{
        Plan,
        choices::{Database, Place},
        names::{AppName, is_snake_case},
    },
    render::{application, files::Files},
    system::{git, questions, terminal, text_file::TextFile},
    template::taken,
};

/// The default module for the generated files.
const MODULE: &str = "auth";

/// The file in which git finds what to ignore.
const IGNORED: &str = ".gitignore";

/// Patterns that git must ignore, each with a file name that shows whether it does: secrets, and a local database.
const SECRETS: [(&str, &str); 2] = [(".*_dev_secret", ".app_dev_secret"), (".env", ".env")];
const DATABASE_FILES: [(&str, &str); 3] =
    [("*.db", "app_dev.db"), ("*.db-shm", "app_dev.db-shm"), ("*.db-wal", "app_dev.db-wal")];

/// What is installed, and what the host has to know about it.
pub struct Installation {
    pub host: Host,
    pub survey: Survey,
    pub plan: Plan,
    /// Whether nothing was installed before.
    pub is_first: bool,
    /// The new files.
    pub created: Vec<Edit>,
    /// The changes of the host's own files.
    pub edits: Vec<Edit>,
    pub shadowed: Vec<ShadowedRoutes>,
    pub warnings: Vec<String>,
    /// How the host passes its own pool, if it must do that itself.
    pub advice: Option<&'static str>,
}

/// An installation that passed all checks, and wasn't written yet.
pub struct Prepared {
    pub installation: Installation,
    existing: Existing,
    transaction: Transaction,
}

impl Prepared {
    /// Checks the host, and plans what to write. Writes nothing.
    pub fn of(args: &Install) -> Result<Self, InstallError> {
        let host = Host::find()?;
        let refuses_changes = !args.dry_run && !args.force;
        if refuses_changes {
            git::refuse_changed_files(&host.root)?;
        }
        let before = manifest(&host)?;
        let is_first = before.is_none();
        let existing = existing(args, &host, before.as_ref())?;
        let module = module_name(args, &host, before.as_ref())?;
        let survey = Survey::of(&host, &module, args.bin.as_deref(), !is_first)?;
        let plan = match &before {
            Some(manifest) => Plan { rustfmt: host.rustfmt.clone(), ..manifest.plan(args.parts.sigra(&host.root)?) },
            None => new_plan(args, &host, &existing, &survey, module)?,
        };
        requirements::check(&host, &plan)?;
        let shadowed = shadowed_routes(&survey, &plan);
        if is_first && !args.force {
            refuse_shadowed(&shadowed)?;
        }
        let files = application::files(&plan)?;
        let created = new_files(&host, &files, before.as_ref())?;
        let (served, advice) = around_router(&survey, &own_sources(&host, &existing, before.as_ref()), plan.choices.db);
        let edits = edits(&host, &plan, &survey, served)?;
        if is_first {
            existing.rehearse(&plan.users, &files, plan.choices.db)?;
        }
        let record = if is_first { Manifest::of(&plan, &files).edits(&files)? } else { Vec::new() };
        let all: Vec<&Edit> = created.iter().chain(&edits).chain(&record).collect();
        let transaction = Transaction::prepare(&host.root, all.iter().copied())?;
        if refuses_changes {
            git::refuse_changed_files_at(&host.root, &transaction.elsewhere(&host.root))?;
        }
        trial::run(&host.root, &all, Checks { resolve: !args.no_resolve, compile: args.check })?;
        let warnings = existing.warnings(&plan.users, &files, plan.choices.db);
        let installation = Installation { host, survey, plan, is_first, created, edits, shadowed, warnings, advice };
        Ok(Self { installation, existing, transaction })
    }

    /// Writes all files or none.
    pub fn write(self) -> Result<Installation, InstallError> {
        self.transaction.commit()?;
        if self.installation.is_first
            && let Err(error) = self.existing.touch()
        {
            terminal::warn(error);
        }
        Ok(self.installation)
    }
}

/// Returns the record of an earlier installation. Fails if another version of this program made it: new files beside
/// those of another version wouldn't fit together.
fn manifest(host: &Host) -> Result<Option<Manifest>, InstallError> {
    match Manifest::read(&host.root) {
        Ok(manifest) if manifest.version != env!("CARGO_PKG_VERSION") => {
            Err(InstallError::OtherVersion(manifest.version))
        }
        Ok(manifest) => Ok(Some(manifest)),
        Err(ManifestError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Finds the host's migrations: in the folder of an earlier installation, of `--migrations`, or that its code names.
fn existing(args: &Install, host: &Host, before: Option<&Manifest>) -> Result<Existing, InstallError> {
    let of_before = before.map(|manifest| PathBuf::from(&manifest.migrations.folder));
    let asked = of_before.or(args.migrations.clone());
    Ok(Existing::find(&host.root, asked.as_deref(), questions::can_ask(args.yes || args.json))?)
}

/// Returns the source code that was there before accounts.
fn own_sources(host: &Host, existing: &Existing, before: Option<&Manifest>) -> Vec<String> {
    let generated: Vec<PathBuf> =
        before.into_iter().flat_map(|manifest| manifest.files.keys()).map(|path| host.root.join(path)).collect();
    existing.sources(|path| generated.iter().any(|generated| generated == path))
}

/// Returns the change around the router, which passes the host's own pool if it has one. If the host must pass its pool
/// itself, also returns advice on how.
fn around_router<'a>(
    survey: &'a Survey,
    sources: &[String],
    db: Database,
) -> (Option<Around<'a>>, Option<&'static str>) {
    const PASS_POOL: &str = "Your application already has a database. To store users in it, pass its pool: \
         `with_accounts_in(app, &pool)` instead of `with_accounts(app)`";
    let advice = (!survey.has_accounts() && pool::is_named_in(sources, db)).then_some(PASS_POOL);
    let Some(around) = survey.around() else { return (None, advice) };
    match pool::with_pool_passed(&around.after, &pool::functions_that_return_pools(sources, db), db) {
        Some(after) => (Some(Around { after, ..around }), None),
        None => (Some(around), advice),
    }
}

/// Returns the module of accounts: the existing one, or the one of `--module`.
fn module_name(args: &Install, host: &Host, before: Option<&Manifest>) -> Result<String, InstallError> {
    if let Some(manifest) = before {
        let existing = manifest.module.clone().unwrap_or_default();
        return match args.module.as_ref().filter(|given| **given != existing) {
            Some(given) => Err(InstallError::OtherModule { existing, given: given.clone() }),
            None => Ok(existing),
        };
    }
    let module = args.module.clone().unwrap_or_else(|| MODULE.to_owned());
    let is_taken = taken::is_taken_for_module(&module)? || host.own_dependencies().any(|it| it.key() == module);
    if is_snake_case(&module) && !is_taken { Ok(module) } else { Err(InstallError::InvalidModule(module)) }
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
    let can_ask = questions::can_ask(args.yes || args.json);
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

/// Returns the files to create. Files that were generated before are left as the host changed them.
fn new_files(host: &Host, files: &Files, before: Option<&Manifest>) -> Result<Vec<Edit>, InstallError> {
    let (existing, missing): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| host.root.join(path).exists());
    let is_ours = |path: &str| before.is_some_and(|manifest| manifest.files.contains_key(path));
    let taken: Vec<&str> = existing.iter().map(|(path, _)| path.as_str()).filter(|path| !is_ours(path)).collect();
    if !taken.is_empty() {
        return Err(InstallError::FilesTaken(taken.join(", ")));
    }
    Ok(missing.into_iter().map(|(path, text)| Edit::create(path, text)).collect())
}

/// Returns the edits of the host's own files.
fn edits(host: &Host, plan: &Plan, survey: &Survey, around: Option<Around>) -> Result<Vec<Edit>, InstallError> {
    let mut edits = Vec::new();
    edits.extend(cargo_toml::add(host, plan)?);
    edits.extend(module::declare(plan, survey, around));
    edits.extend(ignore(host, plan)?);
    Ok(edits)
}

/// Adds secrets and database files of one machine to `.gitignore`.
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
        // Ignoring a tracked file has no effect.
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
