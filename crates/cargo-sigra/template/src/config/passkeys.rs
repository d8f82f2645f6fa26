//! The domain of passkeys: `PASSKEY_DOMAIN`, or the host of `PUBLIC_URL`.

use std::net::SocketAddr;

use sigra::config::RelyingParty;
use url::Url;

use super::{error::SettingsError, variables::Variables};

/// Returns the domain that passkeys belong to, and the origin of the pages that use them. Browsers don't support
/// passkeys at IP addresses, so development uses `localhost`.
pub fn relying_party(
    env: &Variables,
    public_url: &Url,
    listen: SocketAddr,
    prod: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<(String, String)>, SettingsError> {
    let origin = public_url.origin().ascii_serialization();
    if let Some(domain) = env.text("PASSKEY_DOMAIN")? {
        return Ok(Some((domain, origin)));
    }
    let (domain, origin) = match public_url.domain() {
        Some(domain) => (domain.to_owned(), origin),
        None if listen.ip().is_loopback() && !prod => {
            ("localhost".to_owned(), format!("http://localhost:{}", listen.port()))
        }
        None => {
            warnings.push(format!("passkeys are off: browsers don't support them at an IP address, such as {origin}"));
            return Ok(None);
        }
    };
    match RelyingParty::new(&domain, &origin).check() {
        Err(error) if !prod => {
            warnings.push(format!("passkeys are off: {error}"));
            Ok(None)
        }
        _ => Ok(Some((domain, origin))),
    }
}
