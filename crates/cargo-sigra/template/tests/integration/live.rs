//! The WebSocket, over a real socket: it stays open as long as its session.

use std::{net::SocketAddr, time::Duration};

use crate::support::{Host, delete_account, email_form, password_form};
use futures_util::{SinkExt, StreamExt};
use my_app::server;
use sigra::{
    live::LiveLimit,
    testing::{TestClient, TestHost},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::StatusCode},
};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

const NEW: &str = "a quite different password";

/// Longer than closing takes, even on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(60);

async fn serve(host: &Host) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let app = host.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn connect(address: SocketAddr, client: &TestClient, origin: &str) -> Result<Socket, StatusCode> {
    let mut request = format!("ws://{address}/live").into_client_request().expect("a request");
    let cookies: Vec<String> = client.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !cookies.is_empty() {
        request.headers_mut().insert("cookie", cookies.join("; ").parse().expect("a header"));
    }
    request.headers_mut().insert("origin", origin.parse().expect("a header"));
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status()),
        Err(error) => panic!("the socket failed: {error}"),
    }
}

async fn open(address: SocketAddr, client: &TestClient) -> Socket {
    let mut socket = connect(address, client, &format!("http://{address}")).await.expect("an open socket");
    let hello = socket.next().await.expect("a message").expect("no socket error");
    assert!(hello.to_text().expect("text").contains("@"), "{hello:?}");
    socket
}

/// Waits for the close, and returns its code.
async fn close_code(socket: &mut Socket) -> Option<u16> {
    let closed = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("the socket broke without a reason: {error}"),
                None => return None,
            }
        }
    };
    timeout(TIMEOUT, closed).await.expect("closed in time")
}

async fn is_open(socket: &mut Socket) -> bool {
    socket.send(Message::text("still there?")).await.expect("sent");
    let echo = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return text == "still there?",
                Some(Ok(Message::Ping(_))) => {}
                _ => return false,
            }
        }
    };
    timeout(TIMEOUT, echo).await.expect("a response in time")
}

#[tokio::test]
async fn only_users_get_a_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let refused = connect(address, &host.client(), &format!("http://{address}")).await;
    assert_eq!(refused.err(), Some(StatusCode::UNAUTHORIZED));
}

// <mfa>
#[tokio::test]
async fn invariant_12_a_pending_second_factor_gets_no_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, browser) = host.mfa_pending_fixture().await;
    let refused = connect(address, &browser, &format!("http://{address}")).await;
    assert_eq!(refused.err(), Some(StatusCode::UNAUTHORIZED));
    browser.post("/users/mfa-challenge", &[("user[code]", &host.totp_code(&user).await)]).await;
    drop(open(address, &browser).await);
}

#[tokio::test]
async fn requiring_a_second_factor_ends_the_users_live_connections() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    sqlx::query("UPDATE users SET mfa_required = true").execute(&host.pool).await.expect("updated");
    assert_eq!(close_code(&mut socket).await, Some(4401));
}
// </mfa>

#[tokio::test]
async fn invariant_8_another_origin_gets_no_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, victim) = host.authenticated_fixture().await;
    for origin in ["https://evil.example", "null", &format!("http://{address}.evil.example"), "http://127.0.0.1:1"] {
        assert_eq!(connect(address, &victim, origin).await.err(), Some(StatusCode::FORBIDDEN), "{origin}");
    }
}

#[tokio::test]
async fn logging_out_ends_the_live_connection_of_that_session_only() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    let (mut first, mut second) = (open(address, &browser).await, open(address, &browser).await);
    let mut of_other = open(address, &other).await;

    browser.delete("/users/log-out").await;
    assert_eq!(close_code(&mut first).await, Some(4401));
    assert_eq!(close_code(&mut second).await, Some(4401));
    assert!(is_open(&mut of_other).await);
}

#[tokio::test]
async fn revoking_a_device_ends_its_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, phone) = host.authenticated_fixture().await;
    let session = host.sigra().sessions().list(&user.id).await.expect("sessions").remove(0);
    let laptop = host.log_in(&user).await;
    let mut socket = open(address, &phone).await;
    laptop.delete(&format!("/users/sessions/{}", session.id)).await;
    assert_eq!(close_code(&mut socket).await, Some(4401));
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_live_connections() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, here) = host.authenticated_fixture().await;
    let there = host.log_in(&user).await;
    let mut sockets = [open(address, &here).await, open(address, &there).await];
    here.delete("/users/sessions").await;
    for socket in &mut sockets {
        assert_eq!(close_code(socket).await, Some(4401));
    }
}

#[tokio::test]
async fn an_expired_session_ends_its_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    host.clock().advance(Duration::from_secs(60 * 24 * 60 * 60));
    assert_eq!(close_code(&mut socket).await, Some(4401));
}

