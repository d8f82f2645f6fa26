//! Accounts beside the routes of an existing application.

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
const OF_OAUTH_SERVER: [&str; 10] = [
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

/// The path of a resource follows.
const METADATA_OF_RESOURCES: &str = "/.well-known/oauth-protected-resource/";
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

/// Is the same sentence, because that is what `main` prints when it returns an error, and what a panic prints.
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
pub async fn with_accounts(own: Router) -> Result<Router, StartError> {
    let settings = settings()?;
    if settings.app_env == AppEnv::Prod && settings.database_url == DEFAULT_URL {
        tracing::warn!("users are in the development database, {DEFAULT_URL}: set DATABASE_URL");
    }
    let App { router, state } = App::open(settings).await?;
    Ok(beside(own, router, &state))
}

/// Adds accounts in a database that the application has opened: users are beside its own tables, and `DATABASE_URL`
/// isn't read.
pub async fn with_accounts_in(own: Router, pool: &Pool) -> Result<Router, StartError> {
    let App { router, state } = App::open_in(pool, settings()?).await?;
    Ok(beside(own, router, &state))
}

fn settings() -> Result<Settings, SettingsError> {
    Settings::of_accounts(&Variables::read()?.with_prefix_first(ENV_PREFIX))
}

/// Puts the routes of accounts beside an application's own.
pub fn beside(own: Router, accounts: Router, state: &AppState) -> Router {
    // Handlers that take no scope accept requests of every origin, as before.
    let own = own.layer(state.sigra.fetch_current_scope().on_demand());
    // <languages>
    let accounts = (accounts, state.settings.app_env);
    // </languages>
    let by_path = from_fn_with_state(accounts, by_path);
    Router::new().fallback_service(ServiceBuilder::new().layer(by_path).service(own))
}

/// Runs before the application's own routing, because a form's `_method` must be read before its route is chosen.
async fn by_path(
    // <languages>
    State((accounts, app_env)): State<(Router, AppEnv)>,
    // </languages>
    // <!languages>
    // State(accounts): State<Router>,
    // </!languages>
    request: Request,
    next: Next,
) -> Response {
    if is_of_accounts(request.uri().path()) {
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
fn is_of_accounts(path: &str) -> bool {
    // <oauth_server>
    if OF_OAUTH_SERVER.contains(&path) || path.starts_with(METADATA_OF_RESOURCES) {
        return true;
    }
    // </oauth_server>
    path.starts_with(PREFIX)
}
