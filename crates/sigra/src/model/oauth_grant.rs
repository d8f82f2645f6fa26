//! Programs that users gave access.

use std::{net::IpAddr, pin::Pin};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::error::Error,
    model::{oauth_client::REGISTERED, permission::Permissions, transaction::Transaction},
};

/// A program that a user gave access: one entry of their devices.
///
/// ```
/// # use sigra::oauth_server::Grant;
/// fn describe(grant: &Grant) -> String {
///     format!("{} can {}", grant.device(), grant.permissions)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The row's ID. It isn't secret: nobody can authenticate with it.
    pub id: Uuid,
    /// The ID of the client.
    pub client_id: String,
    /// The name of the client, as the user read it.
    pub client_name: String,
    /// What the program can do, of the permissions that are registered.
    pub permissions: Permissions,
    /// The [resource](crate::oauth_server::AuthorizationServer::resource) that its tokens are limited to. `None` if
    /// they are valid at the whole server.
    pub resource: Option<String>,
    /// The IP address that it was last used from, to within five minutes.
    pub ip: Option<IpAddr>,
    /// The user agent of the program, or of the browser next to it.
    pub user_agent: Option<String>,
    /// When it was last used, to within five minutes.
    pub last_used_at: OffsetDateTime,
    /// When the user gave access.
    pub inserted_at: OffsetDateTime,
}

impl Grant {
    /// Returns the program and its operating system in words: `Acme CLI on Linux`.
    #[must_use]
    pub fn device(&self) -> String {
        match self.system() {
            Some(system) => format!("{} on {system}", self.client_name),
            None => self.client_name.clone(),
        }
    }

    /// Returns the operating system that it runs on, if its user agent says so.
    #[must_use]
    pub fn system(&self) -> Option<&'static str> {
        system_of(self.user_agent.as_deref()?)
    }

    /// Returns whether its client [registered itself](crate::oauth_server::OauthClient::is_registered), so that nothing
    /// about it is proven.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.client_id.starts_with(REGISTERED)
    }
}

/// A program that gets access now, for a host that [tells its
/// user](crate::oauth_server::OauthServer::token_with).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewGrant<U> {
    /// The user.
    pub user: U,
    /// The program.
    pub grant: Grant,
    /// When its access ends, unless the user ends it before.
    pub ends_at: OffsetDateTime,
    /// Whether the user was asked. They are not, if the client [skips
    /// consent](crate::oauth_server::OauthClient::skip_consent).
    pub was_asked: bool,
}

/// What the host does when a program gets access, in the transaction in which it does.
pub(crate) type OnNewGrant<U> = Box<
    dyn for<'a> FnOnce(
            &'a mut Transaction<U>,
            &'a NewGrant<U>,
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
        + Send,
>;

/// Returns the operating system that a user agent names. Programs write it in many ways, which parsers for browsers
/// don't know.
pub(crate) fn system_of(user_agent: &str) -> Option<&'static str> {
    // In this order, because a phone also names what its system is made of.
    const SYSTEMS: [(&str, &str); 11] = [
        ("iphone", "iPhone"),
        ("ipad", "iPad"),
        ("android", "Android"),
        ("cros", "ChromeOS"),
        ("windows", "Windows"),
        ("win32", "Windows"),
        ("macintosh", "macOS"),
        ("darwin", "macOS"),
        ("macos", "macOS"),
        ("ios", "iPhone"),
        ("linux", "Linux"),
    ];
    let user_agent = user_agent.to_ascii_lowercase();
    let words: Vec<&str> = user_agent.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    SYSTEMS.iter().find(|(word, _)| words.contains(word)).map(|(_, system)| *system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_name_their_system_in_many_ways() {
        for (user_agent, system) in [
            ("acme-cli/1.0 (linux x86_64)", Some("Linux")),
            ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36", Some("Android")),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", Some("iPhone")),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", Some("macOS")),
            ("Acme/3 CFNetwork/1490 Darwin/23.6.0", Some("macOS")),
            ("acme/1.0 (win32; x64)", Some("Windows")),
            ("oauth2/5.0", None),
            ("darwinian/1.0", None),
            ("", None),
        ] {
            assert_eq!(system_of(user_agent), system, "{user_agent}");
        }
    }
}
