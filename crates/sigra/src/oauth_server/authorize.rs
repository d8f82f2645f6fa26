//! The authorization endpoint: what a client asks for, and what the user decides.

use std::time::Duration;

use http::Uri;
use url::{Url, form_urlencoded};

use crate::{
    base::{error::Error, token::FlowToken},
    model::{
        client::Client,
        oauth_client::OauthClient,
        permission::{Permissions, RegisteredPermission},
        scope::{Scope, Sudo},
        user::AuthUser,
    },
    oauth_server::{
        handle::OauthServer,
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
    },
    sigra::transact,
    store::{self, CodeRow},
};

/// What a client asks a user for, checked: it is the client's own redirect URI, and the client can have the
/// permissions.
#[derive(Clone, Debug)]
#[must_use = "show it to the user, who decides"]
pub struct AuthorizationRequest {
    client: OauthClient,
    redirect_uri: String,
    state: Option<String>,
    challenge: String,
    permissions: Permissions,
    resource: String,
    limit: Option<String>,
    described: Vec<RegisteredPermission>,
    lifetime: Duration,
}

impl AuthorizationRequest {
    /// Returns the client. Nothing about one that [registered itself](OauthClient::is_registered) is proven, except
    /// where the browser goes next.
    pub fn client(&self) -> &OauthClient {
        &self.client
    }

    /// Returns the permissions that the client asks for, with their descriptions.
    #[must_use]
    pub fn permissions(&self) -> &[RegisteredPermission] {
        &self.described
    }

    /// Returns the [resource](crate::oauth_server::AuthorizationServer::resource) that the client's tokens will be
    /// limited to. `None` if they will be valid at the whole server.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.limit.as_deref()
    }

    /// Returns how long the client will have access, unless the user ends it before (OWASP ASVS 10.7.2).
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Returns where the browser goes next, for the user: the host of a website, the scheme of an app, or a loopback
    /// address such as `127.0.0.1` if it is [on their own computer](Self::is_local).
    #[must_use]
    pub fn destination(&self) -> String {
        let Ok(url) = Url::parse(&self.redirect_uri) else { return self.redirect_uri.clone() };
        match (url.scheme(), url.host_str()) {
            ("https" | "http", Some(host)) => host.to_owned(),
            (scheme, _) => scheme.to_owned(),
        }
    }

    /// Returns whether the browser goes to a program on the user's own computer.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.redirect_uri.starts_with("http://")
    }

    /// Returns the source for the directive `form-action` of a Content Security Policy: browsers apply it to the
    /// redirect that follows the form of the consent page.
    #[must_use]
    pub fn form_action(&self) -> String {
        let Ok(url) = Url::parse(&self.redirect_uri) else { return String::new() };
        match url.scheme() {
            // There is no source for an IPv6 address.
            "http" if url.host_str().is_some_and(|host| host.starts_with('[')) => "http:".to_owned(),
            "http" | "https" => url.origin().ascii_serialization(),
            scheme => format!("{scheme}:"),
        }
    }

    /// Returns the URL of the client with an answer in its query. The answer names the issuer (RFC 9207).
    fn answer(&self, issuer: &str, answer: &[(&str, &str)]) -> String {
        answer_to(&self.redirect_uri, self.state.as_deref(), issuer, answer)
    }
}

fn answer_to(redirect_uri: &str, state: Option<&str>, issuer: &str, answer: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(answer);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", issuer);
    let separator = match redirect_uri.contains('?') {
        true => '&',
        false => '?',
    };
    format!("{redirect_uri}{separator}{}", query.finish())
}

