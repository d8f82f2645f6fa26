//! Where emails go, and their sender.

use sigra::mail::normalize_address;
use url::{Host, Url};

use super::{error::SettingsError, public_url::is_loopback, variables::Variables};

/// In production, the password of the mail server must not be sent without TLS.
pub fn smtp_url(env: &Variables, prod: bool, warnings: &mut Vec<String>) -> Result<String, SettingsError> {
    let url = env.text("SMTP_URL")?;
    if !prod {
        return Ok(url.unwrap_or_else(|| "memory:".to_owned()));
    }
    let Some(url) = url else {
        warnings.push("SMTP_URL is not set: no emails are sent, so users can't reset their passwords".to_owned());
        return Ok("none:".to_owned());
    };
    if url.starts_with("memory:") {
        warnings.push("SMTP_URL is `memory:`: emails stay in memory, and nobody receives them".to_owned());
    }
    if let Some(server) = Url::parse(&url).ok().filter(is_smtp_without_tls) {
        if server.password().is_some() {
            return Err(SettingsError::PasswordWithoutTls);
        }
        let host = server.host_str().and_then(|host| Host::parse(host).ok());
        if !host.is_some_and(|host| is_loopback(&host)) {
            warnings.push(
                "SMTP_URL doesn't require TLS: emails, and the links in them, can be read on the network".to_owned(),
            );
        }
    }
    Ok(url)
}

fn is_smtp_without_tls(url: &Url) -> bool {
    let tls = url.query_pairs().find(|(name, _)| name == "tls");
    url.scheme() == "smtp" && tls.is_none_or(|(_, value)| value != "required")
}

pub fn mail_from(env: &Variables, public_url: &Url) -> Result<String, SettingsError> {
    let domain = public_url.domain().unwrap_or("localhost");
    Ok(env.text("MAIL_FROM")?.unwrap_or_else(|| format!("MyApp <no-reply@{domain}>")))
}

pub fn mail_reply_to(env: &Variables) -> Result<Option<String>, SettingsError> {
    const NAME: &str = "MAIL_REPLY_TO";
    let expected = "an email address such as help@example.com";
    let Some(value) = env.text(NAME)? else { return Ok(None) };
    normalize_address(&value).map(Some).ok_or(SettingsError::Invalid { name: NAME, value, expected })
}
