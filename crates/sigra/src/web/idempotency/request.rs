//! Which requests can be repeats, and when two are the same.

use std::net::IpAddr;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, header, request::Parts};
use sha2::{Digest, Sha256};

use crate::{
    base::problem::ClientKind,
    browser::request_cookies::RequestCookies,
    in_process::stored_responses::{Key, SentCookies},
    model::{client::Sender, user::AuthUser},
    sigra::Sigra,
    web::layer::impatient,
};

/// The field of a form, and the header of other clients.
const FIELD: &[u8] = b"_idempotency_key=";
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Shorter keys could be guessed, and longer ones cost too much.
const KEY_LEN: std::ops::RangeInclusive<usize> = 16..=128;

/// The headers that must be equal, besides method, address, content and client.
const SAME: [HeaderName; 9] = [
    header::HOST,
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    header::USER_AGENT,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    HEADER,
];

/// A request whose body was read.
pub(super) enum Sent {
    Repeatable(Repeatable),
    /// A request that is processed each time it arrives.
    Once(Request),
}

/// A request that is processed once, however often it arrives.
pub(super) struct Repeatable {
    pub request: Request,
    pub key: Key,
    pub cookies: SentCookies,
    pub client: Option<IpAddr>,
}

/// Returns whether the body must be read to decide.
pub(super) fn may_repeat(request: &Request) -> bool {
    !request.method().is_safe() && (is_form(request.headers()) || header_key(request.headers()).is_some())
}

impl Repeatable {
    /// # Errors
    ///
    /// The response to a request whose body can't be read, the same as from a handler.
    pub async fn read<U: AuthUser>(sigra: &Sigra<U>, request: Request) -> Result<Sent, Response> {
        let (parts, body) = request.into_parts();
        // The limit travels in the extensions.
        let mut limited = Request::new(impatient(body, sigra.parts.config.requests.body_timeout));
        *limited.extensions_mut() = parts.extensions.clone();
        let body = Bytes::from_request(limited, &()).await.map_err(IntoResponse::into_response)?;

        let is_named = header_key(&parts.headers).is_some() || (is_form(&parts.headers) && field_key(&body).is_some());
        let is_of_a_session = || {
            let tokens = sigra.parts.cookies.read_tokens(&RequestCookies::of(&parts.headers));
            tokens.key.valid().next().is_some() || tokens.remember_me.valid().next().is_some()
        };
        let is_repeatable = is_named || (ClientKind::of(&parts.headers) == ClientKind::Browser && is_of_a_session());
        if !is_repeatable {
            return Ok(Sent::Once(Request::from_parts(parts, Body::from(body))));
        }
        let cookies = cookies(&parts.headers);
        let sender = Sender::of(&Request::from_parts(parts.clone(), ()), &sigra.parts.config.requests.trusted_proxies);
        let client = sender.client().ip;
        let address = client.map(|ip| ip.to_string()).unwrap_or_default();
        let digest = digest(&parts, &address, &body, if is_named { &[] } else { &cookies.0 });
        let request = Request::from_parts(parts, Body::from(body));
        Ok(Sent::Repeatable(Self { request, key: Key { digest, is_named }, cookies, client }))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    content_type.and_then(|value| value.get(..FORM.len())).is_some_and(|value| value.eq_ignore_ascii_case(FORM))
}

fn header_key(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(HEADER).map(|value| value.as_bytes()).filter(|key| KEY_LEN.contains(&key.len()))
}

fn field_key(form: &[u8]) -> Option<&[u8]> {
    let key = form.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(FIELD))?;
    KEY_LEN.contains(&key.len()).then_some(key)
}

fn cookies(headers: &HeaderMap) -> SentCookies {
    SentCookies(headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes()).collect::<Vec<_>>().join(&b';'))
}

/// Hashes each part with its length, so that different requests never hash the same bytes.
fn digest(parts: &Parts, client: &str, body: &[u8], cookies: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    add(parts.method.as_str().as_bytes());
    add(parts.uri.to_string().as_bytes());
    for name in SAME {
        for value in parts.headers.get_all(&name) {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
    }
    for part in [client.as_bytes(), body, cookies] {
        add(part);
    }
    digest.finalize().into()
}
