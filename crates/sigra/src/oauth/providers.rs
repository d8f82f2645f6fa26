//! The providers of an application: sends browsers to them, and turns what they bring back into an identity.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, ExtraTokenFields,
    HttpRequest, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use url::Url;
use zeroize::Zeroizing;

use crate::{
    base::{
        clock::{Clock, later},
        config_error::ConfigError,
    },
    model::identity::{ProviderIdentity, ProviderTokens},
    oauth::{
        cached::Cached,
        error::OauthError,
        http::HttpClient,
        id_token::{Claims, Expected, KeySet, Keys, is_issuer, verify},
        provider::{OAuth2, Profile, Protocol, Provider},
    },
};

/// The longest subject (OpenID Connect Core section 2).
const MAX_SUBJECT: usize = 255;

/// The longest email address (RFC 5321 section 4.5.3.1.3).
const MAX_EMAIL: usize = 254;

/// What the authorization request of a flow says. The secrets are of this flow only, and never used again. `Debug`
/// shows none of them.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "a flow fills it in, and has all of it")]
pub struct AuthorizationRequest<'a> {
    /// The address of the provider's callback. Each provider has one of its own.
    pub redirect_uri: &'a str,
    /// Comes back with the callback.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// Proves to the token endpoint that the code belongs to this flow (RFC 7636): 43 to 128 characters.
    pub pkce_verifier: &'a str,
    /// Whether the user must authenticate again, even if they are logged in at the provider.
    pub reauthenticate: bool,
}

impl std::fmt::Debug for AuthorizationRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("redirect_uri", &self.redirect_uri)
            .field("reauthenticate", &self.reauthenticate)
            .finish_non_exhaustive()
    }
}

/// What the callback of a flow brought, and the flow's secrets.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "a flow fills it in, and has all of it")]
pub struct AuthorizationResponse<'a> {
    /// The code.
    pub code: &'a str,
    /// The issuer (RFC 9207), if the callback has one.
    pub iss: Option<&'a str>,
    /// As in the request.
    pub redirect_uri: &'a str,
    /// As in the request.
    pub nonce: &'a str,
    /// As in the request.
    pub pkce_verifier: &'a str,
    /// When the flow began, if the user had to authenticate again.
    pub reauthenticated_since: Option<OffsetDateTime>,
}

impl std::fmt::Debug for AuthorizationResponse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationResponse").field("iss", &self.iss).finish_non_exhaustive()
    }
}

/// The providers of an application, with what they publish. Cloning is cheap.
///
/// Metadata and keys of a provider are fetched when somebody logs in with it, so an application starts while a
/// provider is down. They are kept for an hour, and for a day while the provider can't be reached.
#[derive(Clone, Debug)]
pub struct Providers {
    all: Arc<Vec<Known>>,
    http: HttpClient,
    clock: Clock,
}

/// A provider, and what it publishes.
#[derive(Debug)]
struct Known {
    provider: Provider,
    metadata: Cached<Metadata>,
    keys: Cached<Keys>,
}

/// What is used of a provider's metadata (OpenID Connect Discovery section 3).
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207 section 3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Where a code is exchanged, and how the client authenticates there.
struct TokenEndpoint {
    url: Url,
    auth_type: AuthType,
}

/// What OpenID Connect adds to the token response.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

type Tokens = StandardTokenResponse<IdTokenField, BasicTokenType>;

type OauthClient<HasAuthUrl, HasTokenUrl> = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    HasAuthUrl,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasTokenUrl,
>;

impl Providers {
    /// Checks the settings of the providers. Asks none of them for anything.
    ///
    /// ```
    /// use sigra::oauth::{Provider, Providers};
    ///
    /// let providers = Providers::new([Provider::google("client-id", "client-secret")])?;
    /// assert_eq!(providers.get("google").map(Provider::label), Some("Google"));
    ///
    /// let mistake = Providers::new([Provider::google("client-id", "")]).unwrap_err();
    /// assert_eq!(
    ///     mistake.to_string(),
    ///     "the provider `google` can't be used: its client secret is empty: copy it from the provider's settings"
    /// );
    /// # Ok::<(), sigra::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Provider`], [`ConfigError::ProviderName`] or [`ConfigError::SameProvider`] for a setting that
    /// can't be right, and [`ConfigError::NoCertificates`] if the operating system has no root certificates.
    pub fn new(providers: impl IntoIterator<Item = Provider>) -> Result<Self, ConfigError> {
        let all = check_all(providers)?;
        Ok(Self { all: Arc::new(all), http: HttpClient::new()?, clock: Clock::system() })
    }

