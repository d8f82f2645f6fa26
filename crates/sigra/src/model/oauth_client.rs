//! Clients of the OAuth server, and which redirect URIs are theirs.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::{Host, Url};

use crate::base::{characters::is_invisible, config_error::ConfigError};

/// The maximum length of a redirect URI, in bytes.
const MAX_REDIRECT_URI: usize = 512;

/// The minimum length of a client's secret, in characters.
const MIN_SECRET: usize = 32;

/// What the ids of registered clients begin with. Clients of the host can't begin with it.
pub(crate) const REGISTERED: &str = "registered_";

/// Schemes that don't belong to an app.
const NO_APPS: [&str; 12] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "javascript",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
];

/// A program that gets tokens by OAuth: a native app, a command line, or a website.
///
/// It is a public client, which proves itself by PKCE, unless it has a [secret](Self::secret_hash).
///
/// ```
/// use sigra::oauth_server::OauthClient;
///
/// let cli = OauthClient::new("acme-cli", "Acme CLI").redirect_uri("http://127.0.0.1/callback").device_flow(true);
/// let app = OauthClient::new("acme-app", "Acme for iPhone").redirect_uri("com.example.acme:/callback");
/// # let _ = (cli, app);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "add it to the AuthorizationServer"]
pub struct OauthClient {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) permissions: Option<String>,
    /// The resources that it can ask for. `None` for all of the server's, and for the whole server.
    pub(crate) resources: Option<Vec<String>>,
    pub(crate) devices: bool,
    pub(crate) skips_consent: bool,
    /// Whether it can introspect tokens for the whole server.
    pub(crate) introspection: bool,
    /// The resources whose tokens it can introspect.
    pub(crate) introspection_for: Vec<String>,
    pub(crate) secret_hash: Option<[u8; 32]>,
}

