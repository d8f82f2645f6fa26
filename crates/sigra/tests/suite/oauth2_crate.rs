//! A client that others wrote, the crate `oauth2`, at the OAuth server, through a socket.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, DeviceAuthorizationUrl, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeChallenge, RedirectUrl, RefreshToken, RevocationUrl, Scope,
    StandardDeviceAuthorizationResponse, StandardRevocableToken, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicTokenResponse},
};
use sigra::testing::{TestHost, assert_status};

use super::oauth_server_host::{CALLBACK, ServerHost, answer_in};

type Acme = BasicClient<EndpointSet, EndpointSet, EndpointNotSet, EndpointSet, EndpointSet>;

/// Serves the host at a port, and returns the client that knows it.
async fn client_of(host: &ServerHost) -> Acme {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let service = host.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    BasicClient::new(ClientId::new("cli".to_owned()))
        .set_auth_uri(AuthUrl::new(format!("{at}/oauth/authorize")).unwrap())
        .set_token_uri(TokenUrl::new(format!("{at}/oauth/token")).unwrap())
        .set_device_authorization_url(DeviceAuthorizationUrl::new(format!("{at}/oauth/device_authorization")).unwrap())
        .set_revocation_url(RevocationUrl::new(format!("{at}/oauth/revoke")).unwrap())
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap())
}

async fn send(request: HttpRequest) -> Result<HttpResponse, hyper_util::client::legacy::Error> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<hyper::body::Bytes>>();
    let response = client.request(request.map(|body| Full::new(body.into()))).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    Ok(HttpResponse::from_parts(parts, body))
}

async fn opens(host: &ServerHost, tokens: &BasicTokenResponse) -> StatusCode {
    host.open("/api/read", tokens.access_token().secret()).await.status()
}

#[tokio::test]
async fn the_crate_oauth2_logs_in_by_code_refreshes_and_revokes() {
    let host = ServerHost::new().await;
    let client = client_of(&host).await;
    let (_, browser) = host.user().await;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scope(Scope::new("projects:read".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    let answer = answer_in(&browser.post(&path, &[("decision", "allow")]).await);
    let value = |name: &str| answer.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap();
    assert_eq!(&value("state"), state.secret());

    let exchange = client.exchange_code(AuthorizationCode::new(value("code"))).set_pkce_verifier(verifier);
    let tokens = exchange.request_async(&send).await.unwrap();
    assert_eq!(tokens.expires_in(), Some(Duration::from_secs(900)));
    assert_eq!(tokens.scopes().unwrap(), &[Scope::new("projects:read".to_owned())]);
    assert_eq!(opens(&host, &tokens).await, StatusCode::OK);

    let refresh = RefreshToken::new(tokens.refresh_token().unwrap().secret().clone());
    let next = client.exchange_refresh_token(&refresh).request_async(&send).await.unwrap();
    assert_eq!(opens(&host, &next).await, StatusCode::OK);
    let revocable = StandardRevocableToken::RefreshToken(next.refresh_token().unwrap().clone());
    // The crate revokes only through https, as RFC 7009 section 2 requires. The request is the same.
    match client.revoke_token(revocable) {
        Ok(revoke) => revoke.request_async(&send).await.unwrap(),
        Err(_) => {
            let form = [("client_id", "cli"), ("token", next.refresh_token().unwrap().secret().as_str())];
            assert_status(&host.program().post("/oauth/revoke", &form).await, StatusCode::OK);
        }
    }
    assert_eq!(opens(&host, &next).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_crate_oauth2_logs_in_by_device_code() {
    let host = ServerHost::new().await;
    let client = client_of(&host).await;
    let (_, browser) = host.user().await;
    let begin = client.exchange_device_code().add_scope(Scope::new("projects:read".to_owned()));
    let details: StandardDeviceAuthorizationResponse = begin.request_async(&send).await.unwrap();
    let user_code = details.user_code().secret().clone();
    // Each time it waits, time passes. After the second time, the user has decided.
    let (clock, waits) = (host.host.clock().clone(), AtomicUsize::new(0));
    let browser = Arc::new(browser);
    let wait = |time: Duration| {
        clock.advance(time);
        let (browser, user_code) = (browser.clone(), user_code.clone());
        let decides = waits.fetch_add(1, Ordering::Relaxed) == 1;
        async move {
            if decides {
                browser.post("/device", &[("user_code", &user_code)]).await;
                browser.post("/device/decision", &[("user_code", &user_code), ("decision", "allow")]).await;
            }
        }
    };
    let tokens = client.exchange_device_access_token(&details).request_async(&send, wait, None).await.unwrap();
    assert_eq!(opens(&host, &tokens).await, StatusCode::OK);
    assert!(waits.into_inner() >= 2);
}
