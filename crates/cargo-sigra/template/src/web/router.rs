use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};

use super::{
    AppState, error, live, method_override::method_override, page_controller, security_headers::security_headers,
    sudo_controller, user_auth, user_session_controller, user_sessions_controller,
};

/// The largest form that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// All routes at a glance.
pub fn app(state: AppState) -> Router {
    let visitors_only = Router::new()
        .route("/users/log-in", get(user_session_controller::new))
        .route_layer(from_fn(user_auth::redirect_if_user_is_authenticated));

    let authenticated = Router::new()
        .route("/dashboard", get(page_controller::dashboard))
        .route("/users/sessions", get(user_sessions_controller::index).delete(user_sessions_controller::delete_all))
        .route("/users/sessions/{id}", delete(user_sessions_controller::delete))
        .route("/users/sudo", get(sudo_controller::new).post(sudo_controller::create))
        .route_layer(from_fn(user_auth::require_authenticated_user));

    let everybody = Router::new()
        .route("/", get(page_controller::home))
        .route("/me", get(page_controller::me))
        .route("/live", get(live::live))
        .route("/users/log-in", post(user_session_controller::create))
        .route("/users/log-out", delete(user_session_controller::delete));

    let pages = Router::new()
        .merge(visitors_only)
        .merge(authenticated)
        .merge(everybody)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(user_auth::fetch_current_scope(&state.sigra));

    let without_session = Router::new()
        .route("/healthz", get(page_controller::health))
        .route("/static/app.css", get(page_controller::stylesheet))
        .route("/static/icon.svg", get(page_controller::icon))
        .route("/static/live.js", get(page_controller::live_script));

    let routes = pages.merge(without_session).with_state(state.clone());

    // A form's `_method` is read before the route is chosen, so this goes around the router as a whole.
    Router::new().fallback_service(
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(from_fn_with_state(state, security_headers))
            .layer(from_fn(error::error_pages))
            .layer(CatchPanicLayer::new())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn(method_override))
            .service(routes),
    )
}
