//! The routes of the pages, and what each group of them requires.

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use sigra::scope::FormPage;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use super::{
    assets,
    development::require_localhost,
    error,
    error_pages::{add_nav_context, error_pages},
    layout, mailbox,
    method_override::method_override,
    pages::{
        account, activity, change_email, change_password, check_email, confirmation, deletion, devices, recovery,
        registration, reset_password, session, settings, sudo,
    },
    request_body,
    request_span::{record_route, trace_requests},
    security_headers::security_headers,
    state::AppState,
    user_auth,
};
// <app>
use super::{health, pages::home, well_known};
// <api_tokens>
use super::programs;
// </api_tokens>
// </app>
// <api_tokens>
use super::pages::api_tokens;
// </api_tokens>
// <languages>
use super::{languages, pages::language};
// </languages>
// <device_bound>
use super::device_bound;
// </device_bound>
// <live>
use super::live;
// </live>
// <magic_link>
use super::pages::login_link;
// </magic_link>
// <oauth_server>
use super::{
    oauth_server,
    pages::{authorize, device},
};
// </oauth_server>
// <oauth>
use super::pages::{login_methods, oauth};
// </oauth>
// <mfa>
use super::pages::{mfa, mfa_challenge};
// </mfa>
// <passkeys>
use axum::routing::put;

