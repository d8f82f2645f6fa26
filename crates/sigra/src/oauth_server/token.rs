//! The token endpoint.

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};

use crate::{
    model::{client::Sender, user::AuthUser},
    oauth_server::{
        endpoint::read_form,
        handle::OauthServer,
        issue::Tokens,
        refusal::{EndpointError, Refusal},
        response::preflight,
    },
};

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/token` (RFC 6749 section 3.2): exchanges an authorization code, a refresh token or a device
    /// code for an access token and the next refresh token. Pages of every origin can call it; it reads no cookies.
    pub async fn token(self, request: Request) -> Response {
        match self.answer_token(request).await {
            Ok(tokens) => tokens.to_response(),
            Err(error) => error.into_response(),
        }
    }

    async fn answer_token(self, request: Request) -> Result<Tokens, EndpointError> {
        let program = Sender::of(&request, &self.sigra.parts.config.trusted_proxies).client();
        let (headers, parameters) = read_form(request).await?;
        let client = self.authenticate(&headers, &parameters).await?;
        match parameters.require("grant_type", "grant_type is missing")? {
            "authorization_code" => self.exchange(&client, &parameters, &program).await,
            "refresh_token" => self.refresh(&client, &parameters, &program).await,
            DEVICE_CODE => self.poll(&client, &parameters, &program).await,
            _ => Err(Refusal::new("unsupported_grant_type", "the grant type isn't supported").into()),
        }
    }

    /// The response to `OPTIONS` at the endpoints for programs: pages of every origin can call them.
    #[must_use]
    pub fn preflight(self) -> Response {
        preflight()
    }
}

/// The grant type of RFC 8628 section 3.4.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
