//! What an application is to have.

use serde::{Deserialize, Serialize};

/// The database that it is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// A file beside the application
    Sqlite,
    /// A PostgreSQL server
    Postgres,
}

/// What users are known by in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Id {
    /// UUIDv7: tells nobody how many users there are
    Uuid,
    /// 64-bit integers, counted up
    Bigint,
}

/// Whether the application is new, or was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    New,
    Existing,
}

/// All choices. They are kept with the application, for an upgrade to make the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    pub place: Place,
    pub db: Database,
    pub id: Id,
    pub mfa: bool,
    pub passkeys: bool,
    pub magic_link: bool,
    pub live: bool,
    /// JSON in place of pages. No application had it at first.
    #[serde(default)]
    pub api_only: bool,
}

impl Choices {
    /// For people.
    pub fn in_words(&self) -> String {
        let mut words = vec![
            match self.db {
                Database::Sqlite => "SQLite",
                Database::Postgres => "PostgreSQL",
            },
            match self.id {
                Id::Uuid => "users have UUIDs",
                Id::Bigint => "users are counted",
            },
        ];
        let parts = [
            (self.mfa, "a second factor", "no second factor"),
            (self.passkeys, "passkeys", "no passkeys"),
            (self.magic_link, "links to log in", "no links to log in"),
            (self.live, "WebSockets", "no WebSockets"),
        ];
        words.extend(parts.into_iter().map(|(is_in, with, without)| if is_in { with } else { without }));
        if self.api_only {
            words.push("JSON in place of pages");
        }
        words.join(", ")
    }

    /// Whether a region of the template is kept. `None` if there is no such region.
    pub fn keeps(&self, region: &str) -> Option<bool> {
        Some(match region {
            "mfa" => self.mfa,
            "passkeys" => self.passkeys,
            "magic_link" => self.magic_link,
            "live" => self.live,
            "api" => self.api_only,
            "pages" => !self.api_only,
            "sqlite" => self.db == Database::Sqlite,
            "postgres" => self.db == Database::Postgres,
            "uuid" => self.id == Id::Uuid,
            // What a whole application has, and what one needs that had its own before.
            "app" => self.place == Place::New,
            "install" => self.place == Place::Existing,
            // What only the template itself needs, which is built for either database.
            "template" => false,
            _ => return None,
        })
    }
}

#[cfg(test)]
impl Choices {
    pub const ALL: Self = Self {
        place: Place::New,
        db: Database::Sqlite,
        id: Id::Uuid,
        mfa: true,
        passkeys: true,
        magic_link: true,
        live: true,
        api_only: false,
    };
}
