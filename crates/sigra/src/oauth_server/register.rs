//! The registration endpoint (RFC 7591), for programs that nobody could name before, such as clients for MCP.

use std::time::Duration;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::{
    base::{error::Error, telemetry, token::random_bytes},
    in_process::addresses::network,
    model::{
        client::{Client, Sender},
        limit::Limit,
        oauth_client::{REGISTERED, check_redirect_uri, is_name},
        user::AuthUser,
    },
    oauth_server::{
        endpoint::read_json,
        handle::{OauthServer, registered},
        refusal::{EndpointError, Refusal},
        response,
    },
    sigra::{Sigra, transact},
    store::{self, RegisteredClientRow},
};

/// The maximum number of redirect URIs of a client.
const MAX_URIS: usize = 8;

/// How many clients an IP address can register: 10 in an hour.
const REGISTRATIONS: Limit = Limit {
    free: 10,
    delay: Duration::from_secs(60 * 60),
    max_delay: Duration::from_secs(60 * 60),
    forget_after: Duration::from_secs(60 * 60),
};

/// What a client says about itself. Other fields are ignored, as RFC 7591 section 2 requires.
#[derive(Deserialize)]
struct Registration {
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    #[serde(default)]
    grant_types: Vec<String>,
    #[serde(default)]
    response_types: Vec<String>,
}

impl Registration {
    /// Returns the client's name.
    fn check(&self) -> Result<String, Refusal> {
        let invalid = |description| Refusal::new("invalid_client_metadata", description);
        if self.redirect_uris.is_empty() || self.redirect_uris.len() > MAX_URIS {
            return Err(Refusal::new("invalid_redirect_uri", "register 1 to 8 redirect URIs"));
        }
        for uri in &self.redirect_uris {
            check_redirect_uri(uri).map_err(|mistake| Refusal::new("invalid_redirect_uri", mistake))?;
            if !uri.starts_with("https://") && !uri.starts_with("http://") {
                return Err(Refusal::new("invalid_redirect_uri", "only https and loopback redirect URIs can register"));
            }
        }
        if !self.grant_types.is_empty() && !self.grant_types.iter().any(|grant| grant == "authorization_code") {
            return Err(invalid("only clients for authorization codes can register"));
        }
        if !self.response_types.is_empty() && !self.response_types.iter().any(|response| response == "code") {
            return Err(invalid("only the response type `code` is supported"));
        }
        match self.client_name.as_deref().map(str::trim) {
            None | Some("") => Ok("Unnamed program".to_owned()),
            Some(name) if is_name(name) => Ok(name.to_owned()),
            Some(_) => Err(invalid("client_name can have at most 80 characters, all of which can be shown")),
        }
    }
}

impl<U: AuthUser> OauthServer<'_, U> {
    /// The endpoint `/oauth/register` (RFC 7591), if the host [lets clients
    /// register](crate::oauth_server::AuthorizationServer::max_registered_clients). A registered client is public, whatever it
    /// asks for, and its users are asked every time.
    pub async fn register(self, request: Request) -> Response {
        self.answer_register(request).await.unwrap_or_else(|error| error.into_response())
    }

    async fn answer_register(self, request: Request) -> Result<Response, EndpointError> {
        let Some(max) = self.settings()?.registered_clients else {
            return Err(Refusal::new("access_denied", "clients can't register themselves here").into());
        };
        let program = Sender::of(&request, &self.sigra.parts.config.trusted_proxies).client();
        self.sigra.limits().check_program(&program)?;
        let registration: Registration = read_json(request).await?;
        let name = registration.check()?;
        self.limit_registrations(&program).await?;
        let insert = async move |sigra: Sigra<U>| {
            sigra.oauth_server().insert_client(name, registration.redirect_uris, max).await
        };
        Ok(self.to_the_end(insert).await)
    }

    async fn insert_client(
        self,
        name: String,
        redirect_uris: Vec<String>,
        max: u32,
    ) -> Result<Response, EndpointError> {
        let (id, now) = (format!("{REGISTERED}{}", URL_SAFE_NO_PAD.encode(random_bytes::<16>()?)), self.sigra.now());
        let row = RegisteredClientRow { name, redirect_uris: redirect_uris.join(" ") };
        let inserted: Result<bool, Error> = transact!(self.sigra, conn => {
            Ok(store::oauth_clients::insert::<U::Database>(conn, &id, &row, max.into(), now).await?)
        });
        if !inserted? {
            return Err(Refusal::new("access_denied", "too many clients have registered")
                .because("too_many_clients")
                .into());
        }
        tracing::info!(target: "sigra", event = telemetry::PROGRAM_REGISTERED, client_id = id);
        self.sigra.ensure_purged();
        let client = registered(self.settings()?, &id, row.clone());
        let scope = self.permissions_for(&client, None).map(|all| all.to_string()).unwrap_or_default();
        let registered = json!({
            "client_id": id,
            "client_id_issued_at": now.unix_timestamp(),
            "client_name": row.name,
            "redirect_uris": redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": scope,
            "token_endpoint_auth_method": "none",
        });
        Ok(response::json(StatusCode::CREATED, &registered))
    }

    async fn limit_registrations(self, program: &Client) -> Result<(), Error> {
        let address = program.ip.map(|ip| network(ip).to_string()).unwrap_or_default();
        self.sigra.limits().check(REGISTRATIONS, "oauth registration", &address).await
    }
}
