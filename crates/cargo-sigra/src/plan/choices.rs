//! The choices of the user.

use serde::{Deserialize, Serialize};

/// The database that the application is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// A file next to the application
    Sqlite,
    /// A PostgreSQL server
    Postgres,
}

/// The type of user IDs in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Id {
    /// UUIDv7: doesn't reveal how many users there are
    Uuid,
    /// 64-bit integers: 1, 2, 3, …
    Bigint,
}

/// Whether the application is new or already exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    New,
    Existing,
}

/// All choices. The application's record keeps them for upgrades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    pub place: Place,
    pub db: Database,
    pub id: Id,
    pub mfa: bool,
    pub passkeys: bool,
    pub magic_link: bool,
    /// Whether users can log in at providers. Records of older versions don't have this field.
    #[serde(default)]
    pub oauth: bool,
    /// Whether users can create tokens for programs. Records of older versions don't have this field.
    #[serde(default)]
    pub api_tokens: bool,
    /// Whether programs can log in by OAuth. Records of older versions don't have this field.
    #[serde(default)]
    pub oauth_server: bool,
    /// Whether sessions can be bound to their device. Records of older versions don't have this field.
    #[serde(default)]
    pub device_bound: bool,
    pub live: bool,
    /// Whether its texts can be translated. Records of older versions don't have this field.
    #[serde(default)]
    pub languages: bool,
    /// Whether it has a JSON API instead of pages. Records of older versions don't have this field.
    #[serde(default)]
    pub api_only: bool,
}

impl Choices {
    /// Returns the choices as text, to print.
    pub fn in_words(&self) -> String {
        let mut words = vec![
            match self.db {
                Database::Sqlite => "SQLite",
                Database::Postgres => "PostgreSQL",
            },
            match self.id {
                Id::Uuid => "user IDs are UUIDs",
                Id::Bigint => "user IDs are integers",
            },
        ];
        let parts = [
            (self.mfa, "two-factor authentication", "no two-factor authentication"),
            (self.passkeys, "passkeys", "no passkeys"),
            (self.magic_link, "login links", "no login links"),
            (self.oauth, "providers such as Google", "no providers such as Google"),
            (self.api_tokens, "access tokens", "no access tokens"),
            (self.oauth_server, "OAuth for programs", "no OAuth for programs"),
            (self.device_bound, "device-bound sessions", "no device-bound sessions"),
            (self.live, "WebSockets", "no WebSockets"),
            (self.languages, "languages", "English only"),
        ];
        words.extend(parts.into_iter().map(|(is_in, with, without)| if is_in { with } else { without }));
        if self.api_only {
            words.push("a JSON API instead of pages");
        }
        words.join(", ")
    }

    /// Returns whether a region of the template is kept. `None` if the choices don't decide that: the
    /// [plan](super::Plan) has further regions.
    pub fn keeps(&self, region: &str) -> Option<bool> {
        Some(match region {
            "mfa" => self.mfa,
            "passkeys" => self.passkeys,
            "magic_link" => self.magic_link,
            "oauth" => self.oauth,
            "api_tokens" => self.api_tokens,
            "oauth_server" => self.oauth_server,
            "device_bound" => self.device_bound,
            "live" => self.live,
            "languages" => self.languages,
            "api" => self.api_only,
            "pages" => !self.api_only,
            "sqlite" => self.db == Database::Sqlite,
            "postgres" => self.db == Database::Postgres,
            "uuid" => self.id == Id::Uuid,
            // Parts of a complete application, and parts for an existing one.
            "app" => self.place == Place::New,
            "install" => self.place == Place::Existing,
            // Parts that only the template needs, which is built for both databases.
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
        oauth: true,
        api_tokens: true,
        oauth_server: true,
        device_bound: true,
        live: true,
        languages: true,
        api_only: false,
    };
}
