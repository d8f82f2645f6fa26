//! From the template to an application's files, in memory.

use std::collections::BTreeMap;

use crate::{
    beside,
    cargo_toml::{self, CargoTomlError},
    choices::Choices,
    files,
    migrations::Migrations,
    names::AppName,
    regions::{self, RegionError},
    rustfmt::{self, RustfmtError},
    sigra_source::SigraSource,
    template::{self, TemplateError, TemplateFile},
    terminal,
    users::UserNames,
};

/// Files by their path in the application, with `/` between its parts.
pub type Files = BTreeMap<String, String>;

/// Where the sources of a new application are.
pub const SOURCES: &str = "src";

/// What an application is generated from.
#[derive(Clone, Debug)]
pub struct Plan {
    pub app: AppName,
    pub users: UserNames,
    pub choices: Choices,
    pub sigra: SigraSource,
    /// The module that is to hold everything, in an application that was there before.
    pub module: Option<String>,
    /// The folder that the module is in: `src`, unless the crate begins elsewhere.
    pub folder: String,
    /// Where an application that was there before listens, if that is known.
    pub port: Option<u16>,
    /// Where migrations are, and who runs them.
    pub migrations: Migrations,
    /// What makes the host's table one of users, in place of a new table.
    pub adopted: Option<String>,
    /// The host's `rustfmt.toml`, if it has code of its own.
    pub rustfmt: Option<String>,
}

impl Plan {
    /// A new application.
    pub fn new(app: AppName, users: UserNames, choices: Choices, sigra: SigraSource) -> Self {
        Self {
            app,
            users,
            choices,
            sigra,
            module: None,
            folder: SOURCES.to_owned(),
            port: None,
            migrations: Migrations::default(),
            adopted: None,
            rustfmt: None,
        }
    }

    /// Whether a region of the template is kept. `None` if there is no such region.
    pub fn keeps(&self, region: &str) -> Option<bool> {
        match region {
            "new_users" => Some(self.adopted.is_none()),
            "users_table" => Some(self.users.has_users_table()),
            "migrates" => Some(!self.migrations.by_host),
            region => self.choices.keeps(region),
        }
    }
}

#[cfg(test)]
impl Plan {
    pub fn default_for_tests() -> Self {
        let app = AppName::parse("my_app").expect("a name");
        Self::new(app, UserNames::default(), Choices::ALL, SigraSource::Registry)
    }
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Region(#[from] RegionError),
    #[error(transparent)]
    CargoToml(#[from] CargoTomlError),
    #[error(transparent)]
    Rustfmt(#[from] RustfmtError),
}

/// All that is generated for an application. If it can't be formatted as the host is, that is said: it is as good.
pub fn files(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = unformatted_files(plan)?;
    if let Some(error) = rustfmt::format_as_far_as_possible(&mut generated, plan.rustfmt.as_deref())? {
        terminal::warn(format!("{error}. The generated code is not formatted as yours is"));
    }
    Ok(generated)
}

/// The same, and formatted: what is to be compared with it is so too.
pub fn formatted_files(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = unformatted_files(plan)?;
    rustfmt::format(&mut generated, plan.rustfmt.as_deref())?;
    Ok(generated)
}

fn unformatted_files(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = Files::new();
    for file in template::files()? {
        if !files::is_kept(&file.path, &plan.choices) || plan.module.is_some() && file.path == "Cargo.toml" {
            continue;
        }
        let text = text_of(&file, plan)?;
        let path = plan.users.rename_name(&files::moved(&file.path, &plan.choices));
        generated.insert(path, text);
    }
    if let Some(module) = &plan.module {
        generated = beside::moved(generated, module, plan);
    }
    Ok(generated)
}

/// The migration that begins everything, as it would be for a new application.
pub fn first_migration(plan: &Plan) -> Result<String, GenerateError> {
    let folder = files::migrations(plan.choices.db);
    let first = template::files()?.into_iter().find(|file| file.path.starts_with(folder));
    first.map_or(Ok(String::new()), |file| text_of(&file, plan))
}

fn text_of(file: &TemplateFile, plan: &Plan) -> Result<String, GenerateError> {
    let text = regions::apply(&file.path, &file.text, |region| plan.keeps(region))?;
    let text = match &*file.path {
        "Cargo.toml" => cargo_toml::of_application(&text, plan)?,
        // Style sheets know no users, and properties such as `user-select`.
        path if path.ends_with(".css") => text,
        _ => plan.app.rename(&plan.users.rename(&file.path, &text)),
    };
    Ok(text.replace(files::migrations(plan.choices.db), "migrations"))
}