    /// Like [`new`](Self::new), but asks nobody: the function returns the JSON at a URL. For fuzz tests.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    #[cfg(any(test, feature = "testing"))]
    pub fn offline(
        providers: impl IntoIterator<Item = Provider>,
        respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let all = check_all(providers)?;
        Ok(Self { all: Arc::new(all), http: HttpClient::offline(Arc::new(respond)), clock: Clock::system() })
    }

    /// Sets the clock that expiry is measured with (default: the system's). Tests pass one that they can advance.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long a provider may take to respond (default: 10 seconds).
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
        self.http.set_timeout(timeout);
        self
    }

    /// Returns the providers, in the order that they were given in.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.all.iter().map(|known| &known.provider)
    }

    /// Returns the provider with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.iter().find(|provider| provider.name == name)
    }

    /// Returns the URL that the browser is sent to, without a flow: to test what a provider does.
    /// [`OauthFlows`](crate::oauth::OauthFlows) also check the state.
    ///
    /// # Errors
    ///
    /// [`OauthError::UnknownProvider`], [`OauthError::CannotReauthenticate`], or why there is no metadata.
    #[cfg(feature = "testing")]
    pub async fn authorization_url(
        &self,
        provider: &str,
        request: AuthorizationRequest<'_>,
    ) -> Result<String, OauthError> {
        self.url_for(provider, request).await
    }

    /// Returns the identity of the user who came back, without a flow: to test what a provider does.
    ///
    /// # Errors
    ///
    /// Why the provider can't be reached, why its responses are refused, or [`OauthError::Subject`].
    #[cfg(feature = "testing")]
    pub async fn identify(
        &self,
        provider: &str,
        response: AuthorizationResponse<'_>,
    ) -> Result<ProviderIdentity, OauthError> {
        self.identity_from(provider, response).await
    }

    /// Returns the URL that the browser is sent to.
    pub(super) async fn url_for(
        &self,
        provider: &str,
        request: AuthorizationRequest<'_>,
    ) -> Result<String, OauthError> {
        let known = self.known(provider)?;
        let provider = &known.provider;
        if request.reauthenticate && !provider.can_reauthenticate() {
            return Err(OauthError::CannotReauthenticate);
        }
        let endpoint = match &provider.protocol {
            Protocol::Oidc { .. } => self.metadata(known).await?.authorization_endpoint.clone(),
            Protocol::OAuth2(oauth2) => parse(&oauth2.authorization_endpoint)?,
        };
        let client = client(provider)
            .set_auth_uri(AuthUrl::from_url(endpoint))
            .set_redirect_uri(redirect_uri(request.redirect_uri)?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(request.pkce_verifier));
        let mut url = client
            .authorize_url(|| CsrfToken::new(request.state.to_owned()))
            .add_scopes(provider.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("code_challenge", challenge)
            .add_extra_param("code_challenge_method", "S256");
        if matches!(provider.protocol, Protocol::Oidc { .. }) {
            url = url.add_extra_param("nonce", request.nonce);
        }
        if provider.posts_callback() {
            url = url.add_extra_param("response_mode", "form_post");
        }
        for (name, value) in &provider.parameters {
            if !(request.reauthenticate && name == "prompt") {
                url = url.add_extra_param(name, value);
            }
        }
        if request.reauthenticate {
            url = url.add_extra_param("prompt", "login").add_extra_param("max_age", "0");
        }
        Ok(url.url().0.into())
    }

    /// Exchanges the code, verifies what the provider says about the user, and returns it.
    ///
    /// The caller has checked that `state` is of a flow of this browser and this provider, and used it up.
    pub(super) async fn identity_from(
        &self,
        provider: &str,
        response: AuthorizationResponse<'_>,
    ) -> Result<ProviderIdentity, OauthError> {
        let known = self.known(provider)?;
        match &known.provider.protocol {
            Protocol::Oidc { .. } => self.identify_by_id_token(known, response).await,
            Protocol::OAuth2(oauth2) => self.identify_by_profile(known, oauth2, response).await,
        }
    }

    async fn identify_by_id_token(
        &self,
        known: &Known,
        response: AuthorizationResponse<'_>,
    ) -> Result<ProviderIdentity, OauthError> {
        let provider = &known.provider;
        let metadata = self.metadata(known).await?;
        check_iss(&metadata.issuer, response.iss, metadata.authorization_response_iss_parameter_supported)?;
        let tokens = self.exchange(provider, metadata.token_endpoint()?, response).await?;
        let id_token = tokens.extra_fields().id_token.as_deref().ok_or(OauthError::IdTokenMissing)?;
        let claims = self.verify(known, &metadata, id_token, response).await?;
        // Of which tenant a user of Microsoft is, only the ID token says.
        if response.iss.is_some_and(|iss| iss != claims.issuer) {
            return Err(OauthError::CallbackIssuer);
        }
        let mut profile =
            Profile { subject: claims.subject, email: claims.email, email_verified: claims.email_verified };
        if let (None, Some(url)) = (&profile.email, &metadata.userinfo_endpoint) {
            let more: UserInfo = self.http.get(url, Some(tokens.access_token().secret()), provider.plaintext).await?;
            // OpenID Connect Core section 5.3.2.
            if more.sub != profile.subject {
                return Err(OauthError::ProfileSubject);
            }
            (profile.email, profile.email_verified) = (more.email, more.email_verified.is_true());
        }
        let mut identity = self.identity(provider, claims.issuer, profile, claims.hosted_domain.as_deref(), &tokens)?;
        identity.auth_time = claims.auth_time;
        Ok(identity)
    }

    async fn identify_by_profile(
        &self,
        known: &Known,
        oauth2: &OAuth2,
        response: AuthorizationResponse<'_>,
    ) -> Result<ProviderIdentity, OauthError> {
        let provider = &known.provider;
        check_iss(&oauth2.issuer, response.iss, false)?;
        let auth_type = if oauth2.secret_in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        let endpoint = TokenEndpoint { url: parse(&oauth2.token_endpoint)?, auth_type };
        let tokens = self.exchange(provider, endpoint, response).await?;
        let mut responses: Vec<Value> = Vec::new();
        for url in &oauth2.profiles {
            let token = tokens.access_token().secret();
            responses.push(self.http.get(&parse(url)?, Some(token), provider.plaintext).await?);
        }
        let profile = (oauth2.read)(&responses).ok_or(OauthError::Malformed)?;
        self.identity(provider, oauth2.issuer.clone(), profile, None, &tokens)
    }

    async fn exchange(
        &self,
        provider: &Provider,
        endpoint: TokenEndpoint,
        response: AuthorizationResponse<'_>,
    ) -> Result<Tokens, OauthError> {
        let secret = provider.client_secret(self.clock.now())?;
        // It borrows nothing, because a future that does isn't `Send` for every lifetime, as handlers need it.
        let (http, plaintext) = (self.http.clone(), provider.plaintext);
        let send = move |request: HttpRequest| {
            let http = http.clone();
            async move { http.send(request, plaintext).await }
        };
        client(provider)
            .set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            .set_auth_type(endpoint.auth_type)
            .set_token_uri(TokenUrl::from_url(endpoint.url))
            .set_redirect_uri(redirect_uri(response.redirect_uri)?)
            .exchange_code(AuthorizationCode::new(response.code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(response.pkce_verifier.to_owned()))
            .request_async(&send)
            .await
            .map_err(refusal)
    }

    /// Verifies an ID token. If its key is unknown, looks whether the provider has new keys.
    async fn verify(
        &self,
        known: &Known,
        metadata: &Metadata,
        id_token: &str,
        response: AuthorizationResponse<'_>,
    ) -> Result<Claims, OauthError> {
        let expected = Expected {
            issuer: &metadata.issuer,
            client_id: &known.provider.client_id,
            nonce: response.nonce,
            now: self.clock.now(),
            reauthenticated_since: response.reauthenticated_since,
        };
        let fetch = async || {
            let set: KeySet = self.http.get(&metadata.jwks_uri, None, known.provider.plaintext).await?;
            Ok(Keys::from(set))
        };
        let keys = known.keys.get(&self.clock, fetch()).await?;
        match verify(id_token, &keys, expected) {
            Err(error @ (OauthError::UnknownKey | OauthError::Signature)) => {
                match known.keys.refresh(&keys, &self.clock, fetch()).await? {
                    Some(keys) => verify(id_token, &keys, expected),
                    None => Err(error),
                }
            }
            verified => verified,
        }
    }

    async fn metadata(&self, known: &Known) -> Result<Arc<Metadata>, OauthError> {
        let provider = &known.provider;
        let Protocol::Oidc { issuer, base } = &provider.protocol else { return Err(OauthError::UnknownProvider) };
        let fetch = async {
            let url = parse(&format!("{}/.well-known/openid-configuration", base.trim_end_matches('/')))?;
            let metadata: Metadata = self.http.get(&url, None, provider.plaintext).await?;
            // OpenID Connect Discovery section 4.3.
            if metadata.issuer != *issuer {
                return Err(OauthError::MetadataIssuer);
            }
            if !provider.plaintext.accepts(&metadata.authorization_endpoint) {
                return Err(OauthError::Insecure);
            }
            Ok(metadata)
        };
        known.metadata.get(&self.clock, fetch).await
    }

    fn identity(
        &self,
        provider: &Provider,
        issuer: String,
        profile: Profile,
        hosted_domain: Option<&str>,
        tokens: &Tokens,
    ) -> Result<ProviderIdentity, OauthError> {
        let subject = profile.subject;
        if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.contains('\0') {
            return Err(OauthError::Subject);
        }
        let email = profile.email.filter(|email| is_plausible(email));
        let proves = |email: &String| profile.email_verified && provider.proves(email, hosted_domain);
        Ok(ProviderIdentity {
            provider: provider.name.clone(),
            issuer,
            subject,
            email_proven: email.as_ref().is_some_and(proves),
            email,
            auth_time: None,
            tokens: provider.keeps_tokens.then(|| self.keep(tokens)),
        })
    }

    fn keep(&self, tokens: &Tokens) -> ProviderTokens {
        ProviderTokens {
            access_token: Zeroizing::new(tokens.access_token().secret().clone()),
            refresh_token: tokens.refresh_token().map(|token| Zeroizing::new(token.secret().clone())),
            expires_at: tokens.expires_in().map(|lifetime| later(self.clock.now(), lifetime)),
        }
    }

    fn known(&self, name: &str) -> Result<&Known, OauthError> {
        self.all.iter().find(|known| known.provider.name == name).ok_or(OauthError::UnknownProvider)
    }
}

/// Checks the settings of providers, and that each has a name of its own.
fn check_all(providers: impl IntoIterator<Item = Provider>) -> Result<Vec<Known>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for provider in providers {
        provider.check()?;
        if !names.insert(provider.name.clone()) {
            return Err(ConfigError::SameProvider(provider.name));
        }
        all.push(Known { provider, metadata: Cached::default(), keys: Cached::default() });
    }
    Ok(all)
}

