//! The domain of cookies: `COOKIE_DOMAIN`.

use url::Url;

use super::{error::SettingsError, variables::Variables};

/// Checks that the cookie domain is the page's domain or a parent. Browsers refuse other cookies.
pub fn check(env: &Variables, public_url: &Url, prod: bool, warnings: &mut Vec<String>) -> Result<(), SettingsError> {
    let (Some(domain), Some(_)) = (env.text("COOKIE_DOMAIN")?, env.text("PUBLIC_URL")?) else { return Ok(()) };
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    let host = public_url.host_str().unwrap_or_default();
    if host == domain || host.ends_with(&format!(".{domain}")) {
        return Ok(());
    }
    let error = SettingsError::OutsideCookieDomain { host: host.to_owned(), domain };
    if prod {
        return Err(error);
    }
    warnings.push(error.to_string());
    Ok(())
}
