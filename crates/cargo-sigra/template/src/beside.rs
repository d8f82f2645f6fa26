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
    config::{Settings, SettingsError},
    database::{self, DatabaseError},
    web::{self, AppState, user_auth},
};

/// All paths of accounts begin with it.
const PREFIX: &str = "/users/";

/// Why there are no accounts, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Config(#[from] sigra::ConfigError),
    #[error(transparent)]
    Mail(#[from] sigra::mail::MailError),
}

/// Adds accounts to an application, by the settings in the environment. Its own handlers can ask for a
/// `Scope<User>`, an `Option<Scope<User>>` or a `Sudo<User>` from then on.
pub async fn with_accounts(own: Router) -> Result<Router, StartError> {
    let settings = Settings::from_env()?;
    settings.warn();
    let pool = database::open(&settings.database_url).await?;
    let sigra = Sigra::new(settings.sigra.clone(), pool)?;
    let mailer = Mailer::from_url(&settings.smtp_url, &settings.mail_from)?.kept_in(sigra.outbox());
    let accounts = Accounts::new(sigra.clone(), mailer, &settings);
    tokio::spawn(accounts.clone().keep_deleting());
    let accounts = web::app(AppState::new(accounts, sigra.clone(), settings));
    Ok(beside(own, accounts, &sigra))
}

/// The same for routes of accounts that are there already.
pub fn beside(own: Router, accounts: Router, sigra: &Sigra<User>) -> Router {
    let own = own.layer(user_auth::fetch_current_scope(sigra));
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
