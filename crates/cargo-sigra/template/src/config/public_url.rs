//! The URL that users type, and who can reach it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::{error::SettingsError, variables::Variables};

const NAME: &str = "PUBLIC_URL";

pub fn public_url(env: &Variables, prod: bool, listen: SocketAddr) -> Result<Url, SettingsError> {
    let expected = if prod {
        "a URL such as https://app.example.com, without a path"
    } else {
        "a URL such as http://localhost:4000, without a path"
    };
    let value = match env.text(NAME)? {
        Some(value) => value,
        None if prod => {
            return Err(SettingsError::Missing { name: NAME, fix: "set it to the URL that users type" });
        }
        None => url_in_development(listen),
    };
    if value.contains('@') {
        return Err(SettingsError::Credentials(NAME));
    }
    let is_web = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && !prod);
    let is_origin = |url: &Url| url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match Url::parse(&value) {
        Ok(url) if is_web(&url) && is_origin(&url) => Ok(url),
        _ => Err(SettingsError::Invalid { name: NAME, value, expected }),
    }
}

/// Names this machine `localhost`, because browsers support no passkeys at an IP address.
fn url_in_development(listen: SocketAddr) -> String {
    match listen.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::LOCALHOST | Ipv4Addr::UNSPECIFIED)
        | IpAddr::V6(Ipv6Addr::LOCALHOST | Ipv6Addr::UNSPECIFIED) => format!("http://localhost:{}", listen.port()),
        _ => format!("http://{listen}"),
    }
}

// <app>
/// Without `APP_ENV` the application runs in development mode: the demo user's password is public, and everyone can
/// read all emails. So it must not be reachable from other machines.
pub fn require_loopback(env: &Variables, listen: SocketAddr) -> Result<(), SettingsError> {
    let forgotten = |name, value| Err(SettingsError::ForgottenAppEnv { name, value });
    let public_url = public_url(env, false, listen)?;
    let is_here = public_url.host().is_some_and(|host| is_loopback(&host));
    if public_url.scheme() == "https" || !is_here {
        return forgotten(NAME, public_url.origin().ascii_serialization());
    }
    if !listen.ip().to_canonical().is_loopback() {
        return forgotten("HOST", listen.ip().to_string());
    }
    Ok(())
}
// </app>

/// Returns whether a host always means this machine. That holds for `localhost` and its subdomains (RFC 6761 section
/// 6.3). The owner of any other name can point it here.
pub fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.to_canonical().is_loopback(),
    }
}
