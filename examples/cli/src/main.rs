//! A command line that acts for a user of the application:
//!
//! ```sh
//! cargo run                              # the application, at http://localhost:4000
//! cargo run -p example-cli -- login     # opens a browser
//! cargo run -p example-cli -- login --device    # shows a code, as on a server without a browser
//! cargo run -p example-cli -- whoami
//! cargo run -p example-cli -- logout
//! ```
//!
//! `ACME_SERVER` is the URL of another server.

mod browser;
mod http;
mod login;
mod tokens;

use std::{env, error::Error, process::ExitCode};

use login::Server;
use tokens::Tokens;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<()> {
    let server = Server::at(&env::var("ACME_SERVER").unwrap_or_else(|_| "http://localhost:4000".to_owned()))?;
    match arguments {
        ["login"] => server.log_in_with_browser().await?.save(),
        ["login", "--device"] => server.log_in_with_code().await?.save(),
        ["whoami"] => whoami(&server).await,
        ["logout"] => {
            server.revoke(&Tokens::load()?).await?;
            Tokens::delete()
        }
        _ => Err("commands: login [--device], whoami, logout".into()),
    }
}

async fn whoami(server: &Server) -> Result<()> {
    let tokens = server.fresh(Tokens::load()?).await?;
    let me = http::get_json(&server.url("/api/me"), &tokens.access).await?;
    println!("{}: {}", me["email"].as_str().unwrap_or("?"), me["permissions"]);
    Ok(())
}
