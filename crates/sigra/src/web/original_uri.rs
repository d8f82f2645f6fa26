//! The URI that the client sent a request to.

use axum::extract::OriginalUri;
use http::{Extensions, Uri};

/// Returns the URI that the client sent a request to. A nested router sees only the rest of its path, in `uri`.
pub(crate) fn original_uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    extensions.get::<OriginalUri>().map_or(uri, |original| &original.0)
}
