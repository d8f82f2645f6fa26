//! The programs that users can give access: your own apps and command lines, and clients for MCP.

use sigra::oauth_server::{AuthorizationServer, OauthClient};
use url::Url;

/// The clients of the OAuth server. This one is an example: replace it with your own.
///
/// `None` turns the server off, because programs must not send tokens over connections without TLS.
pub fn authorization_server(public_url: &Url, warnings: &mut Vec<String>) -> Option<AuthorizationServer> {
    let cli = OauthClient::new("my_app_cli", "MyApp CLI")
        .redirect_uri("http://127.0.0.1/callback")
        .redirect_uri("http://[::1]/callback")
        .device_flow(true);
    let server = AuthorizationServer::new(public_url.origin().ascii_serialization()).client(cli);
    // To let programs register themselves, as those for MCP do, name what they can ask for:
    // `.resource(&mcp).max_registered_clients(1000).registered_client_resources([&mcp])`
    // `.registered_client_permissions([ReadProjects::NAME])`
    match server.check() {
        Err(error @ sigra::ConfigError::Issuer(_)) => {
            warnings.push(format!("the OAuth server is off: {error}"));
            None
        }
        _ => Some(server),
    }
}
