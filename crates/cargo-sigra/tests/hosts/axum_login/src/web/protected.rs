use axum::{Router, http::StatusCode, routing::get};

use crate::users::Backend;

pub fn router() -> Router {
    Router::new().route("/", get(home))
}

async fn home(
    session: axum_login::AuthSession<Backend>,
) -> Result<String, StatusCode> {
    let user = session.user.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(format!("Hello, {}!", user.username))
}
