//! The routes of the JSON API, and what each group of them requires.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{delete, get, post, put},
};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

// <api_tokens>
use super::api_tokens;
// </api_tokens>
use super::{
    account, activity, confirmation, deletion, devices, recovery, registration, reset_password, session, settings, sudo,
};
// <languages>
use super::language;
// </languages>
// <magic_link>
use super::login_link;
// </magic_link>
// <oauth>
use super::oauth;
// </oauth>
// <mfa>
use super::{mfa, mfa_challenge};
// </mfa>
// <passkeys>
use super::passkeys;
use crate::web::passkey_options;
// </passkeys>
// <oauth_server>
use super::{authorize, device};
use crate::web::oauth_server;
// </oauth_server>
// <app>
use crate::web::{health, well_known};
// <api_tokens>
use crate::web::programs;
// </api_tokens>
// </app>
// <languages>
use crate::web::languages;
// </languages>
// <device_bound>
use crate::web::device_bound;
// </device_bound>
// <live>
use crate::web::live;
// </live>
use crate::{
    config::AppEnv,
    web::{
        development::require_localhost,
        error,
        error_pages::error_pages,
        mailbox, request_body,
        request_span::{record_route, trace_requests},
        security_headers::security_headers,
        state::AppState,
        user_auth,
    },
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The maximum size of a body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// All routes at a glance.
pub fn app(state: AppState) -> Router {
    let authenticated = Router::new()
        .route("/users/sessions", get(devices::index).delete(devices::delete_all))
        .route("/users/sessions/others", delete(devices::delete_others))
        .route("/users/sessions/{id}", delete(devices::delete))
        .route("/users/settings", delete(deletion::delete))
        .route("/users/settings/activity", get(activity::index))
        // <oauth_server>
        .route("/oauth/authorize", get(authorize::show).post(authorize::create))
        .route("/device", post(device::create))
        .route("/device/decision", post(device::decide))
        .route("/users/programs/{id}", delete(devices::end_access))
        // </oauth_server>
        // <api_tokens>
        .route("/users/settings/tokens", get(api_tokens::index).post(api_tokens::create))
        .route("/users/settings/tokens/{id}", delete(api_tokens::delete))
        // </api_tokens>
        // <languages>
        .route("/users/settings/language", get(language::index).put(language::update))
        // </languages>
        .route("/users/settings/email", put(settings::update_email))
        .route("/users/settings/password", put(settings::update_password))
        .route("/users/settings/confirm-email/{token}", get(settings::confirm_email).post(settings::change_email))
        .route("/users/sudo", post(sudo::create))
        // <oauth>
        .route("/users/sudo/provider/{provider}", post(oauth::sudo))
        .route("/users/settings/log-in-methods/identities", get(oauth::index))
        .route("/users/settings/log-in-methods/identities/{id}", post(oauth::link).delete(oauth::unlink))
        .route("/users/settings/log-in-methods/link", post(oauth::link_pending))
        // </oauth>
        // <mfa>
        .route("/users/settings/mfa/totp", delete(mfa::delete_totp))
        .route("/users/settings/mfa/backup-codes", post(mfa::create_backup_codes))
        .route("/users/trusted-browsers/{id}", delete(devices::distrust))
        // </mfa>
        // <passkeys>
        .route("/users/sudo/passkey/options", post(passkey_options::sudo))
        .route("/users/settings/passkeys/{id}", put(passkeys::update).delete(passkeys::delete))
        // </passkeys>
        .route_layer(from_fn(user_auth::require_authenticated_user))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address));

    // <mfa>
    let mfa_enrollment = Router::new()
        .route("/users/settings/mfa/totp/options", post(mfa::totp_options))
        .route("/users/settings/mfa/totp", post(mfa::create_totp))
        // <passkeys>
        .route("/users/settings/passkeys", post(passkeys::create))
        .route("/users/settings/passkeys/options", post(passkey_options::enrollment))
        // </passkeys>
        .route_layer(from_fn(user_auth::require_confirmed_email_json))
        .route("/users/settings/mfa", get(mfa::index))
        .route_layer(from_fn(user_auth::allow_mfa_enrollment))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address));
    // </mfa>

    let limited = Router::new()
        .route("/users/log-out", delete(session::delete))
        .route("/users/register", post(registration::create))
        .route("/users/log-in", post(session::create))
        // <magic_link>
        .route("/users/log-in/link", post(login_link::create))
        .route("/users/log-in/{token}", get(login_link::show).post(login_link::update))
        // </magic_link>
        // <oauth>
        .route("/users/auth/{provider}", post(oauth::create))
        .route("/users/auth/{provider}/complete", post(oauth::complete))
        .route("/users/register/provider", get(oauth::pending).post(oauth::register))
        // </oauth>
        .route("/users/confirm", post(confirmation::create))
        .route(
            "/users/confirm/{token}",
            get(confirmation::show).post(confirmation::update).put(confirmation::take_over),
        )
        .route("/users/reset-password", post(reset_password::create))
        .route("/users/reset-password/{token}", get(reset_password::show).put(reset_password::update))
        .route("/users/recover/{token}", get(recovery::show).put(recovery::update))
        // <mfa>
        .route("/users/mfa-challenge", get(mfa_challenge::show).post(mfa_challenge::create))
        // </mfa>
        // <passkeys>
        .route("/users/mfa-challenge/passkey/options", post(passkey_options::challenge))
        .route("/users/log-in/passkey", post(passkeys::log_in))
        .route("/users/log-in/passkey/options", post(passkey_options::log_in))
        // </passkeys>
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address));

    let unlimited = Router::new()
        // <device_bound>
        .route("/users/session/binding", post(device_bound::create))
        .route("/users/session/binding/refresh", post(device_bound::refresh))
        // </device_bound>
        // <live>
        .route("/live", get(live::live))
        // </live>
        .route("/me", get(account::me));

    // <app>
    // <api_tokens>
    // Your API for programs. Tokens can't be guessed, and many programs can share an IP address, so it has no limit.
    let programs = Router::new().route("/api/me", get(programs::me));
    // </api_tokens>
    // </app>

    let development = match state.settings.app_env {
        AppEnv::Dev | AppEnv::Test => {
            Router::new().route("/dev/mailbox", get(mailbox::index)).route_layer(from_fn(require_localhost))
        }
        AppEnv::Prod => Router::new(),
    };

    let routes = Router::new()
        .merge(limited)
        .merge(development)
        .merge(authenticated)
        // <mfa>
        .merge(mfa_enrollment)
        // </mfa>
        .merge(unlimited)
        // <app>
        // <api_tokens>
        .merge(programs)
        // </api_tokens>
        // </app>
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        // <languages>
        .layer(from_fn_with_state(state.settings.app_env, languages::use_language_of_user))
        // </languages>
        .layer(state.sigra.fetch_current_scope())
        // Every response depends on the user.
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, NO_STORE))
        // <oauth_server>
        .route("/oauth/token", post(oauth_server::token).options(oauth_server::preflight))
        .route("/oauth/revoke", post(oauth_server::revoke).options(oauth_server::preflight))
        .route("/oauth/introspect", post(oauth_server::introspect).options(oauth_server::preflight))
        .route("/oauth/device_authorization", post(oauth_server::device_authorization).options(oauth_server::preflight))
        .route("/oauth/register", post(oauth_server::register).options(oauth_server::preflight))
        .route("/.well-known/oauth-authorization-server", get(oauth_server::metadata))
        .route("/.well-known/oauth-protected-resource", get(oauth_server::resource_metadata))
        .route("/.well-known/oauth-protected-resource/{*resource}", get(oauth_server::resource_metadata))
        // </oauth_server>
        // <app>
        .route("/healthz", get(health::show))
        .route("/.well-known/security.txt", get(well_known::security_txt))
        // </app>
        .layer(from_fn(record_route))
        .with_state(state.clone());

    // These layers wrap the whole router, so that even a body that is too large gets a response in JSON.
    Router::new().fallback_service(
        ServiceBuilder::new()
            .layer(trace_requests(state.settings.app_env))
            .layer(from_fn_with_state(state.clone(), security_headers))
            .layer(from_fn(force_json))
            // <languages>
            .layer(from_fn_with_state(state.settings.app_env, languages::negotiate_language))
            // </languages>
            .layer(from_fn(error_pages))
            .layer(CatchPanicLayer::new())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn(request_body::timeout))
            // For clients that send the header `Idempotency-Key`.
            .layer(state.sigra.idempotency())
            .service(routes),
    )
}

/// Treats every client as a JSON client: no redirects to pages, and every error is a problem in JSON.
async fn force_json(mut request: Request, next: Next) -> Response {
    request.headers_mut().insert(header::ACCEPT, JSON);
    next.run(request).await
}
