//! The settings of the OAuth server.

use std::time::Duration;

use url::{Host, Url};

use crate::{
    base::config_error::{ConfigError, check_durations},
    model::{
        limit::Limit,
        oauth_client::{OauthClient, REGISTERED, joined},
        oauth_lifetimes::GRANT_TTL,
    },
};

/// The path of the authorization endpoint.
pub(crate) const AUTHORIZE_PATH: &str = "/oauth/authorize";

const MINUTE: Duration = Duration::from_secs(60);

/// The settings of the [OAuth server](crate::oauth_server): the clients of the host, and where their tokens are valid.
///
/// ```
/// use sigra::{Config, SecretKeyBase, oauth_server::{AuthorizationServer, OauthClient}};
///
/// let server = AuthorizationServer::new("https://app.example.com")
///     .client(OauthClient::new("acme-cli", "Acme CLI").redirect_uri("http://127.0.0.1/callback").device_flow(true));
/// let config = Config::new("my_app", SecretKeyBase::generate()?).oauth_server(server);
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass it to Config::oauth_server"]
pub struct AuthorizationServer {
    pub(crate) issuer: String,
    pub(crate) clients: Vec<OauthClient>,
    pub(crate) resources: Vec<String>,
    pub(crate) access_token_ttl: Duration,
    pub(crate) refresh_grace: Duration,
    pub(crate) grant_ttl: Duration,
    pub(crate) programs_per_user: usize,
    /// `None` if clients can't register.
    pub(crate) registered_clients: Option<u32>,
    /// `None` for all permissions of the host.
    pub(crate) registered_permissions: Option<String>,
    /// `None` for all resources of the server, or for the whole server if it has none.
    pub(crate) registered_resources: Option<Vec<String>>,
    pub(crate) registration_limit: Limit,
}

