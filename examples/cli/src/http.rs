//! Requests to the server.

use std::io::Cursor;

use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use oauth2::{
    HttpRequest, HttpResponse,
    http::{Request, header},
    url::form_urlencoded,
};
use serde_json::Value;

use crate::Result;

/// Says which program this is, and on which system: the user's list of devices shows both.
const USER_AGENT: &str = concat!("acme-cli/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub struct SendError(String);

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SendError {}

/// Sends a request, and follows no redirects.
pub async fn send(mut request: HttpRequest) -> std::result::Result<HttpResponse, SendError> {
    let failed = |error: &dyn std::error::Error| SendError(format!("the server can't be reached: {error}"));
    let user_agent = format!("{USER_AGENT} ({})", std::env::consts::OS);
    let user_agent = header::HeaderValue::try_from(user_agent).map_err(|error| failed(&error))?;
    request.headers_mut().insert(header::USER_AGENT, user_agent);
    let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| failed(&error))?;
    let connector = tls.https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Cursor<Vec<u8>>>>(connector);
    let response =
        client.request(request.map(|body| Full::new(Cursor::new(body)))).await.map_err(|error| failed(&error))?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| failed(&error))?;
    Ok(HttpResponse::from_parts(parts, body.to_bytes().to_vec()))
}

/// Gets JSON with an access token.
pub async fn get_json(url: &str, token: &str) -> Result<Value> {
    let request = Request::get(url).header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = send(request.body(Vec::new())?).await?;
    match response.status().is_success() {
        true => Ok(serde_json::from_slice(response.body())?),
        false => Err(format!("the server refused the request: {}", response.status()).into()),
    }
}

pub async fn post_form(url: &str, form: &[(&str, &str)]) -> Result<()> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let response = send(request.body(body.into_bytes())?).await?;
    match response.status().is_success() {
        true => Ok(()),
        false => Err(format!("the server refused the request: {}", response.status()).into()),
    }
}