/// Why a request can't be shown to the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// The client is unknown, doesn't have the redirect URI, or [registered itself](OauthClient::is_registered) and
    /// made another mistake. Show a page, and never redirect: the URI can be anybody's (RFC 6749 section 4.1.2.1).
    #[error("the request doesn't come from a known program: {0}")]
    Untrusted(&'static str),
    /// Another mistake of a client of the host. Redirect the browser to this URL of the client, which has the error.
    #[error("the client made a mistake: redirect the browser to it")]
    Redirect(String),
    /// The database, for example.
    #[error(transparent)]
    Library(#[from] Error),
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// Reads what a client asks for, from the URL of a request. Call it for the page that asks the user, and again when
    /// they have answered: the form sends the same query.
    ///
    /// # Errors
    ///
    /// [`AuthorizationError`]. All but [`AuthorizationError::Library`] can be caused by a visitor.
    pub async fn authorization_request(self, uri: &Uri) -> Result<AuthorizationRequest, AuthorizationError> {
        self.read_authorization(uri.query().unwrap_or_default()).await
    }

    async fn read_authorization(self, query: &str) -> Result<AuthorizationRequest, AuthorizationError> {
        let issuer = self.settings()?.issuer.as_str();
        let untrusted = AuthorizationError::Untrusted;
        let parameters = Parameters::parse(query.as_bytes()).map_err(|refusal| untrusted(refusal.description))?;
        let id = parameters.get("client_id").ok_or(untrusted("client_id is missing"))?;
        let client = self.find_client(id).await?.ok_or(untrusted("the client is unknown"))?;
        // A client with one redirect URI could leave it out by RFC 6749, and not by OAuth 2.1.
        let redirect_uri = parameters.get("redirect_uri").ok_or(untrusted("redirect_uri is missing"))?;
        if !client.has_redirect_uri(redirect_uri) {
            return Err(untrusted("the client doesn't have this redirect URI"));
        }
        let state = parameters.get("state").map(str::to_owned);
        let refused = |refusal: Refusal| {
            // Anybody can register a client. A redirect that the user hasn't decided about would make this server's URL
            // lead wherever they like (RFC 9700 section 4.11.2).
            if client.is_registered() {
                return untrusted(refusal.description);
            }
            let answer = [("error", refusal.error), ("error_description", refusal.description)];
            AuthorizationError::Redirect(answer_to(redirect_uri, state.as_deref(), issuer, &answer))
        };
        check_response(&parameters).map_err(refused)?;
        let challenge = read_challenge(&parameters).map_err(refused)?;
        let permissions = self.permissions_for(&client, parameters.get("scope")).map_err(refused)?;
        let resource = self.resource_for(&client, parameters.get("resource")).map_err(|error| match error {
            EndpointError::Refused { refusal, .. } => refused(refusal),
            EndpointError::Library(error) => error.into(),
        })?;
        Ok(AuthorizationRequest {
            redirect_uri: redirect_uri.to_owned(),
            state,
            challenge: challenge.to_owned(),
            limit: self.limit_of(resource.clone()),
            resource,
            described: self.described(&permissions),
            permissions,
            lifetime: self.settings()?.grant_ttl,
            client,
        })
    }

    /// Returns permissions with their descriptions, in the order in which the host registered them.
    pub(super) fn described(self, permissions: &Permissions) -> Vec<RegisteredPermission> {
        let registered = self.sigra.parts.config.bearer_tokens.permissions.iter();
        registered.filter(|permission| permissions.contains(permission.name)).collect()
    }

    /// Gives a client what it asks for, because the user of this session allowed it, and returns the URL of the client
    /// to redirect the browser to. The URL has a code that is valid for 60 seconds, once, and only while this session
    /// lives.
    ///
    /// It takes a recent login, as a [personal access token](crate::api_tokens) does: what the client gets outlives the
    /// session. Call it only from a `POST` of the user, which other sites can't send.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyPrograms`] if the user has given access to the maximum number of programs, and
    /// [`Error::SessionEnded`] if the session ended or its user became inactive.
    pub async fn approve(
        self,
        Sudo(scope): &Sudo<U>,
        request: &AuthorizationRequest,
        client: &Client,
    ) -> Result<String, Error> {
        self.issue_code(scope, request, client).await
    }

    /// Gives a client what it asks for without asking the user, if it is one of yours that [skips
    /// consent](OauthClient::skip_consent). Returns its URL, as [`approve`](Self::approve) does, or `None` if the user
    /// must be asked.
    ///
    /// Without a [secret](OauthClient::secret), it takes a recent login too: somebody who has a copy of the session's
    /// cookies could act as the client, and exchange the code.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session ended or its user became inactive.
    pub async fn skip_consent(
        self,
        scope: &Scope<U>,
        request: &AuthorizationRequest,
        client: &Client,
    ) -> Result<Option<String>, Error> {
        let has_secret = request.client.secret_hash.is_some();
        let is_recent =
            scope.session().authenticated_within(self.sigra.parts.config.sessions.sudo_ttl, self.sigra.now());
        match request.client.skips_consent && (has_secret || is_recent) {
            true => self.issue_code(scope, request, client).await.map(Some),
            false => Ok(None),
        }
    }

    async fn issue_code(
        self,
        scope: &Scope<U>,
        request: &AuthorizationRequest,
        client: &Client,
    ) -> Result<String, Error> {
        let issuer = &self.settings()?.issuer;
        let code = FlowToken::generate()?;
        let row = CodeRow {
            user: scope.user().id(),
            session: scope.session().id,
            client: request.client.id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            permissions: request.permissions.to_string(),
            resource: request.resource.clone(),
            user_agent: client.user_agent.clone(),
            grant: None,
            consumed_at: None,
            inserted_at: self.sigra.now(),
        };
        transact!(self.sigra, conn => {
            self.sigra.lock_scope(conn, scope).await?;
            if !store::sessions::exists::<U>(&mut *conn, &row.user, row.session).await? {
                return Err(Error::SessionEnded);
            }
            if !request.client.skips_consent {
                self.check_room(conn, &row.user).await?;
            }
            store::oauth_codes::insert::<U>(&mut *conn, code.hash(), &row).await?;
            if request.client.is_registered() {
                store::oauth_clients::touch::<U::Database>(&mut *conn, &row.client, row.inserted_at).await?;
            }
            Ok(())
        })?;
        self.sigra.ensure_purged();
        Ok(request.answer(issuer, &[("code", &code.encode())]))
    }

    /// Refuses a client what it asks for, because the user didn't allow it. Returns the URL of the client to redirect
    /// the browser to.
    ///
    /// # Errors
    ///
    /// [`Error::NoAuthorizationServer`].
    pub fn deny(self, request: &AuthorizationRequest) -> Result<String, Error> {
        Ok(request.answer(&self.settings()?.issuer, &[("error", "access_denied")]))
    }
}

/// Checks that a client asks for a code in the query, with parameters in the URL and not in a request object.
fn check_response(parameters: &Parameters) -> Result<(), Refusal> {
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(Refusal::new("unsupported_response_type", "only the response type `code` is supported")),
        None => return Err(Refusal::invalid_request("response_type is missing")),
    }
    if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Refusal::invalid_request("only the response mode `query` is supported"));
    }
    if parameters.get("request").or(parameters.get("request_uri")).is_some() {
        return Err(Refusal::new("request_not_supported", "request objects are not supported"));
    }
    Ok(())
}

