//! A provider, and what a host says about it.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;

use crate::{
    base::config_error::ConfigError,
    oauth::{apple::AppleKey, error::OauthError, http::Plaintext},
};

/// Parameters of the authorization request that only the library sets.
const RESERVED: [&str; 12] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "max_age",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// A provider that users log in with, such as Google.
///
/// ```
/// use sigra::oauth::{Provider, Providers};
///
/// let providers = Providers::new([
///     Provider::google("client-id", "client-secret"),
///     Provider::oidc("corp", "https://login.corp.example", "client-id", "client-secret").with_label("Corp"),
/// ])?;
/// let labels: Vec<&str> = providers.iter().map(Provider::label).collect();
/// assert_eq!(labels, ["Google", "Corp"]);
/// # Ok::<(), sigra::ConfigError>(())
/// ```
///
/// A name or a client secret that can't be right fails there, at start, and the library sends a provider nothing before
/// somebody logs in with it.
#[derive(Clone)]
pub struct Provider {
    pub(super) name: String,
    label: String,
    pub(super) client_id: String,
    pub(super) credential: Credential,
    pub(super) protocol: Protocol,
    pub(super) scopes: Vec<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) emails: Emails,
    pub(super) keeps_tokens: bool,
    pub(super) plaintext: Plaintext,
    pub(super) reauthenticates: bool,
    pub(super) posts_callback: bool,
    /// A mistake in the settings, found before [`check`](Self::check).
    pub(super) mistake: Option<&'static str>,
}

/// What proves to the provider that the request is of this client.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    Secret(SecretString),
    Apple(AppleKey),
}

#[derive(Clone)]
pub(super) enum Protocol {
    Oidc {
        /// As in the metadata. Microsoft's common endpoints have [`TENANT`](crate::oauth::id_token::TENANT) in it.
        issuer: String,
        /// Where the metadata is below.
        base: String,
    },
    OAuth2(OAuth2),
}

#[derive(Clone)]
pub(super) struct OAuth2 {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    /// Where the user's profile is.
    pub profiles: Vec<String>,
    pub read: ReadProfile,
    pub secret_in_body: bool,
}

type ReadProfile = Arc<dyn Fn(&[Value]) -> Option<Profile> + Send + Sync>;

/// For which email addresses a provider is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emails {
    /// None.
    Never,
    /// Those that the provider verified, because the host trusts it.
    Verified,
    /// Those of Gmail and Google Workspace.
    Google,
    /// Those of iCloud, and Apple's private relay.
    Apple,
}

/// A user's profile at a provider without OpenID Connect, for [`Provider::oauth2`].
///
/// ```
/// use sigra::oauth::Profile;
///
/// let profile = Profile::new(583_231).email("octocat@example.com", true);
/// # let _ = profile;
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
}

impl Profile {
    /// Creates a profile from the ID of the user's account. Take an ID that never changes and is never given to another
    /// user, so not a user name and not an email address.
    #[must_use]
    pub fn new(id: impl ToString) -> Self {
        Self { subject: id.to_string(), email: None, email_verified: false }
    }

    /// Sets the email address, and whether the provider says that it verified it.
    #[must_use]
    pub fn email(mut self, email: impl Into<String>, verified: bool) -> Self {
        self.email = Some(email.into());
        self.email_verified = verified;
        self
    }
}

/// Other providers.
impl Provider {
    /// Any OpenID Connect provider, by its issuer: what comes before `/.well-known/openid-configuration`, exactly as
    /// the provider writes it. The name is part of the callback's path.
    ///
    /// ```
    /// # use sigra::oauth::{Provider, Providers};
    /// let corp = Provider::oidc("corp", "https://login.corp.example", "client-id", "client-secret");
    /// Providers::new([corp.with_label("Corp")])?;
    /// # Ok::<(), sigra::ConfigError>(())
    /// ```
    #[must_use]
    pub fn oidc(
        name: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        let issuer = issuer.into();
        let protocol = Protocol::Oidc { base: issuer.clone(), issuer };
        let mut provider = Self::of(name.into(), client_id.into(), client_secret.into(), protocol);
        provider.scopes = vec!["openid".to_owned(), "email".to_owned()];
        provider.reauthenticates = true;
        provider
    }