impl Metadata {
    /// Without a list, the method is `client_secret_basic` (OpenID Connect Discovery section 3).
    fn token_endpoint(&self) -> Result<TokenEndpoint, OauthError> {
        let accepts = |method| {
            let methods = self.token_endpoint_auth_methods_supported.as_deref();
            methods.map_or(method == "client_secret_basic", |methods| methods.iter().any(|known| known == method))
        };
        let auth_type = if accepts("client_secret_basic") {
            AuthType::BasicAuth
        } else if accepts("client_secret_post") {
            AuthType::RequestBody
        } else {
            return Err(OauthError::ClientAuthentication);
        };
        Ok(TokenEndpoint { url: self.token_endpoint.clone(), auth_type })
    }
}

/// The user's profile at an OpenID Connect provider.
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    email: Option<String>,
    #[serde(default)]
    email_verified: Flag,
}

/// A boolean, which Apple and some others write as a string.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Flag {
    Boolean(bool),
    Text(String),
    #[default]
    Missing,
}

impl Flag {
    fn is_true(&self) -> bool {
        match self {
            Self::Boolean(value) => *value,
            Self::Text(value) => value == "true",
            Self::Missing => false,
        }
    }
}

fn client(provider: &Provider) -> OauthClient<EndpointNotSet, EndpointNotSet> {
    Client::new(ClientId::new(provider.client_id.clone()))
}

