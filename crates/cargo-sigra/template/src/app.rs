//! The wiring of the application: the database, the accounts and the routes.

use axum::Router;
use sigra::{
    Sigra,
    mail::{MailError, Mailer},
};

use crate::{
    accounts::{Accounts, Policy},
    config::{AppEnv, Settings, SettingsError},
    database::{self, DatabaseError, Pool},
    web::{self, AppState, user_auth},
};
// <languages>
use crate::languages::{self, LanguageError};
// </languages>

/// Why the application can't start, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    // <languages>
    #[error(transparent)]
    Languages(#[from] &'static LanguageError),
    // </languages>
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Config(#[from] sigra::ConfigError),
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// The routes and the state of their handlers.
pub struct App {
    pub router: Router,
    pub state: AppState,
}

impl App {
    /// Opens the database that the settings name.
    pub async fn open(settings: Settings) -> Result<Self, StartError> {
        settings.warn();
        let pool = database::open(&settings.database_url).await?;
        Self::start(settings, pool)
    }

    // <install>
    /// Uses a database that is open already.
    pub async fn open_with_pool(pool: &Pool, settings: Settings) -> Result<Self, StartError> {
        settings.warn();
        database::prepare_pool(pool).await?;
        Self::start(settings, pool.clone())
    }
    // </install>

    fn start(settings: Settings, pool: Pool) -> Result<Self, StartError> {
        let state = state(settings, pool)?;
        tokio::spawn(state.accounts.clone().run_cleanup());
        Ok(Self { router: web::app(state.clone()), state })
    }
}

/// Creates the state of the handlers. Starts no background task, so tests can use it too.
pub fn state(settings: Settings, pool: Pool) -> Result<AppState, StartError> {
    // <languages>
    languages::check()?;
    // </languages>
    let sigra = Sigra::new(user_auth::configure(settings.sigra.clone()), pool)?;
    let mailer = Mailer::from_url(&settings.smtp_url, &settings.mail_from)?.with_outbox(sigra.outbox());
    let accounts = Accounts::new(sigra.clone(), mailer, settings.public_url.clone(), policy(&settings));
    Ok(AppState::new(accounts, sigra, settings))
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        registration_open: settings.registration_open,
        require_confirmation: settings.require_confirmation,
        reveal_taken_addresses: settings.reveal_taken_addresses,
        notify_new_devices: settings.notify_new_devices,
        // <device_bound>
        notify_stolen_sessions: settings.notify_stolen_sessions,
        // </device_bound>
        allow_demo_password: settings.app_env == AppEnv::Dev,
        mail_reply_to: settings.mail_reply_to.clone(),
        unconfirmed_ttl: settings.unconfirmed_ttl,
        deletion_grace: settings.deletion_grace,
        // <passkeys>
        passkey_domain: settings.passkey_domain.clone(),
        // </passkeys>
        // <oauth>
        providers: settings.providers.clone(),
        // </oauth>
    }
}