impl OauthClient {
    /// Creates a client. Its id is public, and can't be changed later. Users read its name when they give it access.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            redirect_uris: Vec::new(),
            permissions: None,
            resources: None,
            devices: false,
            skips_consent: false,
            introspection: false,
            introspection_for: Vec::new(),
            secret_hash: None,
        }
    }

    /// Adds a redirect URI, which requests must repeat character by character (RFC 9700 section 4.1.3): an `https` URL
    /// that the app claims or the website has, a private-use scheme with a dot such as `com.example.app:/callback` (RFC
    /// 8252 section 7.1), or a loopback address such as `http://127.0.0.1/callback` or `http://[::1]/callback`, for
    /// which a request can have any port (RFC 8252 section 7.3).
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// Sets the permissions that it can ask for, by their names (default: all of the host's).
    pub fn permissions<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.permissions = Some(joined(names));
        self
    }

    /// Sets whether it can use device authorization (RFC 8628), for programs without a browser (default: no).
    pub fn device_flow(mut self, on: bool) -> Self {
        self.devices = on;
        self
    }

    /// Sets whether it gets access without asking the user (default: no). It must be the host's own, and all its
    /// redirect URIs must be `https`: other programs could pretend to be a client with any other one (RFC 8252 section
    /// 8.6). A device is always asked about. Without a [secret](Self::secret), the user must have [logged in
    /// recently](crate::Sudo).
    pub fn skip_consent(mut self, on: bool) -> Self {
        self.skips_consent = on;
        self
    }

    /// Makes it a confidential client, with a secret of at least 32 random characters, such as from `openssl rand -hex
    /// 32`. Only its hash is kept.
    pub fn secret(mut self, secret: &str) -> Self {
        // A secret that is too short is refused when the settings are checked.
        let is_long = secret.chars().count() >= MIN_SECRET;
        self.secret_hash = Some(if is_long { Sha256::digest(secret.as_bytes()).into() } else { [0; 32] });
        self
    }

    /// Makes it a confidential client, by the SHA-256 of its secret.
    pub fn secret_hash(mut self, sha256: [u8; 32]) -> Self {
        self.secret_hash = Some(sha256);
        self
    }

    /// Sets whether it can introspect access tokens for the whole server (RFC 7662, default: no). It needs a
    /// [secret](Self::secret).
    pub fn introspection(mut self, on: bool) -> Self {
        self.introspection = on;
        self
    }

    /// Lets it introspect access tokens for a resource (RFC 7662), as an API on another server does. All other tokens
    /// are inactive to it (section 4), also those for the whole server. It must be one of the [server's
    /// resources](crate::oauth_server::AuthorizationServer::resource), and the client needs a [secret](Self::secret).
    ///
    /// ```
    /// use sigra::oauth_server::{AuthorizationServer, OauthClient};
    ///
    /// let api = "https://api.example.com";
    /// let client = OauthClient::new("api", "Our API").secret(&"s".repeat(32)).introspection_for(api);
    /// let server = AuthorizationServer::new("https://app.example.com").resource(api).client(client);
    /// assert_eq!(server.check(), Ok(()));
    /// ```
    pub fn introspection_for(mut self, resource: impl Into<String>) -> Self {
        self.introspection_for.push(resource.into());
        self
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether it registered itself, so that nothing about it is proven.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.id.starts_with(REGISTERED)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refused = |mistake| Err(ConfigError::OauthClient { client: self.id.clone(), mistake });
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.id.is_empty() || self.id.len() > 64 || !self.id.bytes().all(is_id) || self.is_registered() {
            return refused(
                "its id must have 1 to 64 letters, digits, `-`, `_` and `.`, and not begin with `registered_`",
            );
        }
        if !is_name(&self.name) {
            return refused("its name must have 1 to 80 characters");
        }
        if self.redirect_uris.is_empty() && !self.devices && !self.introspects() {
            return refused("it can't do anything: add a redirect URI, or turn on `OauthClient::device_flow`");
        }
        for uri in &self.redirect_uris {
            if let Err(mistake) = check_redirect_uri(uri) {
                return refused(mistake);
            }
        }
        if self.skips_consent && !self.redirect_uris.iter().all(|uri| uri.starts_with("https://")) {
            return refused("only a client with https redirect URIs can skip consent: others can be imitated");
        }
        match self.secret_hash {
            Some(hash) if hash == [0; 32] => {
                refused("its secret needs at least 32 characters: generate one with `openssl rand -hex 32`")
            }
            None if self.introspects() => refused("a client that introspects tokens needs a secret"),
            _ => Ok(()),
        }
    }

    /// Returns whether it can introspect any tokens.
    pub(crate) fn introspects(&self) -> bool {
        self.introspection || !self.introspection_for.is_empty()
    }

    /// Returns whether a request can redirect to a URI.
    pub(crate) fn has_redirect_uri(&self, requested: &str) -> bool {
        self.redirect_uris.iter().any(|own| own == requested || is_same_loopback(own, requested))
    }

    /// Returns whether this is the client's secret.
    pub(crate) fn has_secret(&self, secret: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        self.secret_hash.is_some_and(|own| own.ct_eq(&hash).into())
    }
}

/// Returns names with spaces between them.
pub(crate) fn joined<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    names.join(" ")
}

/// Returns whether a name can be shown: 1 to 80 characters, without control characters and invisible ones, some of
/// which change the direction of text. Emoji may have a selector.
pub(crate) fn is_name(name: &str) -> bool {
    let is_selector = |c: char| ('\u{fe00}'..='\u{fe0f}').contains(&c);
    let is_shown = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}') && !is_invisible(c);
    name.chars().any(|c| !c.is_whitespace() && is_shown(c))
        && name.chars().count() <= 80
        && name.chars().all(|c| is_shown(c) || is_selector(c))
}

