//! The introspection endpoint (RFC 7662).

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Serialize;

use crate::{
    base::bearer_secret::PresentedBearer,
    model::{bearer, oauth_client::OauthClient, user::AuthUser},
    oauth_server::{
        endpoint::read_form,
        handle::OauthServer,
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
        response::json,
    },
    store::{self, FoundGrant},
};

/// What is known about a valid token.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    scope: String,
    client_id: &'a str,
    sub: String,
    aud: &'a str,
    iss: &'a str,
    token_type: &'static str,
    exp: i64,
    iat: i64,
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/introspect` (RFC 7662): tells an API on another server whether an access token is valid,
    /// and what it allows. A client calls it with its secret, and can introspect tokens for [its
    /// resources](crate::oauth_server::OauthClient::introspection_for), or for the [whole
    /// server](crate::oauth_server::OauthClient::introspection). All other tokens are inactive to it.
    pub async fn introspect(self, request: Request) -> Response {
        self.answer_introspect(request).await.unwrap_or_else(|error| error.into_response())
    }

    async fn answer_introspect(self, request: Request) -> Result<Response, EndpointError> {
        let (headers, parameters) = read_form(request).await?;
        let client = self.authenticate(&headers, &parameters).await?;
        self.describe(&client, &parameters).await.map_err(|error| error.of(&client))
    }

    async fn describe(self, client: &OauthClient, parameters: &Parameters) -> Result<Response, EndpointError> {
        if !client.introspects() {
            return Err(Refusal::invalid_client().because("no_introspection").into());
        }
        let token = parameters.require("token", "token is missing")?;
        let inactive = || json(StatusCode::OK, &serde_json::json!({ "active": false }));
        let Some(presented) = PresentedBearer::parse(token, self.prefix()) else { return Ok(inactive()) };
        let mut conn = self.sigra.pool().acquire().await?;
        let found = store::oauth_grants::find_by_token::<U>(&mut conn, presented.key().hash).await?;
        let settings = self.settings()?;
        let is_active = |found: &FoundGrant<U>| {
            settings.can_introspect(client, &found.grant.resource)
                && settings.knows(&found.grant.client)
                && self.is_valid(found)
        };
        let Some(found) = found.filter(is_active) else { return Ok(inactive()) };
        let active = Active {
            active: true,
            scope: self.sigra.parts.config.bearer_tokens.permissions.known_in(&found.permissions).to_string(),
            client_id: &found.grant.client,
            sub: found.grant.user.to_string(),
            aud: &found.grant.resource,
            iss: &settings.issuer,
            token_type: "Bearer",
            exp: found.expires_at.unix_timestamp(),
            iat: found.issued_at.unix_timestamp(),
        };
        Ok(json(StatusCode::OK, &active))
    }

    /// Returns whether a token is valid, by the same rules as for the extractor.
    fn is_valid(self, found: &FoundGrant<U>) -> bool {
        bearer::is_valid(&found.user, found.grant.mfa_verified, Some(found.expires_at), self.sigra.now())
    }
}
