//! Styles and scripts.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

pub async fn stylesheet() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../static/app.css"))
}

pub async fn forms_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/forms.js"))
}

pub async fn page_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/page.js"))
}

pub async fn icon() -> Response {
    asset("image/svg+xml", include_str!("../../static/icon.svg"))
}

// <live>
pub async fn live_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/live.js"))
}
// </live>

// <passkeys>
pub async fn passkeys_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../static/passkeys.js"))
}
// </passkeys>

fn asset(content_type: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "public, max-age=3600")], body).into_response()
}
