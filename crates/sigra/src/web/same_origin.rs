use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{
    browser::cookie_session::CookieSession,
    web::{
        deferred::AnyDeferred,
        rejection::{MissingLayer, SessionRejection},
    },
};

/// No unsafe request of another origin: its pages get 403, and programs that are no browser pass. For handlers that
/// change something by what a browser sends along by itself, such as a cookie of their own, and ask for no
/// [`Scope`](crate::scope::Scope), in a host whose layer acts [only where it is
/// asked](crate::scope::FetchCurrentScopeLayer::only_where_asked). `GET`, `HEAD` and `OPTIONS` are safe.
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
        // Where there is a session already, another origin was refused before.
        if parts.extensions.get::<CookieSession>().is_none() {
            let deferred = parts.extensions.get::<AnyDeferred>().ok_or(MissingLayer("SameOrigin"))?;
            deferred.refuse_foreign(&parts.extensions)?;
        }
        Ok(Self)
    }
}
