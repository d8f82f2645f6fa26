//! The extractor of the check for requests from other origins. The rule itself is in `base::origin`.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::web::{
    current::session_of,
    deferred::AnyDeferred,
    rejection::{MissingLayer, SessionRejection},
};

/// Refuses unsafe requests from pages of other origins with 403. Clients that aren't browsers pass, and so do `GET`,
/// `HEAD` and `OPTIONS`. For handlers that change something because of what browsers send on their own, such as the
/// host's own cookie, but take no [`Scope`](crate::scope::Scope), where the layer acts [only for handlers that
/// ask](crate::scope::FetchCurrentScopeLayer::on_demand).
///
/// ```
/// use axum::{Router, middleware::from_extractor, routing::post};
/// use sigra::scope::SameOrigin;
///
/// let cart: Router = Router::new()
///     .route("/cart", post(async || "Added"))
///     .route_layer(from_extractor::<SameOrigin>());
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SameOrigin;

impl<S: Sync> FromRequestParts<S> for SameOrigin {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        // If there is a session already, requests from other origins were refused before.
        if session_of(&parts.extensions).is_none() {
            let deferred = parts.extensions.get::<AnyDeferred>().ok_or(MissingLayer("SameOrigin"))?;
            deferred.refuse_foreign(&parts.extensions)?;
        }
        Ok(Self)
    }
}
