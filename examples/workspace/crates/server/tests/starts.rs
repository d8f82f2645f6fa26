//! The server starts and responds.

use std::{
    error::Error,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

#[test]
fn the_server_responds() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("guestbook-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut server = Command::new(env!("CARGO_BIN_EXE_server"))
        .current_dir(&folder)
        .env("LISTEN", address.to_string())
        // For accounts, once they are installed.
        .env("APP_ENV", "test")
        .spawn()?;

    let connection = (0..600).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        TcpStream::connect(address).ok()
    });
    let mut response = String::new();
    if let Some(mut connection) = connection {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        connection.read_to_string(&mut response)?;
    }

    server.kill()?;
    server.wait()?;
    std::fs::remove_dir_all(&folder)?;
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    Ok(())
}
