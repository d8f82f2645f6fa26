//! What clients read before they begin: the metadata of the server (RFC 8414) and of what it protects (RFC 9728).

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    base::error::Error,
    model::{
        authorization_server::{AUTHORIZE_PATH, AuthorizationServer, is_same_resource},
        user::AuthUser,
    },
    oauth_server::{handle::OauthServer, response, token::DEVICE_CODE},
};

impl<U: AuthUser> OauthServer<'_, U> {
    /// The document `/.well-known/oauth-authorization-server` (RFC 8414).
    ///
    /// # Errors
    ///
    /// [`Error::NoAuthorizationServer`].
    pub fn metadata(self) -> Result<Response, Error> {
        let settings = self.settings()?;
        let at = |path: &str| format!("{}{path}", settings.issuer);
        let mut metadata = json!({
            "issuer": settings.issuer,
            "authorization_endpoint": at(AUTHORIZE_PATH),
            "token_endpoint": at("/oauth/token"),
            "revocation_endpoint": at("/oauth/revoke"),
            "introspection_endpoint": at("/oauth/introspect"),
            "device_authorization_endpoint": at("/oauth/device_authorization"),
            "scopes_supported": self.scopes(),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_CODE],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": true,
        });
        if settings.registered_clients.is_some() {
            metadata["registration_endpoint"] = at("/oauth/register").into();
        }
        Ok(cacheable(&metadata))
    }

    /// The document `/.well-known/oauth-protected-resource`, or what follows that path (RFC 9728 section 3): names this
    /// server for a resource. Returns `None` if no resource has this path.
    ///
    /// # Errors
    ///
    /// [`Error::NoAuthorizationServer`].
    pub fn resource_metadata(self, path: &str) -> Result<Option<Response>, Error> {
        let settings = self.settings()?;
        let Some(resource) = settings.find_resource(&format!("{}{path}", settings.issuer)) else { return Ok(None) };
        let metadata = json!({
            "resource": resource,
            "authorization_servers": [settings.issuer],
            "scopes_supported": self.scopes_at(settings, resource),
            "bearer_methods_supported": ["header"],
        });
        Ok(Some(cacheable(&metadata)))
    }

    /// Returns the permissions that programs can ask for at a resource. Clients for MCP ask for all that they read
    /// here.
    fn scopes_at(self, settings: &AuthorizationServer, resource: &str) -> Vec<&'static str> {
        let is_theirs = settings.registered_clients.is_some()
            && settings.resources_of_registered_clients().iter().any(|own| is_same_resource(own, resource));
        let theirs = settings.registered_permissions.as_deref().filter(|_| is_theirs);
        let can_have = |name: &&str| theirs.is_none_or(|theirs| theirs.split(' ').any(|own| own == *name));
        self.scopes().into_iter().filter(can_have).collect()
    }

    fn scopes(self) -> Vec<&'static str> {
        self.sigra.parts.config.bearer_tokens.permissions.iter().map(|permission| permission.name).collect()
    }
}

fn cacheable(metadata: &Value) -> Response {
    let mut response = response::json(StatusCode::OK, metadata);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
