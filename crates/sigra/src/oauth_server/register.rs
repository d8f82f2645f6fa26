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
use sha2::{Digest, Sha256};

use crate::{
    base::{clock::earlier, error::Error, telemetry},
    in_process::addresses::{UNKNOWN_CLIENTS, network},
    model::{
        client::{Client, Sender},
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

/// How long a client that registers again isn't written again.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

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
    /// register](crate::oauth_server::AuthorizationServer::max_registered_clients). A registered client is public,
    /// whatever it asks for, and its users are asked every time.
    pub async fn register(self, request: Request) -> Response {
        self.answer_register(request).await.unwrap_or_else(|error| error.into_response())
    }

    async fn answer_register(self, request: Request) -> Result<Response, EndpointError> {
        let Some(max) = self.settings()?.registered_clients else {
            return Err(Refusal::new("access_denied", "clients can't register themselves here").into());
        };
        let program = Sender::of(&request, &self.sigra.parts.config.requests.trusted_proxies).client();
        self.sigra.limits().check_program(&program)?;
        let registration: Registration = read_json(request).await?;
        let name = registration.check()?;
        let register = async move |sigra: Sigra<U>| {
            let redirect_uris = registration.redirect_uris.join(" ");
            sigra.oauth_server().find_or_register(&name, &redirect_uris, max, &program).await
        };
        Ok(self.to_the_end(register).await)
    }

    /// Answers programs that say the same about themselves with the same client (RFC 7591 section 3.2.1), which has no
    /// secret that they would share. Otherwise, each user of a program would need another one.
    async fn find_or_register(
        self,
        name: &str,
        redirect_uris: &str,
        max: u32,
        program: &Client,
    ) -> Result<Response, EndpointError> {
        let id = id_of(name, redirect_uris);
        let known = store::oauth_clients::find::<U::Database>(&mut *self.sigra.pool().acquire().await?, &id).await?;
        if let Some(known) = known {
            self.keep_registered(&id, &known).await?;
            return Ok(self.registration_response(&id, &known)?);
        }
        self.limit_registrations(program).await?;
        let now = self.sigra.now();
        let (name, redirect_uris) = (name.to_owned(), redirect_uris.to_owned());
        let row = RegisteredClientRow { name, redirect_uris, last_used_at: now, inserted_at: now };
        let inserted: Result<bool, Error> = transact!(self.sigra, conn => {
            Ok(store::oauth_clients::insert::<U::Database>(conn, &id, &row, max.into()).await?)
        });
        if !inserted? {
            tracing::warn!(
                target: "sigra", max,
                "a program can't register, because all clients that did have access or were used within 15 minutes: \
                 raise `AuthorizationServer::max_registered_clients`"
            );
            let refusal = Refusal::new("access_denied", "too many clients have registered");
            return Err(refusal.because("too_many_clients").into());
        }
        tracing::info!(target: "sigra", event = telemetry::PROGRAM_REGISTERED, client_id = id);
        self.sigra.ensure_purged();
        Ok(self.registration_response(&id, &row)?)
    }

    /// Keeps a client that registers again from making room for others. Anybody can register, so it isn't written each
    /// time.
    async fn keep_registered(self, id: &str, known: &RegisteredClientRow) -> Result<(), Error> {
        let now = self.sigra.now();
        if known.last_used_at > earlier(now, TOUCH_INTERVAL) {
            return Ok(());
        }
        transact!(self.sigra, conn => Ok(store::oauth_clients::touch::<U::Database>(conn, id, now).await?))
    }

    fn registration_response(self, id: &str, row: &RegisteredClientRow) -> Result<Response, Error> {
        let client = registered(self.settings()?, id, row);
        let scope = self.permissions_for(&client, None).map(|all| all.to_string()).unwrap_or_default();
        let registered = json!({
            "client_id": id,
            "client_id_issued_at": row.inserted_at.unix_timestamp(),
            "client_name": row.name,
            "redirect_uris": row.redirect_uris.split(' ').collect::<Vec<_>>(),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": scope,
            "token_endpoint_auth_method": "none",
        });
        Ok(response::json(StatusCode::CREATED, &registered))
    }

    async fn limit_registrations(self, program: &Client) -> Result<(), Error> {
        let limit = self.settings()?.registration_limit;
        let many = i32::try_from(UNKNOWN_CLIENTS.get()).unwrap_or(i32::MAX);
        let (limit, address) = match program.ip {
            Some(ip) => (limit, network(ip).to_string()),
            None => (limit.free(limit.free.saturating_mul(many)), String::new()),
        };
        self.sigra.limits().check(limit, "oauth registration", &address).await
    }
}

/// Returns the ID of all clients with this name and these redirect URIs. Neither has a line break.
fn id_of(name: &str, redirect_uris: &str) -> String {
    let hash = Sha256::digest(format!("oauth client\n{name}\n{redirect_uris}"));
    format!("{REGISTERED}{}", URL_SAFE_NO_PAD.encode(hash))
}