    /// Any OAuth 2.0 provider with a JSON API. The function reads the user's profile from the API's responses, in the
    /// order of [`profile`](Self::profile), and returns `None` if they aren't what they should be.
    ///
    /// The issuer names the provider in your database: use the one that the provider documents or sends as `iss` to the
    /// callback (RFC 9207), or else the origin of its pages. A callback with another `iss` is refused.
    ///
    /// ```
    /// use sigra::oauth::{Profile, Provider, Providers};
    ///
    /// let codeberg = Provider::oauth2("forge", "https://forge.example", "client-id", "client-secret", |responses| {
    ///     let user = responses.first()?;
    ///     Some(Profile::new(user.get("id")?.as_u64()?).email(user.get("email")?.as_str()?, false))
    /// })
    /// .with_label("Forge")
    /// .endpoints("https://forge.example/login/oauth/authorize", "https://forge.example/login/oauth/access_token")
    /// .profile("https://forge.example/api/v1/user")
    /// .scopes(["read:user"]);
    /// Providers::new([codeberg])?;
    /// # Ok::<(), sigra::ConfigError>(())
    /// ```
    #[must_use]
    pub fn oauth2(
        name: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
        read: impl Fn(&[Value]) -> Option<Profile> + Send + Sync + 'static,
    ) -> Self {
        let protocol = Protocol::OAuth2(OAuth2 {
            issuer: issuer.into(),
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            profiles: Vec::new(),
            read: Arc::new(read),
            secret_in_body: false,
        });
        Self::of(name.into(), client_id.into(), client_secret.into(), protocol)
    }

    fn of(name: String, client_id: String, client_secret: String, protocol: Protocol) -> Self {
        Self {
            label: name.clone(),
            name,
            client_id,
            credential: Credential::Secret(client_secret.into()),
            protocol,
            scopes: Vec::new(),
            parameters: Vec::new(),
            emails: Emails::Never,
            keeps_tokens: false,
            plaintext: Plaintext::Refused,
            reauthenticates: false,
            posts_callback: false,
            mistake: None,
        }
    }
}

/// Settings.
impl Provider {
    /// Sets the name in the path of the callback, such as `google` in `/users/auth/google/callback`. Use it to have
    /// two providers of one preset. Identities don't depend on it.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let staff = Provider::google("client-id", "client-secret").with_name("staff").with_label("Google for staff");
    /// assert_eq!(staff.name(), "staff");
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the name that users know the provider by, as on the button "Log in with Google".
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let google = Provider::google("client-id", "client-secret").with_label("your company account");
    /// assert_eq!(google.label(), "your company account");
    /// ```
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets the scopes that the user is asked to allow (default: `openid email`, or what the preset needs).
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let google = Provider::google("client-id", "client-secret").scopes(["openid", "email", "profile"]);
    /// # let _ = google;
    /// ```
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a parameter to the authorization request, such as `prompt=select_account`, or `hd=example.com` for Google.
    /// It is a wish that users can change: check the response, not the request.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let google = Provider::google("client-id", "client-secret").authorization_parameter("prompt", "select_account");
    /// # let _ = google;
    /// ```
    #[must_use]
    pub fn authorization_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Sets the endpoints of an [OAuth 2.0](Self::oauth2) provider.
    #[must_use]
    pub fn endpoints(mut self, authorization: impl Into<String>, token: impl Into<String>) -> Self {
        match &mut self.protocol {
            Protocol::OAuth2(oauth2) => {
                oauth2.authorization_endpoint = authorization.into();
                oauth2.token_endpoint = token.into();
            }
            Protocol::Oidc { .. } => self.mistake = Some("its endpoints come from its metadata: don't set them"),
        }
        self
    }

    /// Adds a URL that the profile of an [OAuth 2.0](Self::oauth2) provider's user is read from, as JSON.
    #[must_use]
    pub fn profile(mut self, url: impl Into<String>) -> Self {
        match &mut self.protocol {
            Protocol::OAuth2(oauth2) => oauth2.profiles.push(url.into()),
            Protocol::Oidc { .. } => self.mistake = Some("its profiles come from its metadata: don't set their URLs"),
        }
        self
    }

