//! Renders all files of an application.

use super::{
    cargo_toml::{self, CargoTomlError},
    files::Files,
    imports, module, plain,
    rustfmt::{self, RustfmtError},
    translations,
};
use crate::{
    plan::Plan,
    system::terminal,
    template::{
        files,
        read::{self, TemplateError, TemplateFile},
        regions::{self, RegionError},
        rename,
        texts::TextError,
    },
};

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Region(#[from] RegionError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    CargoToml(#[from] CargoTomlError),
    #[error(transparent)]
    Rustfmt(#[from] RustfmtError),
}

/// Returns all files of an application. If the host's formatting settings can't be used, prints a warning.
pub fn files(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = unformatted_files(plan)?;
    if let Some(error) = rustfmt::format_with_fallback(&mut generated, plan.rustfmt.as_deref())? {
        terminal::warn(format!("{error}. The generated code isn't formatted like yours"));
    }
    Ok(generated)
}

/// Returns all files of an application, formatted. Fails if they can't be: an upgrade compares them with others.
pub fn formatted_files(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = unformatted_files(plan)?;
    rustfmt::format(&mut generated, plan.rustfmt.as_deref())?;
    Ok(generated)
}

/// Returns files that were generated earlier, formatted as the plan says. Files that can't be stay as they are.
pub fn formatted_again(written: &Files, plan: &Plan) -> Files {
    let mut formatted = written.clone();
    match rustfmt::format(&mut formatted, plan.rustfmt.as_deref()) {
        Ok(()) => formatted,
        Err(_) => written.clone(),
    }
}

fn unformatted_files(plan: &Plan) -> Result<Files, GenerateError> {
    let mut generated = Files::new();
    for file in read::files()? {
        if !files::is_kept(&file.path, &plan.choices) || plan.module.is_some() && file.path == "Cargo.toml" {
            continue;
        }
        let text = text_of(&file, plan)?;
        let path = rename::users_in_name(&plan.users, &files::moved(&file.path, &plan.choices));
        generated.insert(path, text);
    }
    translations::keep_used(&mut generated)?;
    if let Some(module) = &plan.module {
        generated = module::moved(generated, module, plan);
    }
    for (_, text) in generated.iter_mut().filter(|(path, _)| path.ends_with(".rs")) {
        *text = imports::merged(text);
    }
    Ok(generated)
}

/// Returns the first migration, as it would be in a new application.
pub fn first_migration(plan: &Plan) -> Result<String, GenerateError> {
    let folder = files::migrations(plan.choices.db);
    let first = read::files()?.into_iter().find(|file| file.path.starts_with(folder));
    first.map_or(Ok(String::new()), |file| text_of(&file, plan))
}

fn text_of(file: &TemplateFile, plan: &Plan) -> Result<String, GenerateError> {
    let text = regions::apply(&file.path, &file.text, |region| plan.keeps(region))?;
    let text = if plan.choices.languages { text } else { plain::plain(&file.path, &text)? };
    let text = match &*file.path {
        "Cargo.toml" => cargo_toml::of_application(&text, plan)?,
        // Style sheets contain no names of users, but properties such as `user-select`.
        path if path.ends_with(".css") => text,
        _ => rename::app(&plan.app, &rename::users(&plan.users, &file.path, &text)),
    };
    Ok(text.replace(files::migrations(plan.choices.db), "migrations"))
}
