//! The database: the library's tables, and every statement that reads or writes them.
//!
//! Statements are written once, in functions that are generic over the user's type or over the `Dialect` of the
//! database. Only the library can call them, because what they write must also be audited and announced, and must end
//! sessions: [`Sigra`](crate::Sigra) does that.

#[cfg_attr(
    not(feature = "api-tokens"),
    allow(dead_code, reason = "without the feature, existing tokens are still deleted, and still expire")
)]
pub(crate) mod api_tokens;
pub(crate) mod attempts;
pub(crate) mod audit_log;
pub(crate) mod backup_codes;
mod batch;
#[cfg(feature = "api-tokens")]
mod bearers;
mod begin;
pub(crate) mod browsers;
mod checkpoint;
pub(crate) mod clock;
pub(crate) mod email_tokens;
#[cfg_attr(
    not(feature = "oauth"),
    allow(dead_code, reason = "without the feature, existing identities are still deleted")
)]
pub(crate) mod identities;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_clients;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_codes;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_device_codes;
#[cfg_attr(not(feature = "oauth"), allow(dead_code, reason = "without the feature, existing flows still expire"))]
pub(crate) mod oauth_flows;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_grants;
#[cfg(feature = "mail")]
pub(crate) mod outgoing_mails;
mod own_pool;
#[cfg_attr(
    not(feature = "passkeys"),
    allow(dead_code, reason = "without the feature, existing passkeys are still deleted, and challenges still expire")
)]
pub(crate) mod passkeys;
#[cfg(feature = "postgres")]
mod postgres;
mod probe;
mod purge;
mod query;
mod reader;
mod row;
pub mod schema;
pub(crate) mod second_factors;
pub(crate) mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
pub(crate) mod totp;
pub(crate) mod users;

#[cfg(feature = "mail")]
pub(crate) use self::outgoing_mails::KeptMail;
#[cfg(feature = "passkeys")]
pub(crate) use self::passkeys::PasskeyRow;
pub(crate) use self::{
    begin::begin,
    browsers::{Browser, BrowserKind, NewBrowser, Seen},
    checkpoint::checkpoint,
    email_tokens::NewEmailToken,
    own_pool::OwnPool,
    probe::probe,
    users::OtherWays,
};
#[cfg(feature = "oauth-server")]
pub(crate) use self::{
    oauth_clients::RegisteredClientRow,
    oauth_codes::CodeRow,
    oauth_device_codes::{DeviceCodeRow, NewDeviceCode},
    oauth_grants::{FoundGrant, GrantRow, NewAccessToken, Rotation},
};

/// Looks up session tokens.
pub(crate) type SessionReader<U> = reader::Reader<U, sessions::FindByToken<U>>;

/// Looks up bearer tokens.
#[cfg(feature = "api-tokens")]
pub(crate) type BearerReader<U> = reader::Reader<U, bearers::FindBearer<U>>;

#[cfg(feature = "oauth")]
pub(crate) use self::{
    identities::IdentityRow,
    oauth_flows::{FlowRow, NewFlow},
};