#[tokio::test]
async fn a_row_deleted_by_hand_ends_its_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    sqlx::query("DELETE FROM users_tokens").execute(&host.pool).await.expect("deleted");
    assert_eq!(close_code(&mut socket).await, Some(4401));
}

#[tokio::test]
async fn invariant_17_deleting_a_user_ends_their_live_connections() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    sqlx::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&host.pool).await.expect("deleted");
    assert_eq!(close_code(&mut socket).await, Some(4401));
    assert_eq!(host.count_tokens().await, 0);
}

#[tokio::test]
async fn invariant_9_a_reset_ends_all_live_connections() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut sockets = [open(address, &browser).await, open(address, &host.log_in(&user).await).await];
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    host.client().put(&host.link_to(&user.email).await, &password_form(NEW, NEW)).await;
    for socket in &mut sockets {
        assert_eq!(close_code(socket).await, Some(4401));
    }
}

#[tokio::test]
async fn invariant_9_a_new_password_ends_the_live_connections_of_all_other_sessions() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, browser) = host.authenticated_fixture().await;
    let (mut here, mut there) = (open(address, &browser).await, open(address, &host.log_in(&user).await).await);
    browser.put("/users/settings/password", &password_form(NEW, NEW)).await;
    assert_eq!(close_code(&mut there).await, Some(4401));
    assert!(is_open(&mut here).await);
}

#[tokio::test]
async fn invariant_17_an_account_scheduled_for_deletion_has_no_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &host.log_in(&user).await).await;
    delete_account(&browser, &user.email).await;
    assert_eq!(close_code(&mut socket).await, Some(4401));
}

// <magic_link>
/// This also locks out an attacker who registered the address before its owner.
#[tokio::test]
async fn a_login_link_to_an_unconfirmed_address_ends_earlier_live_connections() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (user, attacker) = host.authenticated_fixture().await;
    let mut socket = open(address, &attacker).await;
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    host.client().post(&host.link_to(&user.email).await, &[]).await;
    assert_eq!(close_code(&mut socket).await, Some(4401));
}
// </magic_link>

#[tokio::test]
async fn a_stopping_server_closes_live_connections_and_accepts_no_more() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    let closing = tokio::spawn({
        let sigra = host.sigra().clone();
        async move { sigra.close_live_connections().await }
    });
    assert_eq!(close_code(&mut socket).await, Some(1001));
    timeout(TIMEOUT, closing).await.expect("in time").expect("no panic");
    let refused = connect(address, &browser, &format!("http://{address}")).await;
    assert_eq!(refused.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
}

/// A client that connects again at once must reach another process, not one that is about to end.
#[tokio::test]
async fn a_stopping_server_accepts_no_connections_when_it_closes_the_live_ones() {
    let host = Host::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopping) = oneshot::channel();
    let (sigra, app) = (host.sigra().clone(), host.router());
    let served = tokio::spawn(async move {
        let stopped = async { stopping.await.expect("a signal") };
        server::serve(listener, app, stopped, sigra.close_live_connections()).await;
    });
    let (_, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    stop.send(()).expect("a server");
    assert_eq!(close_code(&mut socket).await, Some(1001));
    assert!(TcpStream::connect(address).await.is_err());
    drop(socket);
    timeout(TIMEOUT, served).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn a_session_has_a_limit_of_live_connections() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut sockets = Vec::new();
    for _ in 0..LiveLimit::default().per_session {
        sockets.push(open(address, &browser).await);
    }
    let refused = connect(address, &browser, &format!("http://{address}")).await;
    assert_eq!(refused.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    // Closing one makes room for another.
    drop(sockets.pop());
    let free = async {
        while connect(address, &browser, &format!("http://{address}")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TIMEOUT, free).await.expect("a free place");
}

#[tokio::test]
async fn confirming_the_password_keeps_the_live_connection() {
    let host = Host::new().await;
    let address = serve(&host).await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut socket = open(address, &browser).await;
    let confirmed = browser.post("/users/sudo", &[("user[password]", sigra::testing::VALID_PASSWORD)]).await;
    assert_eq!(confirmed.status().as_u16(), 303);

    // Only a sweep can end this connection. Once it has ended, the sweep has checked the other one as well.
    let (other, other_browser) = host.authenticated_fixture().await;
    let mut other_socket = open(address, &other_browser).await;
    let delete = sqlx::query("DELETE FROM users_tokens WHERE user_id = $1").bind(other.id);
    delete.execute(&host.pool).await.expect("deleted");
    assert_eq!(close_code(&mut other_socket).await, Some(4401));
    assert!(is_open(&mut socket).await);
}
