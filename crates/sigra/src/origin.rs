//! Which requests come from the application's own pages.
//!
//! Cross-site request forgery is stopped by `Sec-Fetch-Site` and `Origin`, which browsers set and pages
//! can't forge; there is no token that a login would have to renew. The check is
//! [`tower_http::csrf`]'s. See the [OWASP cheat sheet] on Fetch Metadata.
//!
//! [OWASP cheat sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html#fetch-metadata-headers

use tower_http::csrf::CsrfLayer;

use crate::ConfigError;

/// The layer that answers unsafe requests from other origins with 403.
pub(crate) fn same_origin_layer(trusted: &[String]) -> Result<CsrfLayer, ConfigError> {
    trusted.iter().try_fold(CsrfLayer::new(), |layer, origin| {
        layer.add_trusted_origin(origin).map_err(|_| ConfigError::Origin(origin.clone()))
    })
}
