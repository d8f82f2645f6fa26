use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post, put},
};
use sigra::scope::FormPage;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

// <mfa>
use super::{mfa_challenge_controller, mfa_settings_controller, trusted_browsers_controller};
// </mfa>
// <passkeys>
use super::{passkey, passkey_session_controller, passkeys_controller};
// </passkeys>
use super::{
    AppState,
    development::require_localhost,
    error, mailbox_controller,
    method_override::method_override,
    page_controller, request_body,
    request_span::{name_route, trace_requests},
    security_headers::security_headers,
    sudo_controller, user_activity_controller, user_auth, user_confirmation_controller, user_deletion_controller,
    user_recovery_controller, user_registration_controller, user_reset_password_controller, user_session_controller,
    user_sessions_controller, user_settings_controller,
};
use crate::config::Environment;

// <live>
use super::live;
// </live>

// <magic_link>
use super::user_log_in_link_controller;
// </magic_link>

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The largest form that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// All routes at a glance.
pub fn app(state: AppState) -> Router {
    let visitors_only = Router::new()
        .route("/users/log-in", get(user_session_controller::new))
        .route("/users/register", get(user_registration_controller::new))
        .route_layer(from_fn(user_auth::redirect_if_user_is_authenticated))
        // They show what was typed before.
        .route_layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, NO_STORE));

    // <app>
    // Your own pages for users who are logged in.
    let own = Router::new()
        .route("/dashboard", get(page_controller::dashboard))
        .route_layer(from_fn(user_auth::require_authenticated_user));
    // </app>

    let authenticated = Router::new()
        .route("/users/sessions", get(user_sessions_controller::index).delete(user_sessions_controller::delete_all))
        .route("/users/sessions/others", delete(user_sessions_controller::delete_others))
        .route("/users/sessions/{id}", delete(user_sessions_controller::delete))
        .route("/users/settings", get(user_settings_controller::edit).delete(user_deletion_controller::delete))
        .route("/users/settings/delete", get(user_deletion_controller::new))
        .route("/users/settings/activity", get(user_activity_controller::index))
        .route("/users/settings/email", put(user_settings_controller::update_email))
        .route("/users/settings/password", put(user_settings_controller::update_password))
        .route(
            "/users/settings/confirm-email/{token}",
            get(user_settings_controller::confirm_email).post(user_settings_controller::change_email),
        )
        .route("/users/sudo", get(sudo_controller::new).post(sudo_controller::create))
        // <mfa>
        .route("/users/trusted-browsers/{id}", delete(trusted_browsers_controller::delete))
        // </mfa>
        // <passkeys>
        .route("/users/sudo/passkey/options", post(passkey::sudo_options))
        .route("/users/settings/passkeys/{id}", put(passkeys_controller::update).delete(passkeys_controller::delete))
        // </passkeys>
        .route_layer(from_fn(user_auth::require_authenticated_user))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_address))
        .route_layer(Extension(FormPage("/users/settings")));

    // <mfa>
    let mfa_enrolment = Router::new()
        .route(
            "/users/settings/mfa/totp",
            get(mfa_settings_controller::new_totp)
                .post(mfa_settings_controller::create_totp)
                .delete(mfa_settings_controller::delete_totp),
        )
        .route("/users/settings/mfa/backup-codes", post(mfa_settings_controller::create_backup_codes))
        // <passkeys>
        .route("/users/settings/passkeys", post(passkeys_controller::create))
        .route("/users/settings/passkeys/options", post(passkey::enrolment_options))
        // </passkeys>
        .route_layer(from_fn(user_auth::require_confirmed_address))
        .route("/users/settings/mfa", get(mfa_settings_controller::index))
        .route_layer(from_fn(user_auth::require_mfa_enrolment))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_address))
        .route_layer(Extension(FormPage(user_auth::MFA_ENROLMENT_PATH)));
    // </mfa>

    let limited = Router::new()
        .route("/users/log-out", delete(user_session_controller::delete))
        .route("/users/register", post(user_registration_controller::create))
        .route("/users/log-in", post(user_session_controller::create))
        // <magic_link>
        .route("/users/log-in/link", post(user_log_in_link_controller::create))
        .route(
            "/users/log-in/{token}",
            get(user_log_in_link_controller::edit).post(user_log_in_link_controller::update),
        )
        // </magic_link>
        .route("/users/confirm", get(user_confirmation_controller::new).post(user_confirmation_controller::create))
        .route(
            "/users/confirm/{token}",
            get(user_confirmation_controller::edit)
                .post(user_confirmation_controller::update)
                .put(user_confirmation_controller::take_over),
        )
        .route("/users/confirm/{token}/new-password", get(user_confirmation_controller::new_password))
        .route(
            "/users/reset-password",
            get(user_reset_password_controller::new).post(user_reset_password_controller::create),
        )
        .route(
            "/users/reset-password/{token}",
            get(user_reset_password_controller::edit).put(user_reset_password_controller::update),
        )
        .route("/users/recover/{token}", get(user_recovery_controller::edit).put(user_recovery_controller::update))
        // <mfa>
        .route("/users/mfa-challenge", get(mfa_challenge_controller::new).post(mfa_challenge_controller::create))
        // </mfa>
        // <passkeys>
        .route("/users/mfa-challenge/passkey/options", post(passkey::challenge_options))
        .route("/users/log-in/passkey", post(passkey_session_controller::create))
        .route("/users/log-in/passkey/options", post(passkey::log_in_options))
        // </passkeys>
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_address))
        // Their addresses hold tokens, and their forms passwords.
        .route_layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, NO_STORE));

    let everybody = Router::new()
        // <app>
        .route("/", get(page_controller::home))
        // </app>
        // <live>
        .route("/live", get(live::live))
        // </live>
        .route("/me", get(page_controller::me));

    let development = match state.settings.environment {
        Environment::Dev | Environment::Test => {
            Router::new().route("/dev/mailbox", get(mailbox_controller::index)).route_layer(from_fn(require_localhost))
        }
        Environment::Prod => Router::new(),
    };

    let pages = Router::new()
        .merge(visitors_only)
        .merge(limited)
        .merge(development)
        // <app>
        .merge(own)
        // </app>
        .merge(authenticated)
        // <mfa>
        .merge(mfa_enrolment)
        // </mfa>
        .merge(everybody)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(user_auth::fetch_current_scope(&state.sigra));

    let without_session = Router::new()
        // <app>
        .route("/healthz", get(page_controller::health))
        // </app>
        .route("/static/app.css", get(page_controller::stylesheet))
        .route("/static/forms.js", get(page_controller::forms_script))
        // <passkeys>
        .route("/static/passkeys.js", get(page_controller::passkeys_script))
        // </passkeys>
        // <mfa>
        .route("/static/print.js", get(page_controller::print_script))
        // </mfa>
        // <live>
        .route("/static/live.js", get(page_controller::live_script))
        // </live>
        .route("/static/icon.svg", get(page_controller::icon));

    let routes = pages.merge(without_session).layer(from_fn(name_route)).with_state(state.clone());

    // A form's `_method` is read before the route is chosen, so this goes around the router as a whole.
    Router::new().fallback_service(
        ServiceBuilder::new()
            .layer(trace_requests(state.settings.environment))
            .layer(from_fn_with_state(state.clone(), security_headers))
            .layer(from_fn(error::error_pages))
            .layer(CatchPanicLayer::new())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn(request_body::end_in_time))
            .layer(from_fn(method_override))
            // The second press of a button gets the first one's answer.
            .layer(state.sigra.idempotency())
            .service(routes),
    )
}
