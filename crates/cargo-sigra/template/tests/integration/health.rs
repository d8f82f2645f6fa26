//! The health check that containers run.

use std::process::{Command, Output};

use crate::{server::Server, support::TestDatabase};

fn check_health(port: u16) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_my_app"));
    program.arg("check-health").current_dir(std::env::temp_dir());
    program.envs([("APP_ENV", "test"), ("HOST", "0.0.0.0"), ("PUBLIC_URL", "http://localhost:4000")]);
    program.env("PORT", port.to_string()).output().expect("the program")
}

#[test]
fn a_container_is_healthy_while_its_server_responds() {
    let database = TestDatabase::create();
    let server = Server::start(&database.url);
    let port = server.connect().peer_addr().expect("an address").port();
    let healthy = check_health(port);
    assert!(healthy.status.success(), "{healthy:?}");
    server.stop();
    let stopped = check_health(port);
    assert!(!stopped.status.success());
    assert!(String::from_utf8_lossy(&stopped.stderr).starts_with("my_app is not healthy: "), "{stopped:?}");
}
