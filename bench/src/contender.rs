//! The servers of the comparison: started with their databases full, logged in to, and checked.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use sigra::testing::PostgresCluster;

use crate::{
    Result,
    cpus::Cpus,
    fill::Size,
    http::Connection,
    programs::Program,
    server::{Server, free_address},
    settings::email,
};

/// A server with a full database is up by then.
const START: Duration = Duration::from_secs(600);

/// The most connections to the database that a server may open.
pub const POOL: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// There are no sessions.
    None,
    /// Sessions are in the server's memory.
    Memory,
    Sqlite,
    Postgres,
}

pub const SIGRA_SQLITE: Contender =
    contender("sigra-sqlite", "Sigra, SQLite", Program::Serve, &["sigra-sqlite"], Database::Sqlite);
pub const SIGRA_POSTGRES: Contender =
    contender("sigra-postgres", "Sigra, PostgreSQL", Program::Serve, &["sigra-postgres"], Database::Postgres);

/// A server of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// How it is chosen.
    pub name: &'static str,
    /// How it is shown.
    pub title: &'static str,
    pub program: Program,
    pub arguments: &'static [&'static str],
    pub database: Database,
    pub cache: bool,
    /// The header that it takes a token in, up to the token. Without one, it takes a cookie.
    pub token_header: Option<&'static str>,
    /// How many processes gunicorn has, and threads in each.
    pub workers: u32,
    pub threads: u32,
}

/// A server without a cache, and without tokens.
#[must_use]
pub const fn contender(
    name: &'static str,
    title: &'static str,
    program: Program,
    arguments: &'static [&'static str],
    database: Database,
) -> Contender {
    Contender { name, title, program, arguments, database, cache: false, token_header: None, workers: 1, threads: 1 }
}

impl Contender {
    /// Where its database is to be: a file in a folder, or a new database of a cluster.
    pub fn place(&self, folder: &Path, cluster: Option<&PostgresCluster>) -> Result<String> {
        match (self.database, cluster) {
            (Database::None | Database::Memory, _) => Ok(String::new()),
            (Database::Sqlite, _) => Ok(folder.join(format!("{}.db", self.name)).display().to_string()),
            (Database::Postgres, Some(cluster)) => Ok(cluster.create_database()?),
            (Database::Postgres, None) => Err("there is no PostgreSQL cluster".into()),
        }
    }

    /// Starts it with an empty database, and waits until that is full. What it says is kept in the folder.
    pub async fn start(&self, folder: &Path, database: &str, size: Size, cpus: &Cpus) -> Result<Server> {
        let log = folder.join(format!("{}.log", self.name));
        let address = free_address()?;
        let (program, arguments) = self.program.command_line()?;
        let mut command = cpus.server_command(&program);
        command
            .args(arguments)
            .args(self.arguments)
            .env("PORT", address.port().to_string())
            .env("DATABASE", database)
            .env("USERS", size.users.to_string())
            .env("SESSIONS", size.sessions.to_string())
            .env("POOL", POOL.to_string())
            .env("CACHE", if self.cache { "on" } else { "off" })
            .env("TOKENS", if self.token_header.is_some() { "on" } else { "off" })
            .env("WORKERS", self.workers.to_string())
            .env("THREADS", self.threads.to_string())
            .env("NODE_ENV", "production")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let started = Server::start(command, address, START, "/me", |_| true).await;
        started.map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("{}: {error}\n{said}", self.name).into()
        })
    }

    /// Logs the first users in, and gives the header that each is to send: the cookies, or a new token.
    pub async fn headers(&self, address: SocketAddr, users: u32) -> Result<Vec<String>> {
        let Some(token_header) = self.token_header else {
            let cookies = log_in(address, users).await?;
            return Ok(cookies.iter().map(|cookies| format!("Cookie: {cookies}")).collect());
        };
        let mut connection = Connection::open(address).await?;
        let mut headers = Vec::new();
        for cookies in log_in(address, users).await? {
            headers.push(format!("{token_header}{}", create_token(&mut connection, &cookies).await?));
        }
        Ok(headers)
    }

    /// Checks that it knows whose a cookie or a token is, and refuses requests without one.
    pub async fn check(&self, address: SocketAddr, headers: &[String]) -> Result<()> {
        let mut connection = Connection::open(address).await?;
        if self.database != Database::None {
            let nobody = connection.get_with_header("/me", None).await?;
            if !matches!(nobody.status, 302 | 303 | 401) {
                return Err(format!("{} answers nobody with {}", self.name, nobody.status).into());
            }
        }
        for (number, header) in (1..).zip(headers).step_by(100) {
            let answer = connection.get_with_header("/me", Some(header)).await?;
            let expected = if self.database == Database::None { email(1) } else { email(number) };
            if answer.status != 200 || answer.body != expected {
                return Err(format!("{} answers user {number} with {answer:?}", self.name).into());
            }
        }
        Ok(())
    }
}

/// Logs the first users in, one after the other, and gives the cookies that each is to send.
pub async fn log_in(address: SocketAddr, users: u32) -> Result<Vec<String>> {
    let mut connection = Connection::open(address).await?;
    let mut cookies = Vec::new();
    for number in 1..=users {
        cookies.push(log_in_user(&mut connection, number).await?);
    }
    Ok(cookies)
}

/// Logs a user in, and gives the cookies to send from then on.
pub async fn log_in_user(connection: &mut Connection, number: u32) -> Result<String> {
    let answer = connection.post(&format!("/log-in/{number}")).await?;
    let kept = answer.kept_cookies();
    if answer.status != 200 || kept.is_empty() {
        return Err(format!("user {number} can't log in: {answer:?}").into());
    }
    Ok(kept)
}

/// Has a token made for a user who is logged in.
async fn create_token(connection: &mut Connection, cookies: &str) -> Result<String> {
    let answer = connection.post_with_cookies("/tokens", cookies).await?;
    let token = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status != 200 || token.is_empty() {
        return Err(format!("no token is made: {answer:?}").into());
    }
    Ok(token)
}
