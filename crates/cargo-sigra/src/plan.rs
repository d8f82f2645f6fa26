//! What is wanted: an application's name and its users', its parts, and where the library is taken from.

pub mod choices;
pub mod migrations;
pub mod names;
pub mod sigra_source;
pub mod sql_words;
pub mod users;

use self::{choices::Choices, migrations::Migrations, names::AppName, sigra_source::SigraSource, users::UserNames};

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