/// Checks that a client can redirect to a URI.
pub(crate) fn check_redirect_uri(uri: &str) -> Result<(), &'static str> {
    let is_plain = uri.len() <= MAX_REDIRECT_URI && uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let url = Url::parse(uri).ok().filter(|_| is_plain && !uri.contains('*'));
    let url = url.ok_or("a redirect URI must be a whole URL of at most 512 characters, without wildcards")?;
    if url.fragment().is_some() || uri.contains('#') {
        return Err("a redirect URI can't have a fragment");
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || uri.split(['/', '?']).nth(2).unwrap_or("").contains('@')
    {
        return Err("a redirect URI can't have a user name");
    }
    // The host goes into the Content-Security-Policy of the consent page, where these would begin another directive.
    if url.host_str().is_some_and(|host| host.contains([';', ',', '\'', '"'])) {
        return Err("the host of a redirect URI can't have quotation marks, `;` and `,`");
    }
    match url.scheme() {
        // What the parser would change could be read as another URI elsewhere.
        "https" | "http" if url.as_str() != uri => {
            Err("write a redirect URI as browsers do: `https://app.example.com/callback`")
        }
        "https" => Ok(()),
        "http" if is_local(&url) => Ok(()),
        "http" => {
            Err("a redirect URI needs https, unless it is a loopback address such as `http://127.0.0.1/callback`")
        }
        scheme if NO_APPS.contains(&scheme) || !scheme.contains('.') => {
            Err("a private-use scheme must be a domain of yours backwards, such as `com.example.app:/callback`")
        }
        _ => Ok(()),
    }
}

/// Returns whether a URL leads to this computer: by address, or by the name that some clients use.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() && url.host_str() == Some("127.0.0.1"),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Returns whether two URIs are of the same loopback address, and differ only in their port (RFC 8252 section 7.3).
/// Not `localhost`, which can be another computer.
fn is_same_loopback(own: &str, requested: &str) -> bool {
    ["http://127.0.0.1", "http://[::1]"].iter().any(|host| {
        let rest = |uri: &str| without_port(uri.strip_prefix(host)?).map(str::to_owned);
        rest(own).is_some_and(|own| rest(requested) == Some(own))
    })
}

