use std::{process::ExitCode, time::Duration};

use my_app::{
    accounts::Accounts,
    config::{Environment, Settings},
    database, server,
    web::{self, AppState},
};
use sigra::{Sigra, mail::Mailer};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Below this level the addresses of requests would be logged here, and some hold tokens.
const SILENCED: &str = "tower_http::csrf=info";

/// How long a shutdown waits for requests whose clients are gone, and for mails that are being sent.
const LAST_WORK: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("my_app can't start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::from_env()?;
    let filter = EnvFilter::try_new(&settings.log_filter)?.add_directive(SILENCED.parse()?);
    tracing_subscriber::fmt().with_env_filter(filter).init();
    settings.warn();
    let pool = database::open(&settings.database_url).await?;
    let sigra = Sigra::new(settings.sigra.clone(), pool)?;
    let mailer = Mailer::from_url(&settings.smtp_url, &settings.mail_from)?.kept_in(sigra.outbox());
    let accounts = Accounts::new(sigra.clone(), mailer.clone(), &settings);
    if settings.environment == Environment::Dev {
        accounts.seed_demo_user().await?;
    }

    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("HOST and PORT say to listen on {}, which fails: {error}", settings.listen))?;
    let url = settings.public_url.clone();
    tracing::info!(%url, environment = ?settings.environment, "listening");
    if settings.environment == Environment::Dev {
        println!("my_app is at {url} - log in as demo@example.com with `correct horse battery staple`");
        if settings.smtp_url.starts_with("memory:") {
            println!("Mails that it sends are at http://localhost:{}/dev/mailbox", settings.listen.port());
        }
    }

    tokio::spawn(accounts.clone().keep_deleting());
    // <live>
    let stopping = sigra.clone();
    // </live>
    let app = web::app(AppState::new(accounts, sigra.clone(), settings));
    let shutdown = async move {
        shutdown_signal().await;
        // <live>
        stopping.close_live_connections().await;
        // </live>
    };
    server::serve(listener, app, shutdown).await;
    let last_work = async {
        sigra.settle().await;
        mailer.settle().await;
    };
    if tokio::time::timeout(LAST_WORK, last_work).await.is_err() {
        let mails = mailer.leave().await;
        tracing::warn!(mails, "not all mails could be sent: the next start sends what is left");
    }
    Ok(())
}

/// Ctrl-C, or the signal by which service managers stop a process.
async fn shutdown_signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C can't be listened to");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(error) => {
                tracing::error!(%error, "SIGTERM can't be listened to");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
