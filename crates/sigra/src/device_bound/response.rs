//! What browsers are told about the binding of a session.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use uuid::Uuid;

use crate::{
    base::problem::{Problem, code},
    browser::cookies::Cookies,
    model::{device_bound::DeviceBound, session::SessionId},
};

const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

/// The response of the routes of [device-bound sessions](crate::device_bound). Browsers understand it; return it from
/// the handler as it is.
#[derive(Clone, Debug)]
#[must_use = "return it from the handler"]
#[non_exhaustive]
pub enum BindingResponse {
    /// The session is bound, or its bound cookie was renewed: 200.
    Bound(BoundSession),
    /// The browser must sign a challenge first: 403.
    Challenge(SessionChallenge),
    /// There is no such session any more, so the browser forgets it: 200.
    Ended(SessionId),
    /// The browser can't bind the session, or doesn't have its key: 400. It doesn't try again.
    Refused,
}

/// What a browser keeps of a bound session.
#[derive(Clone, Debug)]
pub struct BoundSession(serde_json::Value);

impl BoundSession {
    pub(super) fn new(id: SessionId, settings: &DeviceBound, cookies: &Cookies) -> Self {
        let host = settings.host().unwrap_or_default();
        let exclude = |path: &str| json!({ "type": "exclude", "domain": host, "path": path });
        let excluded: Vec<serde_json::Value> = settings.excluded.iter().map(|path| exclude(path)).collect();
        let (name, attributes) = cookies.bound_attributes();
        Self(json!({
            "session_identifier": id,
            "refresh_url": settings.refresh_path(),
            "scope": { "origin": settings.origin, "include_site": false, "scope_specification": excluded },
            // Otherwise, browsers send what a link on another site leads to without the bound cookie.
            "allowed_refresh_initiators": ["*"],
            "credentials": [{ "type": "cookie", "name": name, "attributes": attributes }],
        }))
    }
}

/// A challenge for the browser of a session.
#[derive(Clone, Debug)]
pub struct SessionChallenge {
    header: Option<HeaderValue>,
}

impl SessionChallenge {
    pub(super) fn new(challenge: &str, id: Uuid) -> Self {
        Self { header: HeaderValue::try_from(format!("\"{challenge}\";id=\"{id}\"")).ok() }
    }
}

impl IntoResponse for BindingResponse {
    fn into_response(self) -> Response {
        let mut response = match self {
            Self::Bound(session) => to_json(&session.0),
            Self::Ended(id) => to_json(&json!({ "session_identifier": id, "continue": false })),
            Self::Challenge(challenge) => {
                let mut response = StatusCode::FORBIDDEN.into_response();
                response.headers_mut().extend(challenge.header.map(|header| (CHALLENGE, header)));
                response
            }
            Self::Refused => Problem::new(StatusCode::BAD_REQUEST).code(code::BINDING_REFUSED).into_response(),
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn to_json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