/// Returns what follows the host, without a port. `None` if something else than a path or a port follows.
fn without_port(rest: &str) -> Option<&str> {
    let after = match rest.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            port[..digits].parse::<u16>().ok()?;
            &port[digits..]
        }
        None => rest,
    };
    (after.is_empty() || after.starts_with(['/', '?'])).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uri: &str) -> OauthClient {
        OauthClient::new("cli", "CLI").redirect_uri(uri)
    }

    #[test]
    fn a_loopback_address_can_have_any_port_and_nothing_else() {
        let cli = client("http://127.0.0.1/callback").redirect_uri("http://[::1]:8080/callback?x=1");
        for good in [
            "http://127.0.0.1/callback",
            "http://127.0.0.1:1/callback",
            "http://127.0.0.1:65535/callback",
            "http://[::1]/callback?x=1",
            "http://[::1]:9/callback?x=1",
        ] {
            assert!(cli.has_redirect_uri(good), "{good}");
        }
        for bad in [
            "http://127.0.0.1:65536/callback",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:1@evil.example/callback",
            "http://127.0.0.1@evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.1:80.evil.example/callback",
            "http://127.0.0.1:1/callback/",
            "http://127.0.0.1:1/callback/../x",
            "http://127.0.0.1:1/Callback",
            "http://127.0.0.1:1/callback?x",
            "http://127.0.0.1:1/callback#x",
            "http://127.0.0.2:1/callback",
            "http://localhost:1/callback",
            "https://127.0.0.1:1/callback",
            "HTTP://127.0.0.1:1/callback",
            "http://[::1]:9/callback",
        ] {
            assert!(!cli.has_redirect_uri(bad), "{bad}");
        }
    }

    #[test]
    fn every_other_redirect_uri_is_compared_character_by_character() {
        let app = client("https://app.example.com/callback").redirect_uri("com.example.app:/callback");
        assert!(app.has_redirect_uri("https://app.example.com/callback"));
        assert!(app.has_redirect_uri("com.example.app:/callback"));
        for bad in [
            "https://app.example.com:443/callback",
            "https://APP.example.com/callback",
            "https://app.example.com/callback/",
            "https://app.example.com/callback?",
            "https://app.example.com/callback?next=//evil.example",
            "https://app.example.com/callback#",
            "https://app.example.com/call%62ack",
            "https://app.example.com/./callback",
            "https://app.example.com/callback\u{0}",
            "https://user@app.example.com/callback",
            "https://app.example.com@evil.example/callback",
            "https://sub.app.example.com/callback",
            "https://app.example.com.evil.example/callback",
            "http://app.example.com/callback",
            "com.example.app:/callback/x",
            "com.example.app://callback",
            "",
        ] {
            assert!(!app.has_redirect_uri(bad), "{bad}");
        }
    }

    #[test]
    fn redirect_uris_that_anybody_could_receive_are_refused() {
        for good in [
            "https://app.example.com/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:8080/callback",
            "http://[::1]/callback",
            "http://localhost:3000/callback",
            "com.example.app:/callback",
            "com.example.app://callback",
        ] {
            assert_eq!(check_redirect_uri(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/callback",
            "http://app.example.com/callback",
            "http://localhost.evil.example/callback",
            "http://2130706433/callback",
            "http://0.0.0.0/callback",
            "https://app.example.com/callback#fragment",
            "https://app.example.com/callback#",
            "https://user@app.example.com/callback",
            "https://user:password@app.example.com/callback",
            "https://@app.example.com/callback",
            "https://*.example.com/callback",
            "https://APP.example.com/callback",
            "https://app.example.com/a/../callback",
            "https://app.example.com\\callback",
            "https://app.example.com;sandbox/callback",
            "https://app.example.com,x/callback",
            "https://app.example.com'/callback",
            "https://app.example.com\"/callback",
            "https://app.example.com/ca llback",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "myapp:/callback",
            "about:blank",
        ] {
            assert!(check_redirect_uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_that_cannot_be_right_is_refused_in_one_sentence() {
        let cli = || client("http://127.0.0.1/callback");
        assert_eq!(cli().check(), Ok(()));
        assert_eq!(OauthClient::new("tv", "TV").device_flow(true).check(), Ok(()));
        let refused = [
            OauthClient::new("", "CLI").device_flow(true),
            OauthClient::new("a b", "CLI").device_flow(true),
            OauthClient::new("registered_x", "CLI").device_flow(true),
            OauthClient::new("cli", " ").device_flow(true),
            OauthClient::new("cli", "\u{202e}ILC").device_flow(true),
            OauthClient::new("cli", "CLI"),
            cli().skip_consent(true),
            cli().introspection(true),
            cli().introspection_for("https://api.example.com"),
            cli().secret("short"),
        ];
        for client in refused {
            let said = client.check().expect_err("must be refused").to_string();
            assert!(said.starts_with(&format!("the client `{}` can't be used: ", client.id)), "{said}");
        }
        assert_eq!(cli().secret(&"s".repeat(32)).introspection(true).check(), Ok(()));
    }

    #[test]
    fn a_name_can_be_seen_and_reads_in_one_direction() {
        for good in ["Acme", "Überapp 2", "應用", "\u{2601}\u{fe0f} Cloud", &"a".repeat(80)] {
            assert!(is_name(good), "{good:?}");
        }
        let unseen = ["", " ", "\u{a0}", "\u{3164}", "\u{fe0f}", "\u{ad}\u{115f}", "\u{200b}"];
        let reordered = ["a\u{202e}b", "a\u{61c}b", "a\u{2066}b", "a\nb", "a\u{2028}b", "a\u{e0041}b"];
        for bad in unseen.into_iter().chain(reordered).chain([&*"a".repeat(81)]) {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn only_its_own_secret_is_a_clients() {
        let site = client("https://app.example.com/callback").secret(&"s".repeat(32));
        assert!(site.has_secret(&"s".repeat(32)));
        assert!(!site.has_secret(&"t".repeat(32)) && !site.has_secret(""));
        assert!(!client("https://app.example.com/callback").has_secret(""), "a public client has no secret");
    }
}
