//! From the template to an application's files, in memory.

use std::collections::BTreeMap;

use crate::{
    cargo_toml::{self, CargoTomlError, SigraSource},
    choices::Choices,
    files,
    names::AppName,
    regions::{self, RegionError},
    rustfmt::{self, RustfmtError},
    template::{self, TemplateError},
    users::UserNames,
};

/// Files by their path in the application, with `/` between its parts.
pub type Files = BTreeMap<String, String>;

/// What an application is generated from.
#[derive(Clone, Debug)]
pub struct Plan {
    pub app: AppName,
    pub users: UserNames,
    pub choices: Choices,
    pub sigra: SigraSource,
    /// The module that is to hold everything, in an application that was there before.
    pub module: Option<String>,
}

impl Plan {
    /// Whether a region of the template is kept. `None` if there is no such region.
    pub fn keeps(&self, region: &str) -> Option<bool> {
        match region {
            "users_table" => Some(self.users.has_users_table()),
            region => self.choices.keeps(region),
        }
    }
}

#[cfg(test)]
impl Plan {
    pub fn default_for_tests() -> Self {
        Self {
            app: AppName::parse("my_app").expect("a name"),
            users: UserNames::default(),
            choices: Choices::ALL,
            sigra: SigraSource::Registry,
            module: None,
        }
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

/// All that is generated for an application.
pub fn files(plan: &Plan) -> Result<Files, GenerateError> {
    application(plan)
}

/// All files of a new application.
pub fn application(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = Files::new();
    for file in template::files()? {
        if !files::is_kept(&file.path, &plan.choices) {
            continue;
        }
        let text = regions::apply(&file.path, &file.text, |region| plan.keeps(region))?;
        let text = match &*file.path {
            "Cargo.toml" => cargo_toml::of_application(&text, plan)?,
            // Style sheets know no users, and properties such as `user-select`.
            path if path.ends_with(".css") => text,
            _ => plan.app.rename(&plan.users.rename(&text)),
        };
        let text = text.replace(files::migrations(plan.choices.db), "migrations");
        let path = plan.users.rename_path(&files::moved(&file.path, &plan.choices));
        generated.insert(path, text);
    }
    rustfmt::format(&mut generated)?;
    Ok(generated)
}