    /// Accepts email addresses that the provider says it verified as proven, without an email of your own.
    ///
    /// Anyone who controls the provider can then take over the unconfirmed account of any email address. Trust only a
    /// provider that verifies every address before it says so, such as the one of your own company. Microsoft can't be
    /// trusted: the claim is mutable.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let github = Provider::github("client-id", "client-secret").trust_verified_emails();
    /// # let _ = github;
    /// ```
    #[must_use]
    pub fn trust_verified_emails(mut self) -> Self {
        self.emails = Emails::Verified;
        self
    }

    /// Keeps the provider's tokens in [`ProviderIdentity::tokens`](crate::oauth::ProviderIdentity::tokens) (default:
    /// they are dropped after the login).
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let gitlab = Provider::gitlab("client-id", "client-secret")
    ///     .scopes(["openid", "email", "read_api"])
    ///     .keep_tokens();
    /// # let _ = gitlab;
    /// ```
    #[must_use]
    pub fn keep_tokens(mut self) -> Self {
        self.keeps_tokens = true;
        self
    }

    /// Sets whether the provider's URLs may be `http` on a loopback address (default: no). Allow it only in
    /// development and tests.
    ///
    /// ```
    /// # use sigra::oauth::{Provider, Providers};
    /// let local = Provider::oidc("local", "http://127.0.0.1:4100", "client-id", "client-secret");
    /// assert!(Providers::new([local.clone()]).is_err());
    /// assert!(Providers::new([local.http_on_loopback(true)]).is_ok());
    /// ```
    #[must_use]
    pub fn http_on_loopback(mut self, allowed: bool) -> Self {
        self.plaintext = if allowed { Plaintext::OnLoopback } else { Plaintext::Refused };
        self
    }

    /// Sets whether users can reauthenticate at the provider for [sudo mode](crate::Sudo) (default: yes for OpenID
    /// Connect, but not for Google and Apple). The provider must support `prompt=login` and `max_age`, and send
    /// `auth_time`.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let microsoft = Provider::microsoft("common", "client-id", "client-secret").reauthentication(false);
    /// assert!(!microsoft.can_reauthenticate());
    /// ```
    #[must_use]
    pub fn reauthentication(mut self, supported: bool) -> Self {
        if supported && matches!(self.protocol, Protocol::OAuth2(_)) {
            self.mistake = Some("users can't reauthenticate at it: only OpenID Connect says when they did");
        }
        self.reauthenticates = supported;
        self
    }
}

/// What a host's pages need.
impl Provider {
    /// Returns the name in the path of the callback.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name that users know the provider by.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns whether users can reauthenticate at the provider for [sudo mode](crate::Sudo).
    #[must_use]
    pub fn can_reauthenticate(&self) -> bool {
        self.reauthenticates
    }

    /// Returns whether the provider sends the callback as a form, by a cross-site `POST`, which has no cookies with
    /// `SameSite=Lax`. Of the presets, only Apple does.
    #[must_use]
    pub fn posts_callback(&self) -> bool {
        self.posts_callback
    }
}

