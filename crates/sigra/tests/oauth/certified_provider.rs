//! Logins at `oidc-provider`, a certified OpenID Connect provider, which runs in Node on loopback.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use sigra::{
    Clock,
    oauth::{AuthorizationResponse, OauthError, Provider, ProviderIdentity, Providers},
};
use url::Url;

use crate::flow::{Flow, REDIRECT_URI};

const CLIENT_SECRET: &str = "a client secret: 100% & more";

/// The running provider. It ends with its standard input.
struct OidcProvider {
    node: Child,
    /// Kept open: Node ends when it can't write a notice.
    _output: BufReader<ChildStdout>,
    issuer: String,
}

impl OidcProvider {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e");
        let fix = "install Node 20 or newer, and run `npm --prefix e2e install --no-package-lock`";
        assert!(folder.join("node_modules/oidc-provider").exists(), "oidc-provider is not installed: {fix}");
        let mut node = Command::new("node")
            .arg("oidc-provider/server.js")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node can't be started: {error}: {fix}"));
        let mut issuer = String::new();
        let mut output = BufReader::new(node.stdout.take().unwrap());
        output.read_line(&mut issuer).unwrap();
        assert!(issuer.starts_with("http://127.0.0.1:"), "oidc-provider didn't start: {issuer:?}");
        Self { node, _output: output, issuer: issuer.trim().to_owned() }
    }

    fn client(&self, id: &str) -> Provider {
        Provider::oidc("corp", &self.issuer, id, CLIENT_SECRET).http_on_loopback(true)
    }

    async fn rotate_keys(&self) {
        let (status, _) = Browser::default().send("POST", &format!("{}/test/rotate-keys", self.issuer), "").await;
        assert_eq!(status, 204);
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// A browser that can use a login page: it keeps cookies, and follows redirects on loopback.
#[derive(Default)]
struct Browser {
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Returns the status, and where it leads.
    async fn send(&mut self, method: &str, url: &str, body: &str) -> (u16, Option<String>) {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = hyper::Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookies.join("; "))
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status < 400, "{status} at {url}: {}", String::from_utf8_lossy(&body));
        (status, location)
    }

    /// Logs in at the provider, and returns the URL of the callback.
    async fn log_in(&mut self, authorization_url: &str, login: &str) -> Url {
        let mut url = Url::parse(authorization_url).unwrap();
        for _ in 0..8 {
            let (_, location) = self.send("GET", url.as_str(), "").await;
            let location = match location {
                Some(location) => location,
                None => self.send("POST", url.as_str(), &format!("login={login}")).await.1.expect("a redirect"),
            };
            url = url.join(&location).unwrap();
            if url.as_str().starts_with(REDIRECT_URI) {
                return url;
            }
        }
        panic!("the provider never redirected to the callback: {url}");
    }
}

async fn log_in(
    flow: &Flow,
    providers: &Providers,
    browser: &mut Browser,
    login: &str,
) -> Result<ProviderIdentity, OauthError> {
    let callback = browser.log_in(&flow.begin(providers).await?, login).await;
    let parameters: BTreeMap<String, String> = callback.query_pairs().into_owned().collect();
    assert_eq!(parameters.get("state").map(String::as_str), Some("a state"));
    let response = AuthorizationResponse {
        code: parameters.get("code").unwrap_or_else(|| panic!("no code: {callback}")),
        iss: parameters.get("iss").map(String::as_str),
        redirect_uri: REDIRECT_URI,
        nonce: &flow.nonce,
        pkce_verifier: &flow.pkce_verifier,
        reauthenticated_since: flow.reauthenticated_since,
    };
    providers.identify("corp", response).await
}

#[tokio::test]
async fn users_of_a_certified_provider_log_in_whatever_it_signs_with_and_after_its_keys_changed() {
    let provider = OidcProvider::start();
    for client in ["my_app", "my_app_post", "my_app_PS256", "my_app_ES256", "my_app_EdDSA"] {
        let providers = Providers::new([provider.client(client).trust_verified_emails()]).unwrap();
        for _ in 0..2 {
            let identity = log_in(&Flow::new(), &providers, &mut Browser::default(), "jane@example.com").await;
            let identity = identity.unwrap_or_else(|error| panic!("{client}: {error}"));
            assert_eq!((&*identity.issuer, &*identity.subject), (&*provider.issuer, "jane@example.com"));
            assert_eq!((identity.email.as_deref(), identity.email_proven), (Some("jane@example.com"), true));
            provider.rotate_keys().await;
        }
    }
}

#[tokio::test]
async fn a_certified_provider_reports_addresses_that_are_missing_or_not_verified() {
    let provider = OidcProvider::start();
    let providers = Providers::new([provider.client("my_app").trust_verified_emails()]).unwrap();
    for (login, email) in [("jane", None), ("unverified.jane@example.com", Some("unverified.jane@example.com"))] {
        let identity = log_in(&Flow::new(), &providers, &mut Browser::default(), login).await.unwrap();
        assert_eq!((identity.email.as_deref(), identity.email_proven), (email, false));
    }
}

#[tokio::test]
async fn a_certified_provider_asks_a_user_who_is_logged_in_there_to_authenticate_again() {
    let provider = OidcProvider::start();
    let providers = Providers::new([provider.client("my_app")]).unwrap();
    let mut browser = Browser::default();
    log_in(&Flow::new(), &providers, &mut browser, "jane").await.unwrap();
    let flow = Flow::reauthenticating(&Clock::system());
    let identity = log_in(&flow, &providers, &mut browser, "jane").await.unwrap();
    assert!(identity.auth_time.is_some());
}
