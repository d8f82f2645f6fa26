//! Checks that emails can be sent.

use std::time::Duration;

use sigra::mail::Mailer;
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use super::{finding::Finding, variables::Variables};

/// The time after which a mail server counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(5);

const FIX: &str = "SMTP_URL=smtp://user:password@mail.example.com:587?tls=required";

pub async fn check(env: &Variables) -> Vec<Finding> {
    let url = env.get("SMTP_URL");
    let from = env.get("MAIL_FROM").unwrap_or_else(|| "My App <no-reply@localhost>".to_owned());
    let Some(url) = url else {
        let finding = if env.is_prod() {
            Finding::warning("mail", "SMTP_URL is not set: no email is sent, so users can't reset their passwords", FIX)
        } else {
            Finding::good("mail", "SMTP_URL is not set: emails are kept in memory")
        };
        return vec![finding];
    };
    if env.is_prod() && url.starts_with("memory:") {
        return vec![Finding::warning("mail", "SMTP_URL is `memory:`: emails are not sent", FIX)];
    }
    if let Err(error) = Mailer::from_url(&url, &from) {
        return vec![Finding::bad("mail", error.to_string(), FIX)];
    }
    let leaks_password = Url::parse(&url).is_ok_and(|url| url.password().is_some() && is_without_tls(&url));
    if env.is_prod() && leaks_password {
        return vec![Finding::bad("mail", "SMTP_URL has a password, which would be sent without TLS", FIX)];
    }
    match server(&url) {
        Some((host, port)) => vec![reach(&host, port).await],
        None => vec![Finding::good("mail", "SMTP_URL does not name a mail server: emails are not sent")],
    }
}

async fn reach(host: &str, port: u16) -> Finding {
    let found = match timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => return Finding::good("mail", format!("can connect to {host}:{port}")),
        Ok(Err(error)) => format!("can't connect to {host}:{port}: {error}"),
        Err(_) => format!("{host}:{port} does not respond within {} seconds", PATIENCE.as_secs()),
    };
    Finding::bad("mail", found, "check the host and port in SMTP_URL, and the firewall")
}

fn is_without_tls(url: &Url) -> bool {
    let tls = url.query_pairs().find(|(name, _)| name == "tls");
    url.scheme() == "smtp" && tls.is_none_or(|(_, value)| value != "required")
}

/// Returns the host and port of the mail server. The URL can contain a password, so it is never shown.
fn server(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let port = match (url.scheme(), url.query()) {
        ("smtps", _) => 465,
        ("smtp", Some(query)) if query.contains("tls=") => 587,
        ("smtp", _) => 25,
        _ => return None,
    };
    Some((url.host_str()?.to_owned(), url.port().unwrap_or(port)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::commands::doctor::finding::Status;

    fn of(settings: &[(&str, &str)]) -> Finding {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(&Variables::of(settings))).remove(0)
    }

    #[test]
    fn a_mail_server_must_be_reachable() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("smtp://ada:secret@{}", listener.local_addr().expect("an address"));
        assert_eq!(of(&[("SMTP_URL", &url)]).status, Status::Good);
        drop(listener);
        let gone = of(&[("SMTP_URL", &url)]);
        assert_eq!(gone.status, Status::Bad);
        assert!(!gone.found.contains("secret"), "{gone:?}");
    }

    #[test]
    fn a_missing_mail_server_is_a_warning_in_production() {
        assert_eq!(of(&[]).status, Status::Good);
        assert_eq!(of(&[("APP_ENV", "prod")]).status, Status::Warning);
        assert_eq!(of(&[("SMTP_URL", "none:")]).status, Status::Good);
        for (url, from) in [("http://mail.example.com", "a@example.com"), ("none:", "nobody")] {
            assert_eq!(of(&[("SMTP_URL", url), ("MAIL_FROM", from)]).status, Status::Bad);
        }
    }

    #[test]
    fn a_password_in_the_clear_is_bad_in_production() {
        for url in ["smtp://ada:secret@127.0.0.1:1", "smtp://ada:secret@127.0.0.1:1?tls=opportunistic"] {
            let finding = of(&[("APP_ENV", "prod"), ("SMTP_URL", url)]);
            assert_eq!(finding.status, Status::Bad);
            assert!(finding.found.contains("without TLS") && !finding.found.contains("secret"), "{finding:?}");
        }
        assert!(!of(&[("APP_ENV", "prod"), ("SMTP_URL", "smtp://127.0.0.1:1")]).found.contains("TLS"));
    }

    #[test]
    fn the_port_is_the_one_that_emails_are_sent_to() {
        for (url, port) in [
            ("smtp://a.com", 25),
            ("smtp://a.com?tls=required", 587),
            ("smtps://a.com", 465),
            ("smtp://a.com:2525?tls=required", 2525),
        ] {
            assert_eq!(server(url), Some(("a.com".to_owned(), port)));
        }
        assert_eq!(server("file:///tmp"), None);
    }
}