fn parse(url: &str) -> Result<Url, OauthError> {
    Url::parse(url).map_err(|_| OauthError::Insecure)
}

fn redirect_uri(uri: &str) -> Result<RedirectUrl, OauthError> {
    RedirectUrl::new(uri.to_owned()).map_err(|_| OauthError::RedirectUri)
}

/// Compares the issuer of the callback (RFC 9207 section 2.4).
fn check_iss(issuer: &str, iss: Option<&str>, is_promised: bool) -> Result<(), OauthError> {
    match iss {
        Some(iss) if is_issuer(iss, issuer) => Ok(()),
        Some(_) => Err(OauthError::CallbackIssuer),
        None if is_promised => Err(OauthError::CallbackIssuerMissing),
        None => Ok(()),
    }
}

/// Returns whether a text can be shown as an email address.
fn is_plausible(email: &str) -> bool {
    let is_too_long = email.len() > MAX_EMAIL;
    let has_parts = email.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    has_parts && !is_too_long && !email.contains(|c: char| c.is_control() || c.is_whitespace())
}

fn refusal(error: RequestTokenError<OauthError, BasicErrorResponse>) -> OauthError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(response) => OauthError::Refused(code(response.error())),
        // GitHub refuses with status 200.
        RequestTokenError::Parse(_, body) => match serde_json::from_slice::<BasicErrorResponse>(&body) {
            Ok(response) => OauthError::Refused(code(response.error())),
            Err(_) => OauthError::Malformed,
        },
        RequestTokenError::Other(_) => OauthError::Malformed,
    }
}

