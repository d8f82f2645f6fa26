//! The handle of the OAuth server, and the client of a request.

use http::HeaderMap;

use crate::{
    base::error::Error,
    model::{
        authorization_server::{AuthorizationServer, is_same_resource},
        oauth_client::{OauthClient, REGISTERED},
        permission::Permissions,
        user::AuthUser,
    },
    oauth_server::{
        parameters::{Parameters, Presented},
        refusal::{EndpointError, Refusal},
    },
    sigra::{Sigra, handle},
    store::{self, RegisteredClientRow},
};

const NO_RESOURCE: Refusal =
    Refusal::new("invalid_target", "a client that registered itself must name the resource that it needs tokens for");
const OTHER_RESOURCE: Refusal = Refusal::new("invalid_target", "the client can't have tokens for this resource");

handle! {
    /// The endpoints of the OAuth server, and the programs that users gave access. Returned by [`Sigra::oauth_server`].
    OauthServer,
    /// Returns the handle for the [OAuth server](crate::oauth_server).
    oauth_server
}

impl<'a, U: AuthUser> OauthServer<'a, U> {
    /// Returns the settings.
    pub(super) fn settings(self) -> Result<&'a AuthorizationServer, Error> {
        self.sigra.parts.config.oauth_server.as_ref().ok_or(Error::NoAuthorizationServer)
    }

    /// Returns a client by its id: one of the host's, or one that registered itself.
    pub(super) async fn find_client(self, id: &str) -> Result<Option<OauthClient>, Error> {
        let settings = self.settings()?;
        if !id.starts_with(REGISTERED) {
            return Ok(settings.clients.iter().find(|client| client.id == id).cloned());
        }
        if settings.registered_clients.is_none() {
            return Ok(None);
        }
        let mut conn = self.sigra.pool().acquire().await?;
        let row = store::oauth_clients::find::<U::Database>(&mut conn, id).await?;
        Ok(row.map(|row| registered(settings, id, &row)))
    }

    /// Returns the client that sends a request, if it presents its secret or has none.
    pub(super) async fn authenticate(
        self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<OauthClient, EndpointError> {
        let presented = Presented::of(headers, parameters)?;
        let client = self.find_client(&presented.client).await?;
        let client = client.ok_or(Refusal::invalid_client().because("unknown_client"))?;
        let is_it = match (&client.secret_hash, &presented.secret) {
            (Some(_), Some(secret)) => client.has_secret(secret),
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => true,
        };
        match is_it {
            true => Ok(client),
            false => Err(EndpointError::from(Refusal::invalid_client().because("wrong_secret")).of(&client)),
        }
    }

    /// Returns the permissions that a client asks for: at least one, all of which are registered, and which the client
    /// may have. Without `scope`, these are all that it may have.
    pub(super) fn permissions_for(self, client: &OauthClient, scope: Option<&str>) -> Result<Permissions, Refusal> {
        let registered = &self.sigra.parts.config.bearer_tokens.permissions;
        let all: Vec<&str> = registered.iter().map(|permission| permission.name).collect();
        let may = registered.known_in(client.permissions.as_deref().unwrap_or(&all.join(" ")));
        let asked = match scope {
            Some(scope) => scope.parse().map_err(|_| Refusal::invalid_scope("the scope isn't a list of names"))?,
            None => may.clone(),
        };
        match asked.is_empty() {
            false if asked.is_subset_of(&may) => Ok(asked),
            _ => Err(Refusal::invalid_scope("the client can't have these permissions")),
        }
    }

    /// Returns the resource that a client asks for, or the whole server, if the client can have tokens for it.
    pub(super) fn resource_for(self, client: &OauthClient, requested: Option<&str>) -> Result<String, EndpointError> {
        let settings = self.settings()?;
        let found = settings.find_resource(requested.unwrap_or(&settings.issuer)).ok_or(Refusal::invalid_target())?;
        match &client.resources {
            Some(own) if !own.iter().any(|own| is_same_resource(own, found)) => {
                Err(requested.map_or(NO_RESOURCE, |_| OTHER_RESOURCE).into())
            }
            _ => Ok(found.to_owned()),
        }
    }

    /// Returns the resource that a client is limited to, or `None` for the whole server.
    pub(super) fn limit_of(self, resource: String) -> Option<String> {
        let is_issuer = self.settings().is_ok_and(|settings| is_same_resource(&settings.issuer, &resource));
        (!is_issuer).then_some(resource)
    }
}

/// Returns a client that registered itself. What it can ask for is in the settings, not in its row, so that a change of
/// the settings concerns all of them.
pub(super) fn registered(settings: &AuthorizationServer, id: &str, row: &RegisteredClientRow) -> OauthClient {
    let client = OauthClient::new(id, &row.name);
    let client = row.redirect_uris.split(' ').fold(client, OauthClient::redirect_uri);
    OauthClient {
        permissions: settings.registered_permissions.clone(),
        resources: Some(settings.resources_of_registered_clients()),
        ..client
    }
}