impl AuthorizationServer {
    /// Creates the settings of a server at an origin such as `https://app.example.com`. It is the issuer, and all
    /// tokens are valid there unless a client asks for a [part of it](Self::resource).
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            clients: Vec::new(),
            resources: Vec::new(),
            access_token_ttl: 15 * MINUTE,
            refresh_grace: Duration::from_secs(30),
            grant_ttl: GRANT_TTL,
            programs_per_user: 100,
            registered_clients: None,
            registered_permissions: None,
            registered_resources: None,
            registration_limit: Limit::CLIENT_REGISTRATION,
        }
    }

    /// Adds a client.
    pub fn client(mut self, client: OauthClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Adds a resource that tokens can be limited to (RFC 8707), such as the URL of an MCP server. A token for
    /// `https://app.example.com/mcp` opens only that path and what is below it. A resource at another origin is for an
    /// API that [introspects](OauthClient::introspection_for) tokens.
    pub fn resource(mut self, url: impl Into<String>) -> Self {
        self.resources.push(url.into());
        self
    }

    /// Sets how long an access token is valid (default: 15 minutes).
    pub fn access_token_ttl(mut self, ttl: Duration) -> Self {
        self.access_token_ttl = ttl;
        self
    }

    /// Sets how long a replaced refresh token can be sent again, because the response was lost or two
    /// processes of a client refresh at once (default: 30 seconds). It returns the same successor. After that, and for
    /// any older one, its family ends (RFC 9700 section 4.14).
    pub fn refresh_grace(mut self, grace: Duration) -> Self {
        self.refresh_grace = grace;
        self
    }

    /// Sets how long a program has access after the user gave it (default: 90 days). Use doesn't extend it.
    pub fn grant_ttl(mut self, ttl: Duration) -> Self {
        self.grant_ttl = ttl;
        self
    }

    /// Sets the maximum number of programs that a user can give access (default: 100). A user with that many must end
    /// one first ([`Error::TooManyPrograms`](crate::Error::TooManyPrograms)). Nobody could be asked about a client that
    /// [skips consent](OauthClient::skip_consent): its own access that wasn't used for the longest time makes room.
    pub fn programs_per_user(mut self, max: usize) -> Self {
        self.programs_per_user = max;
        self
    }

    /// Lets programs register themselves as clients (RFC 7591), as those for MCP do (default: no). Their redirect URIs
    /// must be `https` or on the user's computer. Nobody has checked them, so limit the
    /// [resources](Self::registered_client_resources) and [permissions](Self::registered_client_permissions) that they
    /// can ask for.
    ///
    /// Programs with the same name and redirect URIs are one client. There are at most this many: the one that wasn't
    /// used for the longest time makes room for another. Not within 15 minutes of its use, and not while it has access
    /// to an account, although each user's access protects only the 2 clients that were used last.
    ///
    /// ```
    /// use sigra::oauth_server::AuthorizationServer;
    ///
    /// let mcp = "https://app.example.com/mcp";
    /// let server = AuthorizationServer::new("https://app.example.com")
    ///     .resource(mcp)
    ///     .max_registered_clients(1000)
    ///     .registered_client_resources([mcp])
    ///     .registered_client_permissions(["projects:read"]);
    /// assert_eq!(server.check(), Ok(()));
    /// ```
    pub fn max_registered_clients(mut self, max: u32) -> Self {
        self.registered_clients = (max > 0).then_some(max);
        self
    }

    /// Sets how many clients can be registered from one IP address, or from one IPv6 network of 64 bits
    /// (default: [`Limit::CLIENT_REGISTRATION`], 10 in an hour). A registration that repeats an earlier one doesn't
    /// count. If the IP address is unknown, all share ten times this limit.
    ///
    /// ```
    /// use sigra::{limits::Limit, oauth_server::AuthorizationServer};
    ///
    /// let server = AuthorizationServer::new("https://app.example.com")
    ///     .max_registered_clients(10_000)
    ///     .registration_limit(Limit::CLIENT_REGISTRATION.free(100));
    /// # let _ = server;
    /// ```
    pub fn registration_limit(mut self, limit: Limit) -> Self {
        self.registration_limit = limit;
        self
    }

    /// Sets the permissions that registered clients can ask for, by their names (default: all of the host's).
    pub fn registered_client_permissions<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.registered_permissions = Some(joined(names));
        self
    }

    /// Sets the resources that registered clients can ask for (RFC 8707), of those that the server
    /// [has](Self::resource). Each request must name one of them as its `resource`, or it is refused.
    ///
    /// The default is all that the server has. As soon as it has one, registered clients get no tokens for the whole
    /// server, unless its issuer is among these.
    pub fn registered_client_resources<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.registered_resources = Some(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Checks that it can be used. [`Config::check`](crate::Config::check) does so too.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], in one sentence that names the setting and how to fix it.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_issuer()?;
        self.check_resources()?;
        self.check_clients()?;
        check_durations([
            ("oauth_server.access_token_ttl", self.access_token_ttl),
            ("oauth_server.refresh_grace", self.refresh_grace),
            ("oauth_server.grant_ttl", self.grant_ttl),
        ])
    }

    fn check_issuer(&self) -> Result<(), ConfigError> {
        match Url::parse(&self.issuer) {
            Ok(url) if is_secure(&url) && self.issuer == origin(&url) => Ok(()),
            _ => Err(ConfigError::Issuer(self.issuer.clone())),
        }
    }

    fn check_resources(&self) -> Result<(), ConfigError> {
        for (at, resource) in self.resources.iter().enumerate() {
            let is_resource = Url::parse(resource)
                .is_ok_and(|url| is_secure(&url) && url.query().is_none() && !resource.contains(['#', '@']));
            if !is_resource || self.resources[..at].contains(resource) {
                return Err(ConfigError::Resource(resource.clone()));
            }
        }
        Ok(())
    }

    fn check_clients(&self) -> Result<(), ConfigError> {
        for (at, client) in self.clients.iter().enumerate() {
            client.check()?;
            if self.clients[..at].iter().any(|earlier| earlier.id == client.id) {
                return Err(ConfigError::SameOauthClient(client.id.clone()));
            }
            if client.introspection_for.iter().any(|resource| self.find_resource(resource).is_none()) {
                let mistake = "it introspects tokens for a resource that the server doesn't have: add it with `AuthorizationServer::resource`";
                return Err(ConfigError::OauthClient { client: client.id.clone(), mistake });
            }
        }
        match self.registered_resources.iter().flatten().find(|named| self.find_resource(named).is_none()) {
            Some(unknown) => Err(ConfigError::RegisteredClientResource(unknown.clone())),
            None => Ok(()),
        }
    }

    /// Returns whether a client is one of the host's, or may have registered itself.
    pub(crate) fn knows(&self, client: &str) -> bool {
        let is_registered = client.starts_with(REGISTERED) && self.registered_clients.is_some();
        is_registered || self.clients.iter().any(|known| known.id == client)
    }

    /// Returns the resource that a client asks for, as it is written in the settings.
    pub(crate) fn find_resource(&self, requested: &str) -> Option<&str> {
        let mut own = std::iter::once(&self.issuer).chain(&self.resources).map(String::as_str);
        own.find(|own| is_same_resource(own, requested))
    }

    /// Returns whether a client can introspect tokens for a resource (RFC 7662 section 4).
    pub(crate) fn can_introspect(&self, client: &OauthClient, resource: &str) -> bool {
        (client.introspection && is_same_resource(&self.issuer, resource))
            || client.introspection_for.iter().any(|own| is_same_resource(own, resource))
    }

    /// Returns the resources that registered clients can ask for.
    pub(crate) fn resources_of_registered_clients(&self) -> Vec<String> {
        match &self.registered_resources {
            Some(named) => named.clone(),
            None if self.resources.is_empty() => vec![self.issuer.clone()],
            None => self.resources.clone(),
        }
    }

    /// Returns whether a token for a resource is valid at a path of this server.
    pub(crate) fn covers(&self, resource: &str, path: &str) -> bool {
        let Some(prefix) = resource.strip_prefix(&self.issuer) else { return false };
        let prefix = prefix.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns the URL of the metadata of the resource at a path (RFC 9728 section 3.1).
    pub(crate) fn metadata_of(&self, path: &str) -> String {
        let path = self.resource_of(path).strip_prefix(&self.issuer).unwrap_or_default().trim_end_matches('/');
        format!("{}/.well-known/oauth-protected-resource{path}", self.issuer)
    }

    /// Returns the narrowest resource that has a path of this server.
    pub(crate) fn resource_of(&self, path: &str) -> &str {
        let own = self.resources.iter().filter(|resource| self.covers(resource, path));
        own.max_by_key(|resource| resource.len()).map_or(&self.issuer, String::as_str)
    }
}

