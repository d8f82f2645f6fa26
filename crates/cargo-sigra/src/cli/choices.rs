//! The questions. Each has a flag that answers it, and a default.

use std::fmt;

use inquire::{MultiSelect, Select};

use super::arguments::Parts;
use crate::{
    plan::choices::{Choices, Database, Id, Place},
    system::questions::QuestionError,
};

/// A value to choose, and its text in the list.
struct Answer<T>(T, &'static str);

impl<T> fmt::Display for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

/// A feature that can be left out.
#[derive(Clone, Copy)]
enum Part {
    Mfa,
    Passkeys,
    MagicLink,
    Oauth,
    ApiTokens,
    OauthServer,
    DeviceBound,
    Live,
    Languages,
}

/// Returns the choices of the flags, and asks for those without a flag if `can_ask`.
pub fn choose(parts: &Parts, place: Place, can_ask: bool) -> Result<Choices, QuestionError> {
    let given = Choices {
        place,
        db: parts.db.unwrap_or(Database::Sqlite),
        id: parts.id.unwrap_or(Id::Uuid),
        mfa: !parts.no_mfa,
        passkeys: !parts.no_passkeys && !parts.no_mfa,
        magic_link: !parts.no_magic_link,
        oauth: !parts.no_oauth,
        api_tokens: !parts.no_api_tokens,
        oauth_server: !parts.no_oauth_server && !parts.no_api_tokens,
        device_bound: !parts.no_device_bound,
        live: !parts.no_live,
        languages: !parts.no_languages,
        api_only: false,
    };
    if !can_ask {
        return Ok(given);
    }
    let mut choices = given;
    if parts.db.is_none() {
        choices.db = ask_database()?;
    }
    if parts.id.is_none() {
        choices.id = ask_id()?;
    }
    if !parts.leave_out_any() { ask_parts(choices) } else { Ok(choices) }
}

fn ask_database() -> Result<Database, QuestionError> {
    let answers = vec![
        Answer(Database::Sqlite, "SQLite: a file next to the application"),
        Answer(Database::Postgres, "PostgreSQL: a server"),
    ];
    Ok(Select::new("Which database?", answers).prompt()?.0)
}

fn ask_id() -> Result<Id, QuestionError> {
    let answers = vec![
        Answer(Id::Uuid, "UUIDs, which don't reveal how many users there are"),
        Answer(Id::Bigint, "Integers: 1, 2, 3, …"),
    ];
    Ok(Select::new("Which type of user ID?", answers).prompt()?.0)
}

fn ask_parts(choices: Choices) -> Result<Choices, QuestionError> {
    let parts = vec![
        Answer(Part::Mfa, "two-factor authentication"),
        Answer(Part::Passkeys, "passkeys (need two-factor authentication)"),
        Answer(Part::MagicLink, "login by a link in an email"),
        Answer(Part::Oauth, "login at providers, such as Google"),
        Answer(Part::ApiTokens, "access tokens, for scripts and other programs"),
        Answer(Part::OauthServer, "OAuth for apps, command lines and MCP (needs access tokens)"),
        Answer(Part::DeviceBound, "sessions that are bound to their device, so that stolen cookies soon stop working"),
        Answer(Part::Live, "WebSockets that close when their session ends"),
        Answer(Part::Languages, "languages other than English, starting with German"),
    ];
    let all: Vec<usize> = (0..parts.len()).collect();
    let wanted = MultiSelect::new("Which features?", parts)
        .with_default(&all)
        .with_help_message("space to select or clear, enter to continue")
        .prompt()?;
    let mut chosen = Choices {
        mfa: false,
        passkeys: false,
        magic_link: false,
        oauth: false,
        api_tokens: false,
        oauth_server: false,
        device_bound: false,
        live: false,
        languages: false,
        ..choices
    };
    for Answer(part, _) in wanted {
        match part {
            Part::Mfa => chosen.mfa = true,
            Part::Passkeys => chosen.passkeys = true,
            Part::MagicLink => chosen.magic_link = true,
            Part::Oauth => chosen.oauth = true,
            Part::ApiTokens => chosen.api_tokens = true,
            Part::OauthServer => chosen.oauth_server = true,
            Part::DeviceBound => chosen.device_bound = true,
            Part::Live => chosen.live = true,
            Part::Languages => chosen.languages = true,
        }
    }
    chosen.passkeys &= chosen.mfa;
    chosen.oauth_server &= chosen.api_tokens;
    Ok(chosen)
}
