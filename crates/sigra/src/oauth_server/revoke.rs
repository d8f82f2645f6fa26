//! The revocation endpoint (RFC 7009).

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use crate::{
    base::{bearer_secret::PresentedBearer, error::Error, telemetry, token::RefreshToken},
    model::{
        audit::{self, own_event},
        client::{Client, Sender},
        oauth_client::OauthClient,
        user::{AuthUser, Connection},
    },
    oauth_server::{
        endpoint::read_form,
        handle::OauthServer,
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
        response::json,
    },
    sigra::{Sigra, transact},
    store,
};

/// What a token belonged to.
enum Revoked {
    Nothing,
    OfAnotherClient,
    Grant(Uuid),
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/revoke` (RFC 7009): a client that logs out revokes its tokens. A refresh token ends the
    /// access of the program, and an access token only itself.
    pub async fn revoke(self, request: Request) -> Response {
        let revoked = self.answer_revoke(request).await;
        revoked.map_or_else(|error| error.into_response(), |()| json(StatusCode::OK, &serde_json::json!({})))
    }

    async fn answer_revoke(self, request: Request) -> Result<(), EndpointError> {
        let program = Sender::of(&request, &self.sigra.parts.config.trusted_proxies).client();
        let (headers, parameters) = read_form(request).await?;
        let revoke =
            async move |sigra: Sigra<U>| sigra.oauth_server().revoke_token(&headers, &parameters, &program).await;
        self.to_the_end(revoke).await
    }

    async fn revoke_token(
        self,
        headers: &HeaderMap,
        parameters: &Parameters,
        program: &Client,
    ) -> Result<(), EndpointError> {
        let client = self.authenticate(headers, parameters).await?;
        let token = parameters.require("token", "token is missing")?;
        let revoked = transact!(self.sigra, conn => {
            if let Some(refresh) = RefreshToken::parse(token, self.prefix()) {
                return self.revoke_refresh(conn, &refresh, &client, program).await;
            }
            self.revoke_access(conn, token, &client).await
        });
        match revoked? {
            Revoked::Nothing => Ok(()),
            Revoked::OfAnotherClient => Err(Refusal::invalid_grant("the token belongs to another client").into()),
            Revoked::Grant(id) => {
                self.sigra.parts.cache.forget(&id);
                Ok(())
            }
        }
    }

    async fn revoke_refresh(
        self,
        conn: &mut Connection<U>,
        token: &RefreshToken,
        client: &OauthClient,
        program: &Client,
    ) -> Result<Revoked, Error> {
        let series = token.series();
        store::oauth_grants::lock_owner::<U>(&mut *conn, series).await?;
        // Also with one that was replaced: the program has had it.
        let grant = store::oauth_grants::find_by_series::<U>(&mut *conn, series).await?;
        let Some(grant) = grant else { return Ok(Revoked::Nothing) };
        if grant.client != client.id {
            return Ok(Revoked::OfAnotherClient);
        }
        store::oauth_grants::delete::<U>(&mut *conn, grant.id).await?;
        let audit = own_event(audit::APP_REVOKED, &grant.user, program);
        let audit = audit.with(serde_json::json!({ "name": grant.client_name, "by": "program" }));
        self.sigra.audit().record(conn, &audit).await?;
        tracing::info!(target: "sigra", event = telemetry::APP_REVOKED, user_id = %grant.user, grant_id = %grant.id);
        Ok(Revoked::Grant(grant.id))
    }

    async fn revoke_access(
        self,
        conn: &mut Connection<U>,
        token: &str,
        client: &OauthClient,
    ) -> Result<Revoked, Error> {
        let Some(presented) = PresentedBearer::parse(token, self.prefix()) else { return Ok(Revoked::Nothing) };
        let hash = presented.key().hash;
        let found = store::oauth_grants::find_by_token::<U>(&mut *conn, hash).await?;
        match found.map(|found| found.grant) {
            None => Ok(Revoked::Nothing),
            Some(grant) if grant.client != client.id => Ok(Revoked::OfAnotherClient),
            Some(grant) => {
                store::oauth_grants::delete_token::<U>(conn, hash).await?;
                Ok(Revoked::Grant(grant.id))
            }
        }
    }
}