/// Returns the challenge of PKCE. Every client needs one, and only S256 is accepted (RFC 9700 section 2.1.1).
fn read_challenge(parameters: &Parameters) -> Result<&str, Refusal> {
    let challenge = parameters.require("code_challenge", "code_challenge is missing: every client needs PKCE")?;
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(Refusal::invalid_request("code_challenge_method must be S256"));
    }
    let is_hash = challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if is_hash { Ok(challenge) } else { Err(Refusal::invalid_request("code_challenge isn't a SHA-256 in base64url")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_into_the_query_of_the_redirect_uri() {
        let answer = |uri: &str, state| answer_to(uri, state, "https://a.example", &[("code", "x y")]);
        assert_eq!(
            answer("http://127.0.0.1:1/cb", Some("s&t")),
            "http://127.0.0.1:1/cb?code=x+y&state=s%26t&iss=https%3A%2F%2Fa.example"
        );
        assert_eq!(
            answer("com.example.app:/cb?x=1", None),
            "com.example.app:/cb?x=1&code=x+y&iss=https%3A%2F%2Fa.example"
        );
    }

    #[test]
    fn pkce_is_s256_or_nothing() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let read = |query: &str| {
            let parameters = Parameters::parse(query.as_bytes()).expect("parameters");
            let checked = check_response(&parameters).and_then(|()| read_challenge(&parameters));
            checked.map(str::to_owned).map_err(|refusal| refusal.error)
        };
        let good = format!("response_type=code&code_challenge={challenge}&code_challenge_method=S256");
        assert_eq!(read(&good), Ok(challenge.to_owned()));
        for bad in [
            good.replace("S256", "plain"),
            good.replace("S256", "s256"),
            good.replace("&code_challenge_method=S256", ""),
            good.replace(challenge, ""),
            good.replace(challenge, &challenge[1..]),
            good.replace(challenge, &format!("{challenge}=")),
            good.replace("response_type=code", ""),
            format!("{good}&response_mode=fragment"),
        ] {
            assert_eq!(read(&bad), Err("invalid_request"), "{bad}");
        }
        assert_eq!(read(&good.replace("=code&", "=token&")), Err("unsupported_response_type"));
        assert_eq!(read(&format!("{good}&request=x")), Err("request_not_supported"));
    }
}
