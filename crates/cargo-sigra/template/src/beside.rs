//! Accounts beside the routes of an application that was there before.

use std::fmt;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use sigra::Sigra;
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    accounts::User,
    app::{self, App},
    config::{ENV_PREFIX, Env, Environment, Settings, SettingsError, database_url::DEFAULT_URL},
    database::Pool,
};

/// All paths of accounts begin with it.
const PREFIX: &str = "/users/";

/// Why there are no accounts, in one sentence.
#[derive(Debug)]
pub struct StartError(app::StartError);

impl std::error::Error for StartError {}

/// Where a setting is wrong, the application may mean something else by its name.
impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.0 {
            app::StartError::Settings(_) | app::StartError::Mail(_) => {
                write!(f, " (a setting for accounts alone has {ENV_PREFIX} before its name, as in {ENV_PREFIX}APP_ENV)")
            }
            _ => Ok(()),
        }
    }
}

impl<E: Into<app::StartError>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Adds accounts to an application, by the settings in the environment. Its own handlers can ask for a
/// `Scope<User>`, an `Option<Scope<User>>` or a `Sudo<User>` from then on. Users are in the database that `DATABASE_URL`
/// names; an application that has a pool of its own calls [`with_accounts_in`].
pub async fn with_accounts(own: Router) -> Result<Router, StartError> {
    let settings = settings()?;
    if settings.environment == Environment::Prod && settings.database_url == DEFAULT_URL {
        tracing::warn!("users are in {DEFAULT_URL}, as in development: set DATABASE_URL");
    }
    let App { router, state } = App::open(settings).await?;
    Ok(beside(own, router, &state.sigra))
}

/// The same in a database that the application has opened: users are beside its own tables, and `DATABASE_URL` is not
/// read.
pub async fn with_accounts_in(own: Router, pool: &Pool) -> Result<Router, StartError> {
    let App { router, state } = App::open_in(pool, settings()?).await?;
    Ok(beside(own, router, &state.sigra))
}

fn settings() -> Result<Settings, SettingsError> {
    Settings::of_accounts(&Env::read()?.with_prefix_first(ENV_PREFIX))
}

/// The same for routes of accounts that are there already.
pub fn beside(own: Router, accounts: Router, sigra: &Sigra<User>) -> Router {
    // Who does not ask for a scope is answered as before, whatever origin they come from.
    let own = own.layer(sigra.fetch_current_scope().only_where_asked());
    let by_path = from_fn_with_state(accounts, by_path);
    Router::new().fallback_service(ServiceBuilder::new().layer(by_path).service(own))
}

/// Before the application's own routes: a form's `_method` is read before its route is chosen.
async fn by_path(State(accounts): State<Router>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(PREFIX) {
        accounts.oneshot(request).await.into_response()
    } else {
        next.run(request).await
    }
}