/// Returns the codes of RFC 6749 section 5.2. Others are free text, which could contain anything.
fn code(error: &BasicErrorResponseType) -> &'static str {
    match error {
        BasicErrorResponseType::InvalidClient => "invalid_client",
        BasicErrorResponseType::InvalidGrant => "invalid_grant",
        BasicErrorResponseType::InvalidRequest => "invalid_request",
        BasicErrorResponseType::InvalidScope => "invalid_scope",
        BasicErrorResponseType::UnauthorizedClient => "unauthorized_client",
        BasicErrorResponseType::UnsupportedGrantType => "unsupported_grant_type",
        BasicErrorResponseType::Extension(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn invariant_1_debug_output_has_no_secret_of_a_flow() {
        let (redirect_uri, secret) = ("https://localhost/callback", "a secret");
        let request = AuthorizationRequest {
            redirect_uri,
            state: secret,
            nonce: secret,
            pkce_verifier: secret,
            reauthenticate: false,
        };
        let response = AuthorizationResponse {
            code: secret,
            iss: None,
            redirect_uri,
            nonce: secret,
            pkce_verifier: secret,
            reauthenticated_since: None,
        };
        for shown in [format!("{request:?}"), format!("{response:?}")] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    /// GitHub sends the issuer that its page "GitHub authentication discovery endpoints" names, or none.
    #[tokio::test]
    async fn invariant_19_a_callback_of_github_names_no_other_issuer() {
        let respond = |url: &str| match url {
            "https://github.com/login/oauth/access_token" => br#"{"access_token":"t","token_type":"bearer"}"#.to_vec(),
            "https://api.github.com/user" => br#"{"id":583231}"#.to_vec(),
            _ => b"[]".to_vec(),
        };
        let providers = Providers::offline([Provider::github("id", "secret")], respond).unwrap();
        let identify = async |iss| {
            let (code, redirect_uri) = ("a code", "https://localhost/callback");
            let response = AuthorizationResponse {
                code,
                iss,
                redirect_uri,
                nonce: "a nonce",
                pkce_verifier: VERIFIER,
                reauthenticated_since: None,
            };
            providers.identity_from("github", response).await.map(|identity| identity.issuer)
        };
        let issuer = "https://github.com/login/oauth";
        for iss in [None, Some(issuer)] {
            assert_eq!(identify(iss).await.as_deref(), Ok(issuer), "{iss:?}");
        }
        for iss in ["", "https://github.com", "https://github.com/login/oauth/", "https://evil.example"] {
            assert_eq!(identify(Some(iss)).await, Err(OauthError::CallbackIssuer), "{iss}");
        }
    }
}
