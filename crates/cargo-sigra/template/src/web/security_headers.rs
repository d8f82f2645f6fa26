//! Security headers of all responses.

use std::sync::LazyLock;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

use super::state::AppState;
use crate::config::AppEnv;

static POLICY: LazyLock<String> = LazyLock::new(|| policy("'self'"));

// <oauth>
/// Forms may lead to providers: browsers apply the directive to the redirects that follow a form, and where a provider
/// redirects to is not known. In development, a provider may be at a loopback address.
static WITH_PROVIDERS: LazyLock<String> = LazyLock::new(|| policy("'self' https:"));
static WITH_PROVIDERS_IN_DEVELOPMENT: LazyLock<String> = LazyLock::new(|| policy("'self' https: http://127.0.0.1:*"));
// </oauth>

/// Browsers use only https for a year.
const HSTS: &str = "max-age=31536000";
const HSTS_FOR_SUBDOMAINS: &str = "max-age=31536000; includeSubDomains";

/// Returns a content security policy that allows only our own files: no inline scripts or styles, no framing, and forms
/// only to `form_action`. To use files of another site, add its origin to their directive here, for all pages.
pub fn policy(form_action: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
}

pub async fn security_headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // <oauth>
    if state.settings.providers.iter().next().is_some() {
        let prod = state.settings.app_env == AppEnv::Prod;
        set(headers, "content-security-policy", if prod { &WITH_PROVIDERS } else { &WITH_PROVIDERS_IN_DEVELOPMENT });
    }
    // </oauth>
    set(headers, "content-security-policy", &POLICY);
    set(headers, "x-content-type-options", "nosniff");
    set(headers, "x-frame-options", "DENY");
    // Without the path, which may contain a token. `no-referrer` would make browsers send `Origin: null` with our own
    // forms.
    set(headers, "referrer-policy", "strict-origin");
    set(headers, "cross-origin-opener-policy", "same-origin");
    set(headers, "cross-origin-resource-policy", "same-origin");
    if state.settings.app_env == AppEnv::Prod {
        let is_for_all = state.settings.hsts_include_subdomains;
        set(headers, "strict-transport-security", if is_for_all { HSTS_FOR_SUBDOMAINS } else { HSTS });
    }
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
}
