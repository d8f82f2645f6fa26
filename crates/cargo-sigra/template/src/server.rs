//! Serving HTTP/1.1. Nothing that a client leaves standing is waited for without a limit.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt;

/// How long the head of a request may take to come, and how long a connection is kept for the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests that are under way are waited for when it is to end. Service managers kill what has not ended
/// after a while: Docker after ten seconds.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Between attempts to accept a connection, where that fails: there may be no descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves until the shutdown begins. Then nobody is accepted any more, and requests that are under way are answered, as
/// far as there is time.
pub async fn serve(listener: TcpListener, app: Router, shutdown: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            // They are counted only until they have ended.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => drop(connections.spawn(talk(stream, peer, app.clone(), stopping.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(LAST_REQUESTS, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "some clients are not waited for any longer");
    }
    connections.shutdown().await;
}

/// Answers the requests of one client.
async fn talk(stream: TcpStream, peer: SocketAddr, app: Router, mut stopping: watch::Receiver<bool>) {
    // Answers are small, and none waits for the next one.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| answer(app.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn answer(app: Router, peer: SocketAddr, request: Request<Incoming>) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    app.oneshot(request).await
}
