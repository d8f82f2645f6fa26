//! Starts the application, and stops it without losing work.

use std::{
    env,
    error::Error,
    io::{self, IsTerminal, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use my_app::{
    app::App,
    config::{AppEnv, Settings, Variables},
    server,
    web::AppState,
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// At debug level, this target logs the URLs of requests, which may contain tokens.
const CSRF_LOG_DIRECTIVE: &str = "tower_http::csrf=info";

/// How long a shutdown waits for work without a client, such as emails that are being sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// How long it then waits for the database to release the other emails. Without that, they are sent half a minute later.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long `check-health` waits.
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("check-health") {
        return match check_health() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("my_app is not healthy: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("my_app can't start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(&Variables::read()?)?;
    init_tracing(&settings.log_filter)?;
    let App { router, state } = App::open(settings).await?;
    if state.settings.app_env == AppEnv::Dev {
        state.accounts.seed_demo_user().await?;
    }
    let listener = listen(state.settings.listen).await?;
    welcome(&state.settings);
    // <live>
    let closing = state.sigra.close_live_connections();
    // </live>
    // <!live>
    // let closing = std::future::ready(());
    // </!live>
    server::serve(listener, router, shutdown_signal(), closing).await;
    finish_work(&state).await;
    Ok(())
}

fn init_tracing(filter: &str) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(filter)?.add_directive(CSRF_LOG_DIRECTIVE.parse()?);
    let has_color = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(has_color).init();
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let failed = |error| format!("can't listen on {address}, as HOST and PORT say: {error}");
    TcpListener::bind(address).await.map_err(failed)
}

/// Checks the health of the application that runs with the same settings, in containers that have no program for that.
fn check_health() -> Result<(), Box<dyn Error>> {
    let mut address = Settings::new(&Variables::read()?)?.listen;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let mut server = TcpStream::connect_timeout(&address, HEALTH_CHECK_TIMEOUT)?;
    server.set_read_timeout(Some(HEALTH_CHECK_TIMEOUT))?;
    server.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    server.read_to_string(&mut response)?;
    let status = response.lines().next().unwrap_or_default();
    if status.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("/healthz returned `{status}`").into()) }
}

/// Logs the URL, and tells developers how to log in.
fn welcome(settings: &Settings) {
    let url = &settings.public_url;
    tracing::info!(%url, environment = ?settings.app_env, "listening");
    if settings.app_env == AppEnv::Dev {
        println!("my_app is at {url} - log in as demo@example.com with `correct horse battery staple`");
        if settings.smtp_url.starts_with("memory:") {
            println!("Its emails are at http://localhost:{}/dev/mailbox", settings.listen.port());
        }
    }
}

/// Finishes what requests have started, and sends emails, while there is time. No client is connected any more.
async fn finish_work(state: &AppState) {
    let mailer = state.accounts.mailer();
    let drain = async {
        state.sigra.settle().await;
        mailer.settle().await;
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, drain).await.is_err() {
        let mails = tokio::time::timeout(RELEASE_TIMEOUT, mailer.release_unsent()).await.ok();
        tracing::warn!(mails, "some emails were not sent before the shutdown: the next start sends them");
    }
}

/// Waits for Ctrl-C, or for the signal that service managers stop a process with.
async fn shutdown_signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "can't listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(error) => {
                tracing::error!(%error, "can't listen for SIGTERM");
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
