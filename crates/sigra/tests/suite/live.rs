//! Live connections: their number, how long they stay open, and how they end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    routing::get,
};
use sigra::{
    live::{CLOSE_SESSION_ENDED, Live, LiveLimit, LiveSocket},
    testing::{TestClient, TestHost, TestResponse, assert_status},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::host::{Host, KEY, SECOND, User};

/// Longer than any step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn ask(browser: &Arc<TestClient>) -> JoinHandle<TestResponse> {
    let browser = browser.clone();
    tokio::spawn(async move { browser.get("/live").await })
}

/// Opens a live connection.
async fn open(host: &Host, browser: &Arc<TestClient>) -> JoinHandle<TestResponse> {
    let connection = ask(browser);
    host.slow.live().await;
    connection
}

async fn response(connection: JoinHandle<TestResponse>) -> TestResponse {
    timeout(PATIENCE, connection).await.expect("a response in time").expect("no panic")
}

#[tokio::test]
async fn live_connections_are_limited_for_each_session_and_user() {
    let host = Host::with(|config| config.live_connections(LiveLimit::default().per_session(2).per_user(3))).await;
    let (user, browser) = host.authenticated_fixture().await;
    let (browser, phone) = (Arc::new(browser), Arc::new(host.log_in(&user).await));
    let (_, stranger) = host.authenticated_fixture().await;

    let (first, second) = (open(&host, &browser).await, open(&host, &browser).await);
    let third = response(ask(&browser)).await;
    assert_status(&third, 429);
    assert_eq!(third.header("retry-after"), Some("10"));

    // Each session has its own limit.
    let on_phone = open(&host, &phone).await;
    assert_status(&response(ask(&phone)).await, 429);
    // Each user has their own limit.
    let of_stranger = open(&host, &Arc::new(stranger)).await;

    first.abort();
    drop(first.await);
    // The closed connection no longer counts.
    let again = open(&host, &phone).await;
    for connection in [second, on_phone, of_stranger, again] {
        assert!(!connection.is_finished());
    }
}

#[tokio::test]
async fn live_connections_stay_open_without_the_database_for_the_configured_time() {
    for (limit, stays_open) in [(SECOND, false), (SECOND * 300, true)] {
        let host = Host::with(|config| config.live_without_database(limit)).await;
        let (_, browser) = host.authenticated_fixture().await;
        host.sigra().catch_up().await;
        let connection = open(&host, &Arc::new(browser)).await;
        tokio::time::sleep(SECOND * 2).await;
        assert!(!connection.is_finished(), "the session is still in the database");
        host.pool.close().await;
        if stays_open {
            tokio::time::sleep(SECOND * 3).await;
            assert!(!connection.is_finished());
        } else {
            assert_eq!(response(connection).await.text(), "ended");
        }
    }
}

#[tokio::test]
async fn stopping_the_server_ends_live_connections_and_refuses_new_ones() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let browser = Arc::new(browser);
    let connection = open(&host, &browser).await;
    timeout(PATIENCE, host.sigra().close_live_connections()).await.expect("in time");
    assert_eq!(response(connection).await.text(), "ended");
    assert_status(&browser.get("/live").await, 503);
}

/// What a task gets from the socket of a connection whose handler spawned it.
#[derive(Clone, Default)]
struct Spawned {
    received: Arc<AtomicUsize>,
}

impl Spawned {
    /// Counts messages until the socket is closed. Returns whether sending fails then.
    async fn count(self, mut socket: LiveSocket) -> bool {
        while socket.recv().await.is_some() {
            self.received.fetch_add(1, Ordering::SeqCst);
        }
        socket.send(Message::Text("still here".into())).await.is_err()
    }

    async fn wait_for_the_first(&self) {
        let received = async {
            while self.received.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, received).await.expect("a message in time");
    }
}

/// Serves a route whose handler leaves the socket to a task, and then waits, or returns after the first message.
/// Returns the address and the task.
async fn serve_spawning(
    host: &Host,
    spawned: &Spawned,
    waits: bool,
) -> (SocketAddr, mpsc::UnboundedReceiver<JoinHandle<bool>>) {
    let (spawned, (tasks, started)) = (spawned.clone(), mpsc::unbounded_channel());
    let handler = async move |live: Live<User>, upgrade: WebSocketUpgrade| {
        live.on_upgrade(upgrade, move |socket, _| async move {
            tasks.send(tokio::spawn(spawned.clone().count(socket))).expect("a test that listens");
            spawned.wait_for_the_first().await;
            if waits {
                std::future::pending::<()>().await;
            }
        })
    };
    let router: Router = Router::new().route("/socket", get(handler)).layer(host.sigra().fetch_current_scope());
    (serve(router).await, started)
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Opens a WebSocket that never answers.
async fn open_socket(address: SocketAddr, browser: &TestClient) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let key = browser.cookie(KEY).expect("a session");
    let handshake = format!(
        "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {KEY}={key}\r\n\r\n"
    );
    socket.write_all(handshake.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(socket.read_u8().await.expect("a response"));
    }
    assert!(response.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&response));
    socket
}

/// Sends a text of two letters, masked with zeros (RFC 6455 section 5.2). Fails if the server has disconnected.
async fn send_text(socket: &mut TcpStream) -> std::io::Result<()> {
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await
}

#[tokio::test]
async fn a_task_that_keeps_a_clone_of_the_socket_gets_nothing_after_the_session_or_the_handler_has_ended() {
    for waits in [true, false] {
        let host = Host::new().await;
        let (user, browser) = host.authenticated_fixture().await;
        let spawned = Spawned::default();
        let (address, mut started) = serve_spawning(&host, &spawned, waits).await;
        let mut client = open_socket(address, &browser).await;
        send_text(&mut client).await.unwrap();
        spawned.wait_for_the_first().await;
        if waits {
            assert!(is_pending(&mut client).await, "the session is live");
            host.sigra().delete_all_sessions(&user.id).await.unwrap();
        }
        // Longer than the server waits for the client to close.
        tokio::time::sleep(SECOND * 2).await;
        for _ in 0..10 {
            let _ = send_text(&mut client).await;
        }
        let task = timeout(PATIENCE, started.recv()).await.unwrap().unwrap();
        assert!(timeout(PATIENCE, task).await.expect("the task ends").unwrap(), "nothing can be sent");
        assert_eq!(spawned.received.load(Ordering::SeqCst), 1, "waits: {waits}");
    }
}

/// Returns whether the server has neither sent anything nor disconnected, after enough time for that.
async fn is_pending(socket: &mut TcpStream) -> bool {
    timeout(Duration::from_millis(100), socket.read_u8()).await.is_err()
}

#[tokio::test]
async fn a_handler_that_returns_because_its_session_ended_closes_the_socket_with_that_reason() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let sigra = host.sigra().clone();
    let handler = async move |live: Live<User>, upgrade: WebSocketUpgrade| {
        live.on_upgrade(upgrade, move |mut socket, scope| async move {
            // Nothing else is polled before `recv` sees that the session has ended.
            sigra.delete_all_sessions(&scope.user().id).await.expect("a database");
            assert_eq!(socket.recv().await, None);
        })
    };
    let router: Router = Router::new().route("/socket", get(handler)).layer(host.sigra().fetch_current_scope());
    let mut client = open_socket(serve(router).await, &browser).await;
    let mut frame = [0; 4];
    timeout(PATIENCE, client.read_exact(&mut frame)).await.expect("in time").expect("a close frame");
    assert_eq!((frame[0], u16::from_be_bytes([frame[2], frame[3]])), (0x88, CLOSE_SESSION_ENDED));
}