impl Provider {
    /// Checks the settings, without asking the provider.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(is_name) {
            return Err(ConfigError::ProviderName(self.name.clone()));
        }
        match self.mistake.or_else(|| self.find_mistake()) {
            Some(mistake) => Err(ConfigError::Provider { provider: self.name.clone(), mistake }),
            None => Ok(()),
        }
    }

    fn find_mistake(&self) -> Option<&'static str> {
        if self.client_id.trim().is_empty() {
            return Some("its client ID is empty: copy it from the provider's settings");
        }
        if matches!(&self.credential, Credential::Secret(secret) if secret.expose_secret().trim().is_empty()) {
            return Some("its client secret is empty: copy it from the provider's settings");
        }
        let is_accepted = |url: &str| Url::parse(url).is_ok_and(|url| self.plaintext.accepts(&url));
        match &self.protocol {
            Protocol::Oidc { issuer, base } => {
                if !is_accepted(base) || issuer.contains(['?', '#']) {
                    return Some("its issuer must be an https URL without query, such as https://accounts.google.com");
                }
                if !self.scopes.iter().any(|scope| scope == "openid") {
                    return Some("its scopes must include openid");
                }
                if self.emails == Emails::Verified && base.starts_with("https://login.microsoftonline.com/") {
                    return Some("the email addresses of Microsoft can't be trusted: any tenant can claim any address");
                }
            }
            Protocol::OAuth2(oauth2) => {
                if !is_accepted(&oauth2.authorization_endpoint) || !is_accepted(&oauth2.token_endpoint) {
                    return Some("its endpoints must be https URLs: set them with `Provider::endpoints`");
                }
                if oauth2.profiles.is_empty() || !oauth2.profiles.iter().all(|url| is_accepted(url)) {
                    return Some("its profiles must be https URLs: set them with `Provider::profile`");
                }
                if oauth2.issuer.is_empty() {
                    return Some("its issuer is empty: use the origin of its pages");
                }
            }
        }
        let is_reserved = |(name, _): &(String, String)| RESERVED.contains(&name.as_str());
        self.parameters.iter().any(is_reserved).then_some(
            "an authorization parameter is one that the library sets itself: remove `Provider::authorization_parameter`",
        )
    }

    /// Returns the client secret. Apple's is signed now.
    pub(super) fn client_secret(&self, now: OffsetDateTime) -> Result<SecretString, OauthError> {
        match &self.credential {
            Credential::Secret(secret) => Ok(secret.clone()),
            Credential::Apple(key) => key.client_secret(&self.client_id, now).ok_or(OauthError::Signing),
        }
    }

    /// Returns whether the provider has proven an email address that it says it verified.
    pub(super) fn proves(&self, email: &str, hosted_domain: Option<&str>) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase()).unwrap_or_default();
        match self.emails {
            Emails::Never => false,
            Emails::Verified => true,
            // Google is authoritative for these, says the documentation of its ID tokens.
            Emails::Google => domain == "gmail.com" || hosted_domain.is_some_and(|domain| !domain.is_empty()),
            Emails::Apple => ["icloud.com", "me.com", "mac.com", "privaterelay.appleid.com"].contains(&&*domain),
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = match &self.protocol {
            Protocol::Oidc { issuer, .. } => issuer,
            Protocol::OAuth2(oauth2) => &oauth2.issuer,
        };
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("issuer", issuer)
            .field("client_id", &self.client_id)
            .field("emails", &self.emails)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_18_an_address_is_proven_only_by_whoever_is_authoritative_for_it() {
        let trusting = Provider::github("id", "secret").trust_verified_emails();
        for (provider, email, hosted_domain, expected) in [
            (Provider::google("id", "secret"), "jane@gmail.com", None, true),
            (Provider::google("id", "secret"), "Jane@GMail.com", None, true),
            (Provider::google("id", "secret"), "jane@example.com", Some("example.com"), true),
            (Provider::google("id", "secret"), "jane@example.com", None, false),
            (Provider::google("id", "secret"), "jane@example.com", Some(""), false),
            (Provider::google("id", "secret"), "jane@gmail.com.example.com", None, false),
            (Provider::google("id", "secret"), "\"jane@gmail.com\"@example.com", None, false),
            (Provider::apple("id", "team", "key", ""), "abc@privaterelay.appleid.com", None, true),
            (Provider::apple("id", "team", "key", ""), "jane@icloud.com", None, true),
            (Provider::apple("id", "team", "key", ""), "jane@example.com", None, false),
            (Provider::microsoft("common", "id", "secret"), "jane@outlook.com", Some("outlook.com"), false),
            (Provider::gitlab("id", "secret"), "jane@gitlab.com", None, false),
            (Provider::github("id", "secret"), "jane@github.com", None, false),
            (Provider::discord("id", "secret"), "jane@example.com", None, false),
            (trusting, "jane@example.com", None, true),
        ] {
            assert_eq!(provider.proves(email, hosted_domain), expected, "{provider:?} {email}");
        }
    }
}
