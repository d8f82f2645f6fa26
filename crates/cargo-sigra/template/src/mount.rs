//! Adds accounts to an existing application.

use std::fmt;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    app::{self, App},
    config::{AppEnv, ENV_PREFIX, Settings, SettingsError, Variables, database_url::DEFAULT_URL},
    database::Pool,
    web::AppState,
};
// <languages>
use crate::web::languages;
// </languages>

/// The prefix of the paths of accounts.
const PREFIX: &str = "/users/";

// <oauth_server>
/// The paths of the OAuth server, which programs expect exactly there. Others below `/oauth/` are the application's
/// own.
const OAUTH_SERVER_PATHS: [&str; 10] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/device",
    "/device/decision",
    "/oauth/authorize",
    "/oauth/device_authorization",
    "/oauth/introspect",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/token",
];

/// The prefix of the metadata of a resource. The path of the resource follows.
const RESOURCE_METADATA_PREFIX: &str = "/.well-known/oauth-protected-resource/";
// </oauth_server>

/// Why accounts can't start, in one sentence.
pub struct StartError(app::StartError);

impl std::error::Error for StartError {}

/// A setting may be wrong because the application uses its name for something else.
impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.0 {
            app::StartError::Settings(_) | app::StartError::Mail(_) => {
                write!(f, " (to set it only for accounts, put {ENV_PREFIX} before its name, as in {ENV_PREFIX}APP_ENV)")
            }
            _ => Ok(()),
        }
    }
}

/// Writes the same sentence, because `main` prints an error that it returns with `Debug`, and so does a panic.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: Into<app::StartError>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Adds accounts to an application, with the settings in the environment. Its own handlers can then take a
/// `Scope<User>`, an `Option<Scope<User>>` or a `Sudo<User>`. Users are in the database that `DATABASE_URL` names. An
/// application with its own pool calls [`with_accounts_in`] instead.
pub async fn with_accounts(app: Router) -> Result<Router, StartError> {
    let settings = settings()?;
    if settings.app_env == AppEnv::Prod && settings.database_url == DEFAULT_URL {
        tracing::warn!("users are in the development database, {DEFAULT_URL}: set DATABASE_URL");
    }
    let App { router, state } = App::open(settings).await?;
    Ok(mount(app, router, &state))
}

/// Adds accounts, with their tables in a database that the application has opened. `DATABASE_URL` isn't read.
pub async fn with_accounts_in(app: Router, pool: &Pool) -> Result<Router, StartError> {
    let App { router, state } = App::open_with_pool(pool, settings()?).await?;
    Ok(mount(app, router, &state))
}

fn settings() -> Result<Settings, SettingsError> {
    Settings::for_accounts(&Variables::read()?.prefer_prefixed(ENV_PREFIX))
}

/// Mounts the routes of accounts beside those of the application.
pub fn mount(app: Router, accounts: Router, state: &AppState) -> Router {
    // Handlers that take no scope accept requests of every origin, as before.
    let app = app.layer(state.sigra.fetch_current_scope().on_demand());
    // <languages>
    let accounts = (accounts, state.settings.app_env);
    // </languages>
    let route_by_path = from_fn_with_state(accounts, route_by_path);
    Router::new().fallback_service(ServiceBuilder::new().layer(route_by_path).service(app))
}

/// Runs before the application's own routing, because a form's `_method` must be read before its route is chosen.
async fn route_by_path(
    // <languages>
    State((accounts, app_env)): State<(Router, AppEnv)>,
    // </languages>
    // <!languages>
    // State(accounts): State<Router>,
    // </!languages>
    request: Request,
    next: Next,
) -> Response {
    if is_account_path(request.uri().path()) {
        accounts.oneshot(request).await.into_response()
    } else {
        // <languages>
        // Messages of accounts, such as that a page needs a login, are in the language of the browser.
        let language = languages::browser_language(request.headers(), app_env);
        crate::languages::with_language(language, next.run(request)).await
        // </languages>
        // <!languages>
        // next.run(request).await
        // </!languages>
    }
}

/// Returns whether accounts serve a path. The application serves all others.
fn is_account_path(path: &str) -> bool {
    // <oauth_server>
    if OAUTH_SERVER_PATHS.contains(&path) || path.starts_with(RESOURCE_METADATA_PREFIX) {
        return true;
    }
    // </oauth_server>
    path.starts_with(PREFIX)
}
