//! What the endpoints for programs read.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header};

use crate::{
    base::task::ToTheEnd,
    model::user::AuthUser,
    oauth_server::{
        handle::OauthServer,
        parameters::Parameters,
        refusal::{EndpointError, Refusal},
    },
    sigra::Sigra,
};

/// The longest body, in bytes.
const MAX_BODY: usize = 32 * 1024;

impl<U: AuthUser> OauthServer<'_, U> {
    /// Runs the request to completion even if the program disconnects, so that its emails and events follow the commit,
    /// and its refusal is logged.
    pub(super) async fn to_the_end<F>(self, work: impl FnOnce(Sigra<U>) -> F) -> Response
    where
        F: Future<Output = Result<Response, EndpointError>> + Send + 'static,
    {
        let answer = work(self.sigra.clone());
        let answer = async move { answer.await.unwrap_or_else(|error| error.into_response()) };
        ToTheEnd::new(&self.sigra.parts.abandoned, answer).await
    }
}

/// Reads the form of a request. Parameters in the URL are refused, because URLs are logged.
pub(super) async fn read_form(request: Request) -> Result<(HeaderMap, Parameters), Refusal> {
    let (parts, body) = request.into_parts();
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Refusal::invalid_request("send parameters in the body, not in the URL"));
    }
    if !has_type(&parts.headers, "application/x-www-form-urlencoded") {
        return Err(Refusal::invalid_request("send the body as application/x-www-form-urlencoded"));
    }
    Ok((parts.headers, Parameters::parse(&read(body).await?)?))
}

/// Reads the JSON of a request.
pub(super) async fn read_json<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let (parts, body) = request.into_parts();
    if !has_type(&parts.headers, "application/json") {
        return Err(Refusal::new("invalid_client_metadata", "send the body as application/json"));
    }
    let body = read(body).await?;
    serde_json::from_slice(&body)
        .map_err(|_| Refusal::new("invalid_client_metadata", "the body isn't the JSON of a client (RFC 7591)"))
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let read = to_bytes(body, MAX_BODY).await;
    read.map(Vec::from).map_err(|_| Refusal::invalid_request("the body is too long, or ended early"))
}

fn has_type(headers: &HeaderMap, expected: &str) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|sent| sent.to_str().ok());
    sent.and_then(|sent| sent.split(';').next()).is_some_and(|sent| sent.trim().eq_ignore_ascii_case(expected))
}
