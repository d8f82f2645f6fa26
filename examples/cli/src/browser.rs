//! The user's browser: opening it, and waiting until it comes back.

use std::process::{Command, Stdio};

use oauth2::url::Url;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::Result;

const PAGE: &str = "<!doctype html><title>Acme</title><p>You can close this page and go back to the command line.";

/// Opens a page, or says which one.
pub fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = match cfg!(windows) {
        true => Command::new("rundll32").args(["url.dll,FileProtocolHandler", url]).status(),
        false => Command::new(opener).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).status(),
    };
    if !opened.is_ok_and(|status| status.success()) {
        println!("Open this page in a browser on this computer:\n{url}");
    }
}

/// A port of this computer that the browser comes back to.
pub struct Callback {
    listener: TcpListener,
    port: u16,
}

impl Callback {
    /// Takes any free port: the server accepts all of them.
    pub async fn listen() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self { port: listener.local_addr()?.port(), listener })
    }

    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// Waits for the browser, and returns the code that it brings from this server for this login.
    pub async fn code(self, issuer: &str, state: &str) -> Result<String> {
        loop {
            let (connection, _) = self.listener.accept().await?;
            let mut connection = BufReader::new(connection);
            let mut line = String::new();
            connection.read_line(&mut line).await?;
            let path = line.split(' ').nth(1).unwrap_or_default();
            // Browsers also ask for an icon.
            let Some(query) = path.strip_prefix("/callback?") else { continue };
            let response = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{PAGE}",
                PAGE.len()
            );
            connection.get_mut().write_all(response.as_bytes()).await?;
            return code_in(query, issuer, state);
        }
    }
}

fn code_in(query: &str, issuer: &str, state: &str) -> Result<String> {
    let url = Url::parse(&format!("http://127.0.0.1/?{query}"))?;
    let value = |name: &str| url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    if value("state").as_deref() != Some(state) || value("iss").as_deref() != Some(issuer) {
        return Err("the answer belongs to another login: try again".into());
    }
    match (value("code"), value("error")) {
        (Some(code), None) => Ok(code),
        (_, error) => Err(format!("the login failed: {}", error.unwrap_or_default()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://app.example.com";

    #[test]
    fn only_the_answer_to_this_login_from_this_server_counts() {
        let code = |query: &str| code_in(query, ISSUER, "s").ok();
        assert_eq!(code("code=c&state=s&iss=https%3A%2F%2Fapp.example.com").as_deref(), Some("c"));
        for bad in [
            "code=c&state=t&iss=https%3A%2F%2Fapp.example.com",
            "code=c&state=s&iss=https%3A%2F%2Fevil.example",
            "code=c&state=s",
            "code=c&iss=https%3A%2F%2Fapp.example.com",
            "error=access_denied&state=s&iss=https%3A%2F%2Fapp.example.com",
        ] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }
}
