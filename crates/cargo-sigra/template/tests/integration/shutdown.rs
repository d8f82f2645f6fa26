//! Stopping the process with the signal of service managers.

use std::{
    fs,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use crate::server::{Browser, Server};
use crate::support::{TestDatabase, login_form};
use sigra::testing::VALID_PASSWORD;

/// How long Docker waits before it kills a container.
const TEN_SECONDS: Duration = Duration::from_secs(10);

const HALF_A_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n";
const HALF_A_BODY: &[u8] = b"POST /users/log-in HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\
    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nuser";

#[test]
fn stalled_clients_do_not_delay_shutdown() {
    let database = TestDatabase::create();
    let server = Server::start(&database.url);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    // The third client sends nothing.
    for (client, half) in clients.iter_mut().zip([HALF_A_HEAD, HALF_A_BODY]) {
        client.write_all(half).expect("sent");
    }
    thread::sleep(Duration::from_millis(300));
    let took = server.stop();
    assert!(took < TEN_SECONDS, "{took:?}");
}

#[test]
fn without_clients_it_stops_immediately() {
    let database = TestDatabase::create();
    let server = Server::start(&database.url);
    let took = server.stop();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Returns the emails in a folder.
fn mails_in(folder: &std::path::Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "eml"))
        .map(|file| fs::read_to_string(file).expect("an email"))
        .collect()
}

#[test]
fn invariant_17_an_email_that_is_waiting_at_shutdown_is_sent_once_by_the_next_process() {
    let database = TestDatabase::create();
    // No mail server listens there.
    let server = Server::start_with(&database.url, &[("SMTP_URL", "smtp://127.0.0.1:9")]);
    let registered = Browser::new().post(&server, "/users/register", &login_form("ada@example.com", VALID_PASSWORD));
    assert_eq!(registered.expect("a result").status, 303);
    server.wait_for_log("mail.delayed");
    let took = server.stop();
    assert!(took < TEN_SECONDS, "{took:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let to_folder = format!("file://{}", folder.path().display());
    let nodes = [(); 2].map(|()| Server::start_with(&database.url, &[("SMTP_URL", &to_folder)]));
    let begun = Instant::now();
    while mails_in(folder.path()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the email was not sent");
        thread::sleep(Duration::from_millis(50));
    }
    for node in &nodes {
        node.stop();
    }
    let mails = mails_in(folder.path());
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("ada@example.com"));
}
