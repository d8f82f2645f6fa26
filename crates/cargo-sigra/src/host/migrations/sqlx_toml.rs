//! `sqlx.toml`: the table of applied migrations, and the folder of migrations.

use std::{fs, path::Path};

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct SqlxToml {
    migrate: Migrate,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Migrate {
    migrations_dir: Option<String>,
    table_name: Option<String>,
}

fn sqlx_toml(root: &Path) -> Migrate {
    let text = fs::read_to_string(root.join("sqlx.toml")).unwrap_or_default();
    toml::from_str::<SqlxToml>(&text).unwrap_or_default().migrate
}

/// Returns the folder of migrations that `sqlx::migrate!()` uses.
pub fn default_folder(root: &Path) -> String {
    sqlx_toml(root).migrations_dir.unwrap_or_else(|| "migrations".to_owned())
}

/// Returns the name of the table with the applied migrations, for the crate that contains a folder.
pub fn table_around(folder: &Path) -> String {
    let named = folder.ancestors().take(4).find_map(|folder| sqlx_toml(folder).table_name);
    named.unwrap_or_else(|| "_sqlx_migrations".to_owned())
}