/// Returns whether two URLs name the same resource: `https://app.example.com` and `https://app.example.com/` do.
pub(crate) fn is_same_resource(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Returns whether a URL has TLS, or leads to this computer.
fn is_secure(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_origin_with_tls_or_on_this_computer() {
        for good in ["https://app.example.com", "http://localhost:4000", "http://127.0.0.1:4000", "https://a.b:8443"] {
            assert_eq!(AuthorizationServer::new(good).check(), Ok(()), "{good}");
        }
        for bad in ["", "app.example.com", "http://app.example.com", "https://a.b/", "https://a.b/x", "https://A.b"] {
            assert_eq!(AuthorizationServer::new(bad).check(), Err(ConfigError::Issuer(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn invariant_21_a_token_for_a_resource_is_valid_only_below_its_path() {
        let server = AuthorizationServer::new("https://a.example")
            .resource("https://a.example/mcp")
            .resource("https://a.example/mcp/deep")
            .resource("https://other.example/api");
        assert_eq!(server.check(), Ok(()));
        for path in ["/mcp", "/mcp/", "/mcp/x", "/mcp/../x"] {
            assert!(server.covers("https://a.example/mcp", path), "{path}");
        }
        for path in ["/", "/mcpx", "/mc", "/api/mcp", "/MCP"] {
            assert!(!server.covers("https://a.example/mcp", path), "{path}");
        }
        assert!(server.covers("https://a.example", "/") && server.covers("https://a.example/", "/x"));
        assert!(!server.covers("https://other.example/api", "/api"));
        assert!(!server.covers("https://a.example.evil.example", "/"), "no path begins with that");
        assert_eq!(server.resource_of("/mcp/deep/x"), "https://a.example/mcp/deep");
        assert_eq!(server.resource_of("/mcp"), "https://a.example/mcp");
        assert_eq!(server.resource_of("/api"), "https://a.example");
        assert_eq!(server.find_resource("https://a.example/"), Some("https://a.example"));
        assert_eq!(server.find_resource("https://evil.example"), None);
    }

    #[test]
    fn resources_and_clients_are_named_once() {
        let twice = AuthorizationServer::new("https://a.example").resource("https://a.example/x");
        assert!(twice.resource("https://a.example/x").check().is_err());
        let client = || OauthClient::new("tv", "TV").device_flow(true);
        let twice = AuthorizationServer::new("https://a.example").client(client()).client(client());
        assert_eq!(twice.check(), Err(ConfigError::SameOauthClient("tv".to_owned())));
        for bad in ["/x", "http://a.example/x", "https://a.example/x?y", "https://a.example/x#y"] {
            assert!(AuthorizationServer::new("https://a.example").resource(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_introspects_only_tokens_for_its_own_resources() {
        let (issuer, api, mcp) = ("https://a.example", "https://api.example", "https://a.example/mcp");
        let client = || OauthClient::new("api", "API").secret(&"s".repeat(32));
        let server = |client| AuthorizationServer::new(issuer).resource(api).resource(mcp).client(client);
        for (client, own) in [(client().introspection(true), issuer), (client().introspection_for(api), api)] {
            let server = server(client.clone());
            assert_eq!(server.check(), Ok(()));
            for resource in [issuer, api, mcp] {
                assert_eq!(server.can_introspect(&client, resource), resource == own, "{resource}");
            }
        }
        assert!(!server(client()).can_introspect(&client(), issuer));
        let unknown = server(client().introspection_for("https://other.example")).check().expect_err("must be refused");
        assert!(unknown.to_string().contains("add it with `AuthorizationServer::resource`"), "{unknown}");
    }

    #[test]
    fn registered_clients_can_be_limited_to_resources_that_the_server_has() {
        let (mcp, issuer) = ("https://a.example/mcp", "https://a.example");
        let server = || AuthorizationServer::new(issuer).max_registered_clients(10);
        assert_eq!(server().resources_of_registered_clients(), [issuer]);
        assert_eq!(server().resource(mcp).resources_of_registered_clients(), [mcp]);
        let both = server().resource(mcp).registered_client_resources([issuer, mcp]);
        assert_eq!(both.check(), Ok(()));
        assert_eq!(both.resources_of_registered_clients(), [issuer, mcp]);
        let unknown = server().registered_client_resources([mcp]).check();
        assert_eq!(unknown, Err(ConfigError::RegisteredClientResource(mcp.to_owned())));
    }
}
