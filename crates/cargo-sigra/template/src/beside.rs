//! Accounts beside the routes of an application that was there before.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use sigra::{Sigra, mail::Mailer};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    accounts::{Accounts, User},
    config::{ENV_PREFIX, Environment, Settings, SettingsError},
    database::{self, DatabaseError, Pool},
    web::{self, AppState, user_auth},
};

/// All paths of accounts begin with it.
const PREFIX: &str = "/users/";

/// Why there are no accounts, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} ({hint})", hint = hint())]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Config(#[from] sigra::ConfigError),
    #[error("{0} ({hint})", hint = hint())]
    Mail(#[from] sigra::mail::MailError),
}

/// For an application that means something else by the name of a setting.
fn hint() -> String {
    format!("a setting for accounts alone has {ENV_PREFIX} before its name, as in {ENV_PREFIX}APP_ENV")
}

/// Adds accounts to an application, by the settings in the environment. Its own handlers can ask for a
/// `Scope<User>`, an `Option<Scope<User>>` or a `Sudo<User>` from then on. Users are in the database that `DATABASE_URL`
/// names; an application that has a pool of its own calls [`with_accounts_in`].
pub async fn with_accounts(own: Router) -> Result<Router, StartError> {
    let settings = Settings::from_env_of_host()?;
    if settings.environment == Environment::Prod && settings.database_url == database::DEFAULT_URL {
        tracing::warn!("users are in {}, as in development: set DATABASE_URL", database::DEFAULT_URL);
    }
    let pool = database::open(&settings.database_url).await?;
    start(own, pool, settings)
}

/// The same in a database that the application has opened: users are beside its own tables, and `DATABASE_URL` is not
/// read.
pub async fn with_accounts_in(own: Router, pool: &Pool) -> Result<Router, StartError> {
    database::prepare_own(pool).await?;
    start(own, pool.clone(), Settings::from_env_of_host()?)
}

fn start(own: Router, pool: Pool, settings: Settings) -> Result<Router, StartError> {
    settings.warn();
    let sigra = Sigra::new(settings.sigra.clone(), pool)?;
    let mailer = Mailer::from_url(&settings.smtp_url, &settings.mail_from)?.kept_in(sigra.outbox());
    let accounts = Accounts::new(sigra.clone(), mailer, &settings);
    tokio::spawn(accounts.clone().keep_deleting());
    let accounts = web::app(AppState::new(accounts, sigra.clone(), settings));
    Ok(beside(own, accounts, &sigra))
}

/// The same for routes of accounts that are there already.
pub fn beside(own: Router, accounts: Router, sigra: &Sigra<User>) -> Router {
    // Who does not ask for a scope is answered as before, whatever origin they come from.
    let own = own.layer(user_auth::fetch_current_scope(sigra).only_where_asked());
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
