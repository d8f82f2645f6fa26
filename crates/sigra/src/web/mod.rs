//! The layers, the extractors, and their rejections.

pub(crate) mod authenticate;
#[cfg(feature = "api-tokens")]
pub(crate) mod bearer;
pub(crate) mod current;
pub(crate) mod deferred;
pub(crate) mod extract;
pub mod idempotency;
pub(crate) mod layer;
#[cfg(feature = "live")]
pub mod live;
pub(crate) mod original_uri;
pub mod rejection;
pub(crate) mod response;
pub(crate) mod same_origin;
