//! How sessions are bound to their devices: `BINDING` and `BINDING_TTL`.

use sigra::config::{BindingMode, DeviceBound};
use url::Url;

use super::{error::SettingsError, variables::Variables};

/// Returns how sessions are bound to their devices. Browsers do that over HTTPS only.
pub fn device_bound(env: &Variables, public_url: &Url, prod: bool) -> Result<Option<DeviceBound>, SettingsError> {
    const NAME: &str = "BINDING";
    let is_https = prod && public_url.scheme() == "https";
    let ttl = env.seconds("BINDING_TTL")?;
    let mode = match env.text(NAME)?.as_deref() {
        Some("off") => return Ok(None),
        None if !is_https => return Ok(None),
        None | Some("enforce") if is_https => BindingMode::Enforce,
        Some("report") if is_https => BindingMode::Report,
        value => {
            let expected = if is_https {
                "off, report or enforce"
            } else {
                "off, unless APP_ENV is prod and PUBLIC_URL has https"
            };
            return Err(SettingsError::Invalid { name: NAME, value: value.unwrap_or_default().to_owned(), expected });
        }
    };
    let device_bound = DeviceBound::at(public_url.origin().ascii_serialization())
        .path("/users/session/binding")
        .exclude(["/static"])
        .mode(mode);
    Ok(Some(match ttl {
        Some(ttl) => device_bound.ttl(ttl),
        None => device_bound,
    }))
}
