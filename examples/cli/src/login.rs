//! Logging in, refreshing tokens, and logging out.

use std::{future::Future, time::Duration};

use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, DeviceAuthorizationUrl, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, RedirectUrl, RefreshToken, Scope, StandardDeviceAuthorizationResponse, TokenUrl,
    basic::BasicClient,
};

use crate::{Result, browser, http, tokens::Tokens};

/// The client in the application's settings.
const CLIENT_ID: &str = "my_app_cli";

/// What this program asks the user for.
const PERMISSIONS: [&str; 1] = ["projects:read"];

type Client = BasicClient<EndpointSet, EndpointSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// The application, and this program as its client.
pub struct Server {
    url: String,
    client: Client,
}

impl Server {
    pub fn at(url: &str) -> Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let client = BasicClient::new(ClientId::new(CLIENT_ID.to_owned()))
            .set_auth_uri(AuthUrl::new(format!("{url}/oauth/authorize"))?)
            .set_token_uri(TokenUrl::new(format!("{url}/oauth/token"))?)
            .set_device_authorization_url(DeviceAuthorizationUrl::new(format!("{url}/oauth/device_authorization"))?);
        Ok(Self { url, client })
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Opens the login in a browser on this computer. The answer comes back to a port of this program (RFC 8252).
    pub async fn log_in_with_browser(&self) -> Result<Tokens> {
        let callback = browser::Callback::listen().await?;
        let client = self.client.clone().set_redirect_uri(RedirectUrl::new(callback.redirect_uri())?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = client.authorize_url(CsrfToken::new_random).add_scopes(permissions());
        let (url, state) = request.set_pkce_challenge(challenge).url();
        browser::open(url.as_str());
        let code = callback.code(&self.url, state.secret()).await?;
        let exchange = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier);
        Tokens::of(&exchange.request_async(&http::send).await?)
    }

    /// Shows a code, which the user enters in a browser on any device (RFC 8628).
    pub async fn log_in_with_code(&self) -> Result<Tokens> {
        self.log_in_with_code_and(tokio::time::sleep).await
    }

    async fn log_in_with_code_and<S: Future<Output = ()>>(&self, sleep: impl Fn(Duration) -> S) -> Result<Tokens> {
        let request = self.client.exchange_device_code().add_scopes(permissions());
        let waiting: StandardDeviceAuthorizationResponse = request.request_async(&http::send).await?;
        println!("Open {} and enter the code {}", **waiting.verification_uri(), waiting.user_code().secret());
        let poll = self.client.exchange_device_access_token(&waiting);
        Tokens::of(&poll.request_async(&http::send, sleep, None).await?)
    }

    /// Returns tokens whose access token is valid, and saves them if they are new. Save them before you use them: each
    /// refresh token is replaced when it is used.
    pub async fn fresh(&self, tokens: Tokens) -> Result<Tokens> {
        if !tokens.is_expired() {
            return Ok(tokens);
        }
        let refresh = RefreshToken::new(tokens.refresh);
        let refreshed = self.client.exchange_refresh_token(&refresh).request_async(&http::send).await;
        let fresh = Tokens::of(&refreshed.map_err(|error| format!("log in again: {error}"))?)?;
        fresh.save()?;
        Ok(fresh)
    }

    /// Ends this program's access at the server (RFC 7009).
    pub async fn revoke(&self, tokens: &Tokens) -> Result<()> {
        http::post_form(&self.url("/oauth/revoke"), &[("client_id", CLIENT_ID), ("token", &tokens.refresh)]).await
    }
}

fn permissions() -> impl Iterator<Item = Scope> {
    PERMISSIONS.into_iter().map(|name| Scope::new(name.to_owned()))
}