use super::{pages::passkeys, passkey_options};
// </passkeys>
use crate::config::AppEnv;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The maximum size of a form, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// All routes at a glance.
pub fn app(state: AppState) -> Router {
    let visitors_only = Router::new()
        .route("/users/log-in", get(session::new))
        .route("/users/register", get(registration::new))
        .route_layer(from_fn(user_auth::redirect_if_user_is_authenticated))
        // These pages show what the user typed before.
        .route_layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, NO_STORE));

    // <app>
    // Your own pages for users who are logged in.
    let own = Router::new()
        .route("/dashboard", get(home::dashboard))
        .route_layer(from_fn(user_auth::require_authenticated_user))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address));

    // Your own pages for everybody.
    let everybody = Router::new()
        .route("/", get(home::home))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address));

    // <api_tokens>
    // Your API for programs. Tokens can't be guessed, and many programs can share an IP address, so it has no limit.
    let programs = Router::new().route("/api/me", get(programs::me));
    // </api_tokens>
    // </app>

    let authenticated = Router::new()
        .route("/users/sessions", get(devices::index).delete(devices::delete_all))
        .route("/users/sessions/others", delete(devices::delete_others))
        .route("/users/sessions/{id}", delete(devices::delete))
        .route(
            "/users/settings",
            get(settings::index).delete(deletion::delete).route_layer(Extension(FormPage(deletion::PATH))),
        )
        .route("/users/settings/delete", get(deletion::new))
        .route("/users/settings/activity", get(activity::index))
        // <api_tokens>
        .route(
            "/users/settings/tokens",
            get(api_tokens::index).post(api_tokens::create).route_layer(Extension(FormPage(api_tokens::PATH))),
        )
        .route(
            "/users/settings/tokens/{id}",
            delete(api_tokens::delete).route_layer(Extension(FormPage(api_tokens::PATH))),
        )
        // </api_tokens>
        // <languages>
        .route("/users/settings/language", get(language::edit).put(language::update))
        // </languages>
        .route(
            "/users/settings/email",
            get(change_email::edit).put(change_email::update).route_layer(Extension(FormPage(change_email::PATH))),
        )
        .route(
            "/users/settings/password",
            get(change_password::edit)
                .put(change_password::update)
                .route_layer(Extension(FormPage(change_password::PATH))),
        )
        .route(
            "/users/settings/confirm-email/{token}",
            get(change_email::confirm_email).post(change_email::change_email),
        )
        .route("/users/sudo", get(sudo::new).post(sudo::create))
        // <oauth>
        .route("/users/sudo/provider/{provider}", post(oauth::sudo))
        .route("/users/settings/log-in-methods", get(login_methods::index))
        .route(
            "/users/settings/log-in-methods/identities/{id}",
            post(login_methods::create)
                .delete(login_methods::delete)
                .route_layer(Extension(FormPage(oauth::METHODS_PATH))),
        )
        .route(
            "/users/settings/log-in-methods/link",
            get(login_methods::edit)
                .post(login_methods::link)
                .delete(login_methods::forget)
                .route_layer(Extension(FormPage(oauth::LINK_PATH))),
        )
        // </oauth>
        // <oauth_server>
        .route("/oauth/authorize", get(authorize::new).post(authorize::create))
        .route("/device", get(device::new).post(device::create).route_layer(Extension(FormPage(device::DEVICE_PATH))))
        .route("/device/decision", post(device::decide).route_layer(Extension(FormPage(device::DEVICE_PATH))))
        .route("/users/programs/{id}", delete(devices::end_access))
        // </oauth_server>
        // <mfa>
        .route("/users/trusted-browsers/{id}", delete(devices::distrust))
        // </mfa>
        // <passkeys>
        .route("/users/sudo/passkey/options", post(passkey_options::sudo))
        .route("/users/settings/passkeys/{id}", put(passkeys::update).delete(passkeys::delete))
        // </passkeys>
        .route_layer(from_fn(user_auth::require_authenticated_user))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address))
        .route_layer(Extension(FormPage(settings::PATH)));

    // <mfa>
    let mfa_enrollment = Router::new()
        .route("/users/settings/mfa/totp", get(mfa::new_totp).post(mfa::create_totp).delete(mfa::delete_totp))
        .route("/users/settings/mfa/backup-codes", post(mfa::create_backup_codes))
        // <passkeys>
        .route("/users/settings/passkeys", post(passkeys::create))
        .route("/users/settings/passkeys/options", post(passkey_options::enrollment))
        // </passkeys>
        .route_layer(from_fn(user_auth::require_confirmed_email))
        .route("/users/settings/mfa", get(mfa::index))
        .route_layer(from_fn(user_auth::allow_mfa_enrollment))
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address))
        .route_layer(Extension(FormPage(user_auth::MFA_ENROLLMENT_PATH)));
    // </mfa>

    let limited = Router::new()
        .route("/users/log-out", delete(session::delete))
        // <languages>
        .route("/users/language", post(language::choose))
        // </languages>
        .route("/users/register", post(registration::create))
        .route("/users/log-in", post(session::create))
        // <magic_link>
        .route("/users/log-in/link", post(login_link::create))
        .route("/users/log-in/{token}", get(login_link::edit).post(login_link::update))
        // </magic_link>
        // <oauth>
        .route("/users/auth/{provider}", post(oauth::create))
        .route("/users/auth/{provider}/callback", get(oauth::callback))
        .route("/users/register/provider", get(oauth::new).post(oauth::register))
        // </oauth>
        .route("/users/confirm", get(confirmation::new).post(confirmation::create))
        .route(
            "/users/confirm/{token}",
            get(confirmation::edit).post(confirmation::update).put(confirmation::take_over),
        )
        .route("/users/confirm/{token}/new-password", get(confirmation::new_password))
        .route("/users/check-email", get(check_email::show))
        .route("/users/reset-password", get(reset_password::new).post(reset_password::create))
        .route("/users/reset-password/{token}", get(reset_password::edit).put(reset_password::update))
        .route("/users/recover/{token}", get(recovery::edit).put(recovery::update))
        // <mfa>
        .route("/users/mfa-challenge", get(mfa_challenge::new).post(mfa_challenge::create))
        // </mfa>
        // <passkeys>
        .route("/users/mfa-challenge/passkey/options", post(passkey_options::challenge))
        .route("/users/log-in/passkey", post(passkeys::log_in))
        .route("/users/log-in/passkey/options", post(passkey_options::log_in))
        // </passkeys>
        .route_layer(from_fn_with_state(state.clone(), user_auth::limit_ip_address))
        // Their URLs contain tokens, and their forms passwords.
        .route_layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, NO_STORE));

    let unlimited = Router::new()
        // <device_bound>
        .route("/users/session/binding", post(device_bound::create))
        .route("/users/session/binding/refresh", post(device_bound::refresh))
        // </device_bound>
        // <live>
        .route("/live", get(live::live))
        // </live>
        .route("/me", get(account::me));

    let development = match state.settings.app_env {
        AppEnv::Dev | AppEnv::Test => Router::new()
            .route("/dev/mailbox", get(mailbox::index))
            .route("/dev/mailbox/{number}", get(mailbox::html))
            .route_layer(from_fn(require_localhost)),
        AppEnv::Prod => Router::new(),
    };

    let pages = Router::new()
        .merge(visitors_only)
        .merge(limited)
        .merge(development)
        // <app>
        .merge(own)
        .merge(everybody)
        // <api_tokens>
        .merge(programs)
        // </api_tokens>
        // </app>
        .merge(authenticated)
        // <mfa>
        .merge(mfa_enrollment)
        // </mfa>
        .merge(unlimited)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn(add_nav_context))
        .layer(from_fn_with_state(state.clone(), layout::set_can_register))
        // <languages>
        .layer(from_fn_with_state(state.settings.app_env, languages::use_language_of_user))
        // </languages>
        .layer(state.sigra.fetch_current_scope());

    let without_session = Router::new()
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
        // <oauth>
        // The form comes from the provider's site.
        .route("/users/auth/{provider}/callback", post(oauth::form_post_callback))
        // </oauth>
        // <app>
        .route("/healthz", get(health::show))
        .route("/favicon.ico", get(assets::favicon))
        .route("/robots.txt", get(assets::robots_txt))
        .route("/.well-known/security.txt", get(well_known::security_txt))
        .route("/.well-known/change-password", get(well_known::change_password))
        // <passkeys>
        .route("/.well-known/passkey-endpoints", get(well_known::passkey_endpoints))
        // </passkeys>
        // </app>
        .route("/static/{file}", get(assets::show));

    let routes = pages.merge(without_session).layer(from_fn(record_route)).with_state(state.clone());

    // A form's `_method` must be read before routing, so these layers wrap the whole router.
    Router::new().fallback_service(
        ServiceBuilder::new()
            .layer(trace_requests(state.settings.app_env))
            .layer(from_fn_with_state(state.clone(), security_headers))
            // <languages>
            .layer(from_fn_with_state(state.settings.app_env, languages::negotiate_language))
            // </languages>
            .layer(from_fn(error_pages))
            .layer(CatchPanicLayer::new())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn(request_body::timeout))
            .layer(from_fn(method_override))
            // A form that is sent twice gets the response of the first time.
            .layer(state.sigra.idempotency())
            .service(routes),
    )
}
