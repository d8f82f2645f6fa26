//! Why an endpoint refuses a request, as RFC 6749 section 5.2 writes it.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    base::{error::Error, telemetry},
    model::oauth_client::OauthClient,
    oauth_server::response::{json, open_to_all},
};

/// An error of the protocol: a code for programs, and a sentence for their developers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub error: &'static str,
    pub description: &'static str,
    /// Why, for the log. It can tell more than the response.
    reason: &'static str,
}

impl Refusal {
    pub const fn new(error: &'static str, description: &'static str) -> Self {
        Self { error, description, reason: error }
    }

    /// Sets what the log says that the response doesn't.
    pub const fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    pub const fn invalid_request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    pub const fn invalid_grant(description: &'static str) -> Self {
        Self::new("invalid_grant", description)
    }

    pub const fn invalid_scope(description: &'static str) -> Self {
        Self::new("invalid_scope", description)
    }

    pub const fn invalid_target() -> Self {
        Self::new("invalid_target", "the server doesn't have this resource, or the user allowed another one")
    }

    /// The user has given access to the maximum number of programs since they were asked.
    pub const fn too_many_programs(error: &'static str) -> Self {
        Self::new(error, "the user gave access to too many programs: they must end the access of one first")
    }

    pub const fn invalid_client() -> Self {
        Self::new("invalid_client", "the client is unknown, or its secret is wrong")
    }

    fn status(&self) -> StatusCode {
        match self.error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Logs it (OWASP ASVS 16.3.1), unless it only tells a program to wait for its user.
    fn log(&self, client: Option<&str>) {
        if !matches!(self.error, "authorization_pending" | "slow_down") {
            tracing::info!(target: "sigra", event = telemetry::PROGRAM_REFUSED, reason = self.reason, client_id = client);
        }
    }

    fn to_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error, "error_description": self.description });
        let mut response = json(self.status(), &body);
        if self.status() == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"oauth\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}

/// Why an endpoint has no result.
#[derive(Debug)]
pub(super) enum EndpointError {
    Refused {
        refusal: Refusal,
        /// The ID of the client, if it is known.
        client: Option<String>,
    },
    Library(Error),
}

impl EndpointError {
    /// Sets the client that is refused.
    pub fn of(self, client: &OauthClient) -> Self {
        match self {
            Self::Refused { refusal, .. } => Self::Refused { refusal, client: Some(client.id.clone()) },
            Self::Library(error) => Self::Library(error),
        }
    }
}

impl From<Refusal> for EndpointError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { refusal, client: None }
    }
}

impl From<Error> for EndpointError {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<sqlx::Error> for EndpointError {
    fn from(error: sqlx::Error) -> Self {
        Self::Library(error.into())
    }
}

/// All refusals of the endpoints for programs end here, so here they are logged.
impl IntoResponse for EndpointError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused { refusal, client } => {
                refusal.log(client.as_deref());
                refusal.to_response()
            }
            Self::Library(error) => open_to_all(error.into_response()),
        }
    }
}
