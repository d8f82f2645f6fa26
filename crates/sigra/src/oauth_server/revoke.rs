//! The revocation endpoint (RFC 7009).

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;

use crate::{
    base::{bearer_secret::PresentedBearer, error::Error, telemetry, token::RefreshToken},
    model::{
        audit::{self, own_event},
        client::{Client, Sender},
        oauth_client::OauthClient,
        user::AuthUser,
    },
    oauth_server::{
        endpoint::read_form,
        handle::OauthServer,
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
        response::json,
    },
    sigra::{Sigra, transact},
    store::{self, GrantRow},
};

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/revoke` (RFC 7009): a client that logs out revokes its tokens. A refresh token ends the
    /// access of the program, and an access token only itself.
    pub async fn revoke(self, request: Request) -> Response {
        self.answer_revoke(request).await.unwrap_or_else(|error| error.into_response())
    }

    async fn answer_revoke(self, request: Request) -> Result<Response, EndpointError> {
        let program = Sender::of(&request, &self.sigra.parts.config.requests.trusted_proxies).client();
        let (headers, parameters) = read_form(request).await?;
        let revoke = async move |sigra: Sigra<U>| {
            let server = sigra.oauth_server();
            let client = server.authenticate(&headers, &parameters).await?;
            server.revoke_token(&client, &parameters, &program).await.map_err(|error| error.of(&client))?;
            Ok(json(StatusCode::OK, &serde_json::json!({})))
        };
        Ok(self.to_the_end(revoke).await)
    }

    async fn revoke_token(
        self,
        client: &OauthClient,
        parameters: &Parameters,
        program: &Client,
    ) -> Result<(), EndpointError> {
        let token = parameters.require("token", "token is missing")?;
        match RefreshToken::parse(token, self.prefix()) {
            Some(refresh) => self.revoke_refresh(&refresh, client, program).await,
            None => self.revoke_access(token, client).await,
        }
    }

    /// Ends the access of the program, also with a refresh token that was replaced: the program has had it.
    async fn revoke_refresh(
        self,
        token: &RefreshToken,
        client: &OauthClient,
        program: &Client,
    ) -> Result<(), EndpointError> {
        // Before the transaction, which keeps other writers waiting on SQLite: anybody can send unknown tokens.
        let mut conn = self.sigra.pool().acquire().await?;
        let found = store::oauth_grants::find_by_series::<U>(&mut conn, token.series()).await?;
        drop(conn);
        let Some(grant) = own(found, client)? else { return Ok(()) };
        Ok(transact!(self.sigra, if true, tx => {
            store::users::lock::<U>(tx, &grant.user).await?;
            if !store::oauth_grants::delete::<U>(tx, grant.id).await? {
                return Ok(());
            }
            let audit = own_event(audit::PROGRAM_REVOKED, &grant.user, program);
            let audit = audit.with(serde_json::json!({ "name": grant.client_name, "by": "program" }));
            self.sigra.audit().record_in(tx, &audit).await?;
            let (sigra, user, id) = (self.sigra.clone(), grant.user.clone(), grant.id);
            tx.after_commit(move || {
                sigra.parts.cache.forget(&id);
                tracing::info!(target: "sigra", event = telemetry::PROGRAM_REVOKED, user_id = %user, grant_id = %id);
            });
            Ok(())
        })?)
    }

    async fn revoke_access(self, token: &str, client: &OauthClient) -> Result<(), EndpointError> {
        let Some(presented) = PresentedBearer::parse(token, self.prefix()) else { return Ok(()) };
        let hash = presented.key().hash;
        let found = store::oauth_grants::find_by_token::<U>(&mut *self.sigra.pool().acquire().await?, hash).await?;
        let Some(grant) = own(found.map(|found| found.grant), client)? else { return Ok(()) };
        transact!(self.sigra, conn => Ok(store::oauth_grants::delete_token::<U>(conn, hash).await?))?;
        self.sigra.parts.cache.forget(&grant.id);
        Ok(())
    }
}

/// Returns the grant of a token, if there is one, and fails if it is another client's.
fn own<Id>(grant: Option<GrantRow<Id>>, client: &OauthClient) -> Result<Option<GrantRow<Id>>, Refusal> {
    match grant {
        Some(grant) if grant.client != client.id => {
            Err(Refusal::invalid_grant("the token belongs to another client").because("wrong_client"))
        }
        grant => Ok(grant),
    }
}
