//! What the user wants: names, features, and the source of the library.

pub mod choices;
pub mod migrations;
pub mod names;
pub mod sigra_source;
pub mod sql_words;
pub mod users;

use self::{choices::Choices, migrations::Migrations, names::AppName, sigra_source::SigraSource, users::UserNames};

/// The folder of a new application's sources.
pub const SOURCES: &str = "src";

/// Everything that determines the generated application.
#[derive(Clone, Debug)]
pub struct Plan {
    pub app: AppName,
    pub users: UserNames,
    pub choices: Choices,
    pub sigra: SigraSource,
    /// The module for everything, in an existing application.
    pub module: Option<String>,
    /// The folder of the module: `src`, unless the crate's root is elsewhere.
    pub folder: String,
    /// The port that an existing application listens on, if known.
    pub port: Option<u16>,
    /// The folder of migrations, and who runs them.
    pub migrations: Migrations,
    /// The SQL that makes the host's table the users table, instead of creating a new table.
    pub adopted: Option<String>,
    /// The host's `rustfmt.toml`. `None` for a new application.
    pub rustfmt: Option<String>,
}

impl Plan {
    /// Returns the plan of a new application.
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

    /// Returns whether a region of the template is kept: because of the users table or the migrations, or because of
    /// the [choices](Choices::keeps). `None` if no region has that name.
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
